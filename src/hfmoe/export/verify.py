"""An exported file beside the eager network: errors, quality and latency at several sizes."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from hfmoe.image.resize import resize
from hfmoe.infer.backends.exported import is_exported, open_exported
from hfmoe.infer.backends.graphs import GraphOutput
from hfmoe.infer.eager import Eager, make_restorer
from hfmoe.infer.restorer import Restorer
from hfmoe.infer.tiles import tile_geometry
from hfmoe.metrics.psnr import psnr
from hfmoe.models.weights import Loaded

SIZES = ((1, 64, 64), (1, 37, 51), (3, 40, 24), (1, 1, 1), (1, 256, 256), (1, 512, 512))
"""Batch, height and width of the inputs."""
MOST_ERROR = {"fp32": 1e-4, "fp16": 2e-2}
"""Largest difference from eager that an export may show."""
MOST_LOSS = 1.0
"""dB of PSNR that a bf16 or int8 export may lose on the drawn image at 64 x 64 and larger."""
ROUNDS = 5


@dataclass(frozen=True)
class Check:
    """One size: largest error, PSNR lost against the truth of a drawn image (dB), median latencies (ms)."""

    batch: int
    height: int
    width: int
    error: float
    psnr_loss: float
    eager_ms: float
    export_ms: float
    speedup: float

    def passes(self, precision: str) -> bool:
        """Return whether the export is as close to eager as its precision promises."""
        if precision in MOST_ERROR:
            return self.error <= MOST_ERROR[precision]
        return min(self.height, self.width) < 64 or self.psnr_loss <= MOST_LOSS


def verify(
    loaded: Loaded,
    path: Path,
    *,
    sizes: tuple[tuple[int, int, int], ...] = SIZES,
    rounds: int = ROUNDS,
    on_check: Callable[[Check], None] | None = None,
) -> list[Check]:
    """Run eager (folded, channels-last) and the file in turn, on the CPU, with as many threads as torch."""
    eager = make_restorer(loaded, device="cpu")
    exported = open_exported(path) if is_exported(path) else open_program(path, loaded)
    checks = []
    for batch, height, width in sizes:
        checks.append(compare(eager, exported, batch=batch, height=height, width=width, rounds=rounds))
        if on_check:
            on_check(checks[-1])
    return checks


def compare(
    eager: Restorer, exported: Restorer, *, batch: int, height: int, width: int, rounds: int
) -> Check:
    """One size: the same drawn images through both, in turns."""
    scale = eager.scale
    truth = drawn(batch, eager.channels, height * scale, width * scale)
    image = resize(truth, size=(height, width)).clamp(0, 1)

    def timed(restorer: Restorer) -> tuple[Tensor, float]:
        begin = time.perf_counter()
        restored = restorer.network(image.to(memory_format=torch.channels_last), effort=0.5).image
        return restored, 1e3 * (time.perf_counter() - begin)

    with torch.inference_mode():
        ours, theirs = timed(eager)[0], timed(exported)[0]
        pairs = [(timed(eager)[1], timed(exported)[1]) for _ in range(rounds)]
    loss = psnr(ours.clamp(0, 1), truth) - psnr(theirs.clamp(0, 1), truth)
    eager_ms, export_ms = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Check(
        batch,
        height,
        width,
        error=(ours - theirs).abs().max().item(),
        psnr_loss=loss.mean().item(),
        eager_ms=eager_ms,
        export_ms=export_ms,
        speedup=statistics.median(a / b for a, b in pairs),
    )


def drawn(batch: int, channels: int, height: int, width: int) -> Float[Tensor, "b c h w"]:
    """Images of waves and edges, the same each time: something to restore that needs no file."""
    y, x = torch.arange(height)[:, None] / 24, torch.arange(width)[None, :] / 24
    layers = []
    for index in range(batch * channels):
        waves = (x * (1 + index / 7) + y).sin() * (y * (1.5 - index / 9) - x / 2).cos()
        edges = ((x + index).floor() + (y * 0.7).floor()) % 2
        layers.append(0.5 + 0.25 * waves + 0.2 * (edges - 0.5))
    return torch.stack(layers).unflatten(0, (batch, channels)).clamp(0, 1)


def open_program(path: Path, loaded: Loaded) -> Restorer:
    """A .pt2 file as a restorer, with the facts of the model it was made from."""
    program = torch.export.load(path).module()

    def network(image: Tensor, *, effort: float = 0.5) -> GraphOutput:
        return GraphOutput(program(image.contiguous(), torch.tensor(effort)))

    return Restorer(Eager(network, torch.device("cpu")), tile_geometry(loaded.config), loaded.facts)
