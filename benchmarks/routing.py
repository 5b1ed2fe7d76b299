"""What sparse routing saves, what the effort dial spans, and what folding the head is worth.

    python benchmarks/routing.py [--model nano-x4] [--size 512] [--rounds 9] [--folder PHOTOS] [--clock cpu]

Time: the model beside itself with the heaviest expert everywhere (effort 1) and with every expert run on
every window (what soft routing costs): eager, folded, float32, memory reused as in `hfmoe`. Rounds are
interleaved, ratios formed inside a round. FFN time is that of the mixtures alone, by timers around
them, in the same rounds. Quality: PSNR along the dial on the photos of --folder (scikit-image's astronaut,
coffee and chelsea where none is given), by the model's protocol. Effort 1 is not what was trained: a fair
rival in quality is a network that was trained with the heaviest expert alone.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import skimage.data
import torch
from einops import rearrange
from torch import Tensor, nn

from hfmoe.bench.inputs import photo_of_size
from hfmoe.bench.timing import CLOCKS, interleave, ratio, spread
from hfmoe.evaluate.protocols import ProtocolSettings, choose_protocol, default_protocol
from hfmoe.evaluate.report import evaluate
from hfmoe.evaluate.statistics import bootstrap_mean
from hfmoe.image.files import Picture, list_images, write_picture
from hfmoe.infer.eager import make_restorer
from hfmoe.infer.measure import describe
from hfmoe.models.config import HFMoEConfig
from hfmoe.models.cost import count_work
from hfmoe.models.folding import fold
from hfmoe.models.weights import Loaded
from hfmoe.nn.experts import MoEFFN
from hfmoe.nn.repconv import RepConv
from hfmoe.runtime.machine import machine
from hfmoe.runtime.memory import reuse_memory

PHOTOS = ("astronaut", "coffee", "chelsea")
DIAL = (0.0, 0.25, 0.5, 0.75, 1.0)
BUDGET = 60.0
Clock = Callable[[], float]


def main() -> None:
    """Print all three parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nano-x4")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    options = parser.parse_args()
    reuse_memory()
    torch.set_num_threads(options.threads)
    loaded = describe(options.model)
    with tempfile.TemporaryDirectory() as place:
        folder = options.folder or draw_photos(Path(place))
        photo = list_images(folder)[0]
        size, channels = options.size, loaded.config.channels
        image = photo_of_size(photo, size, size, channels=channels).to(memory_format=torch.channels_last)
        report(f"{options.model}, {size} x {size} of {photo.name}, {options.clock} clock: {machine().line()}")
        report(bound(loaded.config, size, size))
        with torch.inference_mode():
            routing(loaded, image, options.rounds, CLOCKS[options.clock])
            head(loaded, image, options.rounds, CLOCKS[options.clock])
        quality(loaded, folder)


def draw_photos(folder: Path) -> Path:
    """Write the photos that come with scikit-image."""
    for name in PHOTOS:
        pixels = torch.from_numpy(getattr(skimage.data, name)())
        write_picture(folder / f"{name}.png", Picture(rearrange(pixels, "h w c -> c h w").float() / 255))
    return folder


def routing(loaded: Loaded, image: Tensor, rounds: int, clock: Clock) -> None:
    """Time the dial and the reference that runs every expert, end to end and in the mixtures."""
    network = channels_last(fold(loaded.network))
    spent: dict[str, list[float]] = {f"{effort:g}": [] for effort in DIAL} | {"all experts": []}
    mixtures = [part for part in network.modules() if isinstance(part, MoEFFN)]

    def run(name: str, effort: float) -> None:
        with timers(mixtures, clock) as seconds:
            network(image, effort=effort)
        spent[name].append(sum(seconds))

    def run_all() -> None:
        with every_expert(mixtures):
            run("all experts", 0.5)

    runs: dict[str, Callable[[], object]] = {
        f"{effort:g}": (lambda effort=effort: run(f"{effort:g}", effort)) for effort in DIAL
    }
    found = interleave({**runs, "all experts": run_all}, rounds=rounds, budget=BUDGET, clock=clock)
    loads = [part.load.tolist() for part in network(image).routing]
    report(f"loads at effort 0.5, cheap first: {loads}")
    report("effort        whole ms   over heaviest          FFN ms   over heaviest")
    heavy = statistics.median(spent["1"])
    for name, seconds in found.items():
        low, middle, high = ratio(seconds, found["1"]) or (1.0, 1.0, 1.0)
        ffn = statistics.median(spent[name])
        whole = f"{1e3 * spread(seconds.runs()).median:10.1f}   {middle:.3f} [{low:.3f} {high:.3f}]"
        report(f"{name:12s}{whole}   {1e3 * ffn:9.1f}   {ffn / heavy:.3f}")
    dial = ratio(found["1"], found["0"])
    if dial is not None:
        report(f"the dial spans {dial.median:.2f}x [{dial.low:.2f} {dial.high:.2f}] end to end (aim: 1.3x)")
    report("aim of sparse routing (effort 0.5): FFN <= 0.70, whole <= 0.90 of the heaviest everywhere")


