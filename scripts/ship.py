"""Put trained weights into the package, with their scores in their metadata.

    python scripts/ship.py runs/nano-x4/best.safetensors Set5=bench/Set5 Set14=bench/Set14 B100=bench/B100
    python scripts/ship.py runs/nano-denoise/best.safetensors CBSD68:25=bench/CBSD68
    python scripts/ship.py runs/nano-jpeg/best.safetensors classic5@gray-jpeg:10=bench/classic5

A set is NAME[@PROTOCOL][:STRENGTH]=FOLDER; the strength is a sigma or a JPEG quality. Writes
src/hfmoe/models/shipped/<name>.safetensors and prints a row for docs/models.md: the score that the papers of
each protocol report, and SSIM beside PSNR on Y. Folders in the recipe are shortened to their last two names,
so that the file tells of no machine.
"""

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from sets import read_set

from hfmoe.evaluate.protocols import Restore
from hfmoe.evaluate.report import evaluate
from hfmoe.infer.eager import make_restorer
from hfmoe.models.weights import Loaded, load_weights, save_weights

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
    scores, cells = dict(loaded.facts.scores), []
    cells.append(f"{scores.get('validation psnr_y', scores.get('validation psnr', math.nan)):.2f}")
    for entry in options.sets:
        for name, value in score(loaded, restore, entry).items():
            scores[name] = value
            cells.append(f"{value:.4f}" if "ssim" in name else f"{value:.2f}")
    facts = replace(loaded.facts, scores=scores, recipe=portable(loaded.facts.recipe))
    SHIPPED.mkdir(exist_ok=True)
    save_weights(SHIPPED / f"{facts.name}.safetensors", loaded.network, facts)
    sys.stdout.write(f"| {facts.date} | {facts.name} | {' | '.join(cells)} |\n")


def score(loaded: Loaded, restore: Restore, entry: str) -> dict[str, float]:
    """Scores of one set, named as in the metadata."""
    title, folder, protocol = read_set(entry, loaded)
    mean = evaluate(restore, folder, protocol=protocol).mean()
    scores = {f"{title} {protocol.headline}": round(getattr(mean, protocol.headline), 3)}
    return scores | ({f"{title} ssim_y": round(mean.ssim_y, 4)} if protocol.headline == "psnr_y" else {})


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
