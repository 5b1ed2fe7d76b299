"""What a trained model still uses of its low path: its score with one part at a time silenced.

    python benchmarks/zeroed.py MODEL FOLDER [--protocol NAME] [--sigma S] [--quality Q]

A part is silenced by weights of 0 where its output is added, without training again, so a loss says that the
network relies on the part, not that another network needs it (that is what `hfmoe ablate` is for): one silent
part also leaves the others with inputs that they were never trained on, so losses do not add up. No loss says
that the part is idle. Differences are paired by image, with 95 % intervals.
"""

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import torch

from hfmoe.evaluate.protocols import ProtocolSettings, choose_protocol, default_protocol
from hfmoe.evaluate.report import evaluate
from hfmoe.evaluate.statistics import bootstrap_mean
from hfmoe.infer.eager import make_restorer
from hfmoe.infer.measure import describe
from hfmoe.models.network import HFMoE
from hfmoe.nn.block import HybridWindowBlock
from hfmoe.runtime.machine import machine


def main() -> None:
    """Print a row for each part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--protocol")
    parser.add_argument("--sigma", type=float, default=25)
    parser.add_argument("--quality", type=int, default=10)
    options = parser.parse_args()
    loaded = describe(options.model)
    scale, channels = loaded.config.scale, loaded.config.channels
    name = options.protocol or default_protocol(loaded.facts.task, scale=scale, channels=channels)
    settings = ProtocolSettings(sigma=options.sigma, quality=options.quality)
    protocol = choose_protocol(name, scale=scale, settings=settings)
    report(
        f"{options.model} on {options.folder.name}, {protocol.name}, {protocol.headline}: {machine().line()}"
    )
    whole: tuple[float, ...] = ()
    for part, silence in PARTS.items():
        fresh = describe(options.model)
        with torch.no_grad():
            if not silence(fresh.network):
                continue
        scores = evaluate(make_restorer(fresh, device="cpu"), options.folder, protocol=protocol)
        values = tuple(scores.values(protocol.headline))
        whole = whole or values
        lost = [a - b for a, b in zip(values, whole, strict=True)]
        low, high = bootstrap_mean(lost)
        line = f"  {part:18s}{statistics.fmean(values):8.3f} dB"
        report(line if values is whole else f"{line}  {statistics.fmean(lost):+.3f} [{low:+.3f} {high:+.3f}]")


def silence_nothing(network: HFMoE) -> bool:
    """Leave the network whole."""
    return True


def silence_cross_attention(network: HFMoE) -> bool:
    """Ignore the answers of cross-attention where the bands are joined; false where there is none."""
    network.fusion.from_low.weight[:, network.config.low_dims[0] :].zero_()
    return network.config.cross_attention


def silence_attention(network: HFMoE) -> bool:
    """Leave the window attention's branches out; false where there is none."""
    for block in blocks(network):
        block.scale1.zero_()
    return bool(blocks(network))


def silence_ffn(network: HFMoE) -> bool:
    """Leave the feed-forward networks, the mixtures, out; false where there is none."""
    for block in blocks(network):
        block.scale2.zero_()
    return bool(blocks(network))


def silence_low_path(network: HFMoE) -> bool:
    """Ignore the low path and cross-attention's answers where the bands are joined."""
    network.fusion.from_low.weight.zero_()
    return True


PARTS: dict[str, Callable[[HFMoE], bool]] = {
    "whole": silence_nothing,
    "cross-attention": silence_cross_attention,
    "window attention": silence_attention,
    "feed-forward": silence_ffn,
    "whole low path": silence_low_path,
}


def blocks(network: HFMoE) -> list[HybridWindowBlock]:
    """All attention blocks."""
    return [part for part in network.modules() if isinstance(part, HybridWindowBlock)]


def report(line: str) -> None:
    """Print a line of the report."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