def bound(config: HFMoEConfig, height: int, width: int) -> str:
    """What the dial can span at most if time followed multiply-adds: arithmetic, not a measurement."""
    work = count_work(config, height, width)
    layers = len(work.heaviest)
    heavy = work.at([1.0] * layers)
    cheap = work.at([config.experts[0] / config.experts[-1]] * layers)
    share = 1 - work.common / heavy
    return (
        f"mixtures are {share:.1%} of the multiply-adds at most; by them the dial spans {heavy / cheap:.3f}x"
    )


@contextmanager
def timers(parts: list[MoEFFN], clock: Clock) -> Iterator[list[float]]:
    """Seconds of each call of the parts, as long as the context lasts."""
    seconds: list[float] = []
    began: list[float] = []
    handles = []
    for part in parts:
        handles.append(part.register_forward_pre_hook(lambda *_: began.append(clock())))
        end: Any = lambda *_: seconds.append(clock() - began.pop())  # noqa: E731
        handles.append(part.register_forward_hook(end))
    try:
        yield seconds
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def every_expert(parts: list[MoEFFN]) -> Iterator[None]:
    """Run every expert on every window and mask: soft routing's cost."""
    for part in parts:
        part.dispatch = part.dispatch_all
    try:
        yield
    finally:
        for part in parts:
            del part.dispatch


def head(loaded: Loaded, image: Tensor, rounds: int, clock: Clock) -> None:
    """The head's share of the time, unfolded and folded, and how far the results are apart."""
    plain, folded = channels_last(loaded.network.eval()), channels_last(fold(loaded.network))
    difference = float((plain(image).image - folded(image).image).abs().max())
    given: list[Tensor] = []
    handle = folded.get_submodule("head").register_forward_pre_hook(lambda _, args: given.append(args[0]))
    folded(image)
    handle.remove()
    features = given[0].clone()
    runs: dict[str, Callable[[], object]] = {
        "whole, branches": lambda: plain(image),
        "whole, folded": lambda: folded(image),
        "head, branches summed each call": lambda: plain.get_submodule("head")(features),
        "head, folded": lambda: folded.get_submodule("head")(features),
    }
    rep = loaded.network.head[0]
    if isinstance(rep, RepConv):
        runs["head, branches run one by one"] = lambda: nn.functional.silu(one_by_one(rep, features))
    found = interleave(runs, rounds=rounds, budget=BUDGET, clock=clock)
    report(f"folding: largest difference of the results {difference:.1e} (aim: 1e-5)")
    for name, seconds in found.items():
        share = ratio(seconds, found["whole, folded"])
        text = "" if share is None else f"{share.median:6.1%} of the whole"
        report(f"  {name:34s}{1e3 * spread(seconds.runs()).median:8.1f} ms {text}")


def one_by_one(rep: RepConv, x: Tensor) -> Tensor:
    """The branches as separate convolutions: what re-parameterisation saves."""
    total = rep.conv3(x) + rep.conv1(x)
    return total if rep.identity is None else total + x * rep.identity[:, None, None]


def quality(loaded: Loaded, folder: Path) -> None:
    """PSNR along the dial, and each effort against the heaviest experts, paired by image."""
    restorer = make_restorer(loaded, device="cpu")
    name = default_protocol(loaded.facts.task, scale=loaded.config.scale, channels=loaded.config.channels)
    protocol = choose_protocol(name, scale=loaded.config.scale, settings=ProtocolSettings())
    scores: dict[float, list[float]] = {}
    for effort in DIAL:
        restore = lambda image, effort=effort: restorer(image, effort=effort)  # noqa: E731
        scores[effort] = evaluate(restore, folder, protocol=protocol).values(protocol.headline)
    means = [statistics.fmean(values) for values in scores.values()]
    report(f"{protocol.headline} over {len(scores[1.0])} photos of {folder.name}, {protocol.name}")
    for effort, mean in zip(scores, means, strict=True):
        differences = [a - b for a, b in zip(scores[effort], scores[1.0], strict=True)]
        low, high = bootstrap_mean(differences)
        report(
            f"  effort {effort:<5g}{mean:8.3f} dB, minus effort 1: {statistics.fmean(differences):+.3f} "
            f"[{low:+.3f} {high:+.3f}]"
        )
    rising = all(b >= a for a, b in zip(means, means[1:], strict=False))
    report(f"PSNR rises along the dial: {'yes' if rising else 'no'}; aim at 0.5: within 0.02 dB of effort 1")


def channels_last(network: nn.Module) -> nn.Module:
    """The network for inference, in channels-last memory."""
    return network.eval().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def report(line: str) -> None:
    """Print a line of the report."""
    print(line)


if __name__ == "__main__":
    main()
