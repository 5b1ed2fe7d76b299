"""Training speed: our trainer beside a plain PyTorch loop, and where a training step's time goes.

    python benchmarks/training.py [--preset tiny-x2] [--steps 100] [--rounds 5]
    python benchmarks/training.py --profile nano-x2 tiny-x2 [--steps 20]

Both train the same network with the same batch, patch, loss, optimiser and memory format on one thread,
float32, and keep freed memory as `hfmoe train` does (--fresh-memory: neither does). The plain loop is a
minimal one: its pairs are decoded in memory, and it draws crops, runs forward, L1, backward and Adam; it
neither clips nor averages weights. Ours does all that `hfmoe train` does: averaging, clipping, checks,
checkpoint, records and TensorBoard, validation and sample pictures. Ours is timed from the validation in the
middle of the run to the one at its end; what such a validation takes, which the plain loop has none of, is
added as often as recipes validate by default. Rounds alternate between the two; ratios are formed inside a
round and their medians printed with the quartiles.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange

from hfmoe.image.files import Picture, write_picture
from hfmoe.models.network import HFMoE, Perturbation
from hfmoe.models.presets import PRESETS
from hfmoe.runtime.memory import reuse_memory
from hfmoe.train import Recipe, loop, train
from hfmoe.train.fields import Validation
from hfmoe.train.trainer import run_validation

BATCH, PATCH, PHOTOS, SIDE = 16, 32, 24, 384
VALIDATED, CROP = 16, 256
"""Photos that are validated on, and the side of their centres, as in the recipes."""


class Speed(NamedTuple):
    """Seconds of a training step of ours with its logging, of a validation with its pictures, and of the
    plain loop's step; and the share of our time that waits for data."""

    ours: float
    validation: float
    plain: float
    waiting: float

    def ratio(self) -> float:
        """Images per second of ours over those of the plain loop, validations at their usual distance."""
        return self.plain / (self.ours + self.validation / Validation().every)


def main() -> None:
    """Print the ratio of both speeds, or profiles of the step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="tiny-x2")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fresh-memory", action="store_true")
    parser.add_argument("--profile", nargs="+", metavar="PRESET")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.fresh_memory:
        reuse_memory()
    if options.profile:
        for preset in options.profile:
            profile(preset, options.steps)
        return None
    return compare(options.preset, options.steps, rounds=options.rounds)


def compare(preset: str, steps: int, *, rounds: int) -> None:
    """Print how fast ours and the plain loop are."""
    speeds = []
    with tempfile.TemporaryDirectory() as folder:
        photos = draw_photos(Path(folder) / "photos")
        for number in range(rounds):
            ours = train_ours(preset, steps, photos, Path(folder) / f"run{number}")
            speeds.append(ours._replace(plain=train_plainly(preset, steps)))
    ratios = [speed.ratio() for speed in speeds]
    low, middle, high = statistics.quantiles(ratios, n=4) if rounds > 1 else 3 * ratios
    ours, validation, plain, waiting = map(statistics.median, zip(*speeds, strict=True))
    share = validation / Validation().every / ours
    report(f"{preset}, batch {BATCH}, patch {PATCH}, one thread, torch {torch.__version__}")
    report(f"ours {BATCH / ours:.1f} images/s with logs, plain loop {BATCH / plain:.1f} images/s")
    report(f"waiting for data {waiting:.2%}")
    report(f"a validation with pictures {validation:.2f} s, {share:.2%} every {Validation().every} steps")
    report(f"ratio {middle:.3f} [{low:.3f}, {high:.3f}]")


def draw_photos(folder: Path) -> Path:
    """Write photos of noise: what they show does not change the speed."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    for number in range(PHOTOS):
        colour = torch.rand(3, SIDE, SIDE, generator=generator)
        write_picture(folder / f"{number}.png", Picture(colour=colour, alpha=None, bits=8, icc=None))
    return folder


def train_ours(preset: str, steps: int, photos: Path, run: Path) -> Speed:
    """Times of `hfmoe train` after its first steps, by its own records; the plain loop's is left at 0."""
    half = steps // 2
    recipe = Recipe.model_validate(
        {
            "name": preset,
            "preset": preset,
            "train": photos,
            "run": run,
            "steps": 2 * half,
            "batch": BATCH,
            "patch": PATCH,
            "validation": {"folder": photos, "every": half, "images": VALIDATED, "crop": CROP},
            "log": {"every": max(1, half // 4), "samples_every": half},
            "hardware": {"threads": 1, "accelerator": "cpu"},
        }
    )
    moments: list[float] = []

    def timed(*given: Any) -> Any:
        moments.append(time.perf_counter())
        after = run_validation(*given)
        moments.append(time.perf_counter())
        return after

    with patch.object(loop, "run_validation", timed):
        train(recipe)
    _, begin, end, validated = moments
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    waits = [record["waiting"] for record in records if record["kind"] == "train" and record["step"] > half]
    return Speed((end - begin) / half, validated - end, 0.0, statistics.fmean(waits))


def train_plainly(preset: str, steps: int) -> float:
    """Seconds of a step of the plain loop, after its first steps."""
    config = PRESETS[preset]
    network = HFMoE(config).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    generator = np.random.default_rng(0)
    small, large = (
        generator.integers(0, 256, (PHOTOS, SIDE // config.scale * k, SIDE // config.scale * k, 3), np.uint8)
        for k in (1, config.scale)
    )
    begin = time.perf_counter()
    for step in range(steps):
        if step == steps // 2:
            begin = time.perf_counter()
        degraded, target = crops(small, large, config.scale, generator)
        restored = network(degraded, perturb=Perturbation())
        loss = F.l1_loss(restored.image, target) + 0.01 * restored.balance + 1e-3 * restored.z
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return (time.perf_counter() - begin) / (steps - steps // 2)


def crops(
    small: np.ndarray, large: np.ndarray, scale: int, generator: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of aligned crops in [0, 1]."""
    photos = generator.integers(len(small), size=BATCH)
    corners = generator.integers(small.shape[1] - PATCH + 1, size=(BATCH, 2))
    sides = []
    for images, k in ((small, 1), (large, scale)):
        parts = [
            images[photo, k * top : k * (top + PATCH), k * left : k * (left + PATCH)]
            for photo, (top, left) in zip(photos, corners, strict=True)
        ]
        sides.append(rearrange(torch.from_numpy(np.stack(parts)).float() / 255, "b h w c -> b c h w"))
    return sides[0], sides[1]


def profile(preset: str, steps: int) -> None:
    """Print the operations that a training step spends its time in."""
    scale = PRESETS[preset].scale
    network = HFMoE(PRESETS[preset]).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    degraded, target = (
        torch.rand(BATCH, 3, k * PATCH, k * PATCH).to(memory_format=torch.channels_last) for k in (1, scale)
    )

    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        restored = network(degraded, perturb=Perturbation())
        (F.l1_loss(restored.image, target) + 0.01 * restored.balance).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    step()
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    report(
        f"{preset}: {1e3 * (time.perf_counter() - begin) / steps:.0f} ms a step: forward, backward, optimiser"
    )
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as recorded:
        for _ in range(5):
            step()
    report(recorded.key_averages().table(sort_by="self_cpu_time_total", row_limit=20))


def report(line: str) -> None:
    """Print a line of the report."""
    print(line)  # noqa: T201


if __name__ == "__main__":
    main()
