"""Ways to restore one image, each in a process of its own, timed in turn."""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import NamedTuple

import torch
from torch import Tensor

from hfmoe.ablate.baselines import PlainNetwork
from hfmoe.evaluate.protocols import bicubic
from hfmoe.infer.eager import make_restorer
from hfmoe.infer.measure import describe, peak_mib, resident_mib
from hfmoe.models.folding import fold
from hfmoe.runtime.memory import reuse_memory

Run = Callable[[Tensor], Tensor]
Maker = Callable[[], Run]
PLAIN = {"nano": (32, 7), "tiny": (64, 6)}
"""Channels and 3x3 convolutions of the plain networks: 68K and 227K parameters at x4, folded."""


class Taken(NamedTuple):
    """Median processor time in ms; the median over rounds of its ratio to the first; MiB at the peak."""

    milliseconds: float
    ratio: float
    peak: float


def ours(model: str) -> Run:
    """The restorer of a model, whole images."""
    return partial(make_restorer(describe(model), device="cpu"), tile="off")


def plain(dim: int, blocks: int, scale: int, channels: int) -> Run:
    """A plain network of 3x3 convolutions, folded."""
    network = fold(PlainNetwork(dim=dim, blocks=blocks, scale=scale, channels=channels).eval())
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return lambda image: network(image.contiguous(memory_format=torch.channels_last))


def in_turn(makers: Sequence[Maker], *, channels: int, side: int, rounds: int) -> list[Taken]:
    """Each contender on the same square image, one thread, in rounds; memory is over the process at rest."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in makers]
    parts = [
        context.Process(target=serve, args=(theirs, maker, channels, side), daemon=True)
        for (_, theirs), maker in zip(pipes, makers, strict=True)
    ]
    for part, (_, theirs) in zip(parts, pipes, strict=True):
        part.start()
        theirs.close()
    ends = [mine for mine, _ in pipes]
    times = [[ask(end) for end in ends] for _ in range(rounds + 1)][1:]
    peaks = []
    for end, part in zip(ends, parts, strict=True):
        end.send(False)
        peaks.append(end.recv())
        part.join()
    columns = list(zip(*times, strict=True))
    return [
        Taken(
            statistics.median(column),
            statistics.median(a / b for a, b in zip(column, columns[0], strict=True)),
            peak,
        )
        for column, peak in zip(columns, peaks, strict=True)
    ]


def ask(end: Connection) -> float:
    """Milliseconds of one more run there."""
    end.send(True)
    return end.recv()


@torch.inference_mode()
def serve(end: Connection, maker: Maker, channels: int, side: int) -> None:
    """Run as often as asked, then tell the peak."""
    torch.set_num_threads(1)
    reuse_memory()
    run = maker()
    image = torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(0))
    resting = resident_mib()
    while end.recv():
        begin = time.process_time()
        run(image)
        end.send(1e3 * (time.process_time() - begin))
    end.send(max(peak_mib() - resting, 0.0))


def contenders(model: str, *, scale: int, channels: int) -> dict[str, Maker]:
    """The model, the plain network of its size, and bicubic where there is something to enlarge."""
    size = model.partition("-")[0]
    if size not in PLAIN:
        raise ValueError(f"{model}: there is no plain network to compare with but for {', '.join(PLAIN)}")
    dim, blocks = PLAIN[size]
    found: dict[str, Maker] = {
        model: partial(ours, model),
        f"plain 3x3, {dim} channels, {blocks + 1} convolutions": partial(plain, dim, blocks, scale, channels),
    }
    return found | ({"bicubic": partial(bicubic, scale)} if scale > 1 else {})
