"""Latency of nano and tiny beside plain 3x3 networks in the same run, and of each part of nano.

    python benchmarks/latency.py [--size 256] [--rounds 15]

One thread, eager, folded, float32, memory reused as in the `hfmoe` command (for all networks). Rounds are
interleaved so that a slow moment of the machine hits all alike; the ratio of a round is formed inside it, and
the median over rounds is printed with its quartiles.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from hfmoe.models.folding import fold
from hfmoe.models.network import HFMoE
from hfmoe.models.presets import PRESETS
from hfmoe.nn.attention import WindowAttention
from hfmoe.nn.block import HybridWindowBlock
from hfmoe.nn.experts import MoEFFN
from hfmoe.nn.fusion import CrossAttention
from hfmoe.nn.multiscale import Join
from hfmoe.nn.texture import TextureBlock
from hfmoe.nn.upsampler import BilinearBase
from hfmoe.runtime.memory import reuse_memory


class Plain(nn.Module):
    """A plain network of 3x3 convolutions and SiLU, pixel shuffle, repeated input as base: the yardstick."""

    def __init__(self, dim: int, layers: int, scale: int) -> None:
        super().__init__()
        widths = [3, *([dim] * layers)]
        convs = [nn.Conv2d(a, b, 3, padding=1) for a, b in zip(widths, widths[1:], strict=False)]
        self.body = nn.Sequential(*(layer for conv in convs for layer in (conv, nn.SiLU(inplace=True))))
        self.out = nn.Conv2d(dim, 3 * scale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(scale)
        self.repeat = scale**2

    def forward(self, image: Tensor) -> Tensor:
        """Enlarge an image in [0, 1]."""
        return self.shuffle(self.out(self.body(image)) + image.repeat_interleave(self.repeat, 1))


PAIRS = {"nano-x4": (32, 7), "tiny-x4": (64, 7)}
"""Width and layers of the plain yardsticks: 70K parameters for nano, 251K for tiny (280K are allowed)."""

BLOCKS = (
    HybridWindowBlock,
    WindowAttention,
    MoEFFN,
    Join,
    TextureBlock,
    CrossAttention,
    BilinearBase,
    nn.Conv2d,
)


def main() -> None:
    """Print one table of ratios and one of the parts of nano."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    reuse_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    image = torch.rand(1, 3, options.size, options.size).to(memory_format=torch.channels_last)
    report(f"{processor()}, torch {torch.__version__}, one thread, {options.size} x {options.size} input")
    with torch.inference_mode():
        for name, (dim, layers) in PAIRS.items():
            ours = channels_last(fold(HFMoE(PRESETS[name])))
            plain = channels_last(Plain(dim, layers, PRESETS[name].scale))
            compare(name, ours, plain, image, rounds=options.rounds)
        parts(channels_last(fold(HFMoE(PRESETS["nano-x4"]))), image, options.rounds)


def channels_last(network: nn.Module) -> nn.Module:
    """The network for inference, in channels-last memory."""
    return network.eval().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def compare(name: str, ours: nn.Module, plain: nn.Module, image: Tensor, *, rounds: int) -> None:
    """Time two networks in turn and print their medians and the ratio."""
    for network in (ours, plain):
        milliseconds(lambda network=network: network(image))
    pairs = [(milliseconds(lambda: ours(image)), milliseconds(lambda: plain(image))) for _ in range(rounds)]
    low, middle, high = statistics.quantiles([a / b for a, b in pairs], n=4)
    a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
    report(
        f"{name} ({count(ours) / 1e3:.0f}K folded) {a:.0f} ms, "
        f"plain 3x3 ({count(plain) / 1e3:.0f}K) {b:.0f} ms, ratio {middle:.2f} [{low:.2f}, {high:.2f}]"
    )


def parts(network: nn.Module, image: Tensor, rounds: int) -> None:
    """Print the median milliseconds of each part of a network."""
    spent: dict[str, list[float]] = {}
    started: list[float] = []
    for name, module in network.named_modules():
        if name and (name.count(".") == 0 or isinstance(module, BLOCKS)):
            module.register_forward_pre_hook(lambda *_: started.append(time.perf_counter()))
            module.register_forward_hook(
                lambda *_, name=name: spent.setdefault(name, []).append(time.perf_counter() - started.pop())
            )
    whole = [milliseconds(lambda: network(image)) for _ in range(rounds)]
    report(f"{'whole (with the timers)':40s}{statistics.median(whole):8.1f} ms")
    for name, seconds in spent.items():
        report(f"{'  ' * name.count('.') + name:40s}{1e3 * statistics.median(seconds):8.1f} ms")


def milliseconds(run: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    begin = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - begin)


def count(network: nn.Module) -> int:
    """Parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


def report(line: str) -> None:
    """Print a line of the report."""
    print(line)  # noqa: T201


if __name__ == "__main__":
    main()
