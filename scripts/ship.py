"""Put trained weights into the package, with their scores in their metadata.

    python scripts/ship.py runs/nano-x4/best.safetensors Set5=bench/Set5 Set14=bench/Set14 B100=bench/B100

Writes src/hfmoe/models/shipped/<name>.safetensors and prints a row for docs/models.md. Folders in the recipe
are shortened to their last two names, so that the file tells of no machine.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from hfmoe.evaluate.protocol import ClassicalSR
from hfmoe.evaluate.report import evaluate
from hfmoe.infer.restorer import make_restorer
from hfmoe.models.weights import load_weights, save_weights

SHIPPED = Path(__file__).parents[1] / "src/hfmoe/models/shipped"


def main() -> None:
    """Score, describe and write one model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path)
    parser.add_argument("sets", nargs="*", metavar="SET=FOLDER")
    options = parser.parse_args()
    torch.set_num_threads(1)
    loaded = load_weights(options.weights)
    restore = make_restorer(loaded)
    scores = dict(loaded.facts.scores)
    for entry in options.sets:
        name, _, folder = entry.partition("=")
        mean = evaluate(restore, Path(folder), protocol=ClassicalSR(loaded.config.scale)).mean()
        scores |= {f"{name} psnr_y": round(mean.psnr_y, 3), f"{name} ssim_y": round(mean.ssim_y, 4)}
    facts = replace(loaded.facts, scores=scores, recipe=portable(loaded.facts.recipe))
    SHIPPED.mkdir(exist_ok=True)
    save_weights(SHIPPED / f"{facts.name}.safetensors", loaded.network, facts)
    cells = [
        f"{scores[f'{s}_y']:.2f}" if "psnr" in s else f"{scores[f'{s}_y']:.4f}" for s in columns(options.sets)
    ]
    sys.stdout.write(f"| {facts.date} | {facts.name} | {' | '.join(cells)} |\n")


def columns(sets: list[str]) -> list[str]:
    """Names of the scores of each set, without their `_y`."""
    names = [entry.partition("=")[0] for entry in sets]
    return ["validation psnr", *(f"{name} {metric}" for name in names for metric in ("psnr", "ssim"))]


def portable(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe with every absolute path in it shortened to its last two names, and no cache."""
    return {**shortened(recipe), "cache": None}


def shortened(value: Any) -> Any:
    """Values as they are, but absolute paths, however deep, by their last two names."""
    if isinstance(value, dict):
        return {name: shortened(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [shortened(item) for item in value]
    absolute = isinstance(value, str) and Path(value).is_absolute()
    return "/".join(Path(value).parts[-2:]) if absolute else value


if __name__ == "__main__":
    main()
