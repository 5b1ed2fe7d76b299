"""Equality of numbers across a change of the code: record them before, compare after.

    python scripts/same_numbers.py record FOLDER            # with the code as it was (PYTHONPATH=OTHER/src)
    python scripts/same_numbers.py compare FOLDER           # with the code as it is

Through the command line alone, so that it runs on either side of any reorganisation: the results of every
shipped model, whole and in tiles; exported files of three of them; the losses of 50 steps of four recipes
(super-resolution, denoising, photos, adversarial) under a fixed seed; the scores of a study of two variants.
Bits are those of one machine and one version of torch: record and compare on the same one. Needs
`pip install '.[train,demo,onnx]'`; photos are those that scikit-image ships.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
import skimage

RECIPES = Path(__file__).parents[1] / "recipes"
STUDIES = Path(__file__).parents[1] / "studies"
PHOTOS = Path(skimage.__file__).parent / "data"
EXPORTED = ("nano-x4", "tiny-photo-x2", "nano-denoise")
STEPS = 50
TRAINED = {
    "sr": ("nano-x4", {"network": "{texture_blocks: 2}"}),
    "denoise": ("nano-denoise", {"network": "{texture_blocks: 2}"}),
    "photo": ("tiny-photo-x4", {"preset": "nano-x4", "init": "null"}),
    "gan": ("nano-photo-x4-gan", {"loss": "[{kind: l1}, {kind: adversarial, weight: 0.1}]"}),
}
TOLERANCE = {"exports": 1e-6}
"""Largest difference allowed; everything else must be equal to the bit."""


def main() -> None:
    """Write the numbers, or say which differ; status 1 when any does."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("record", "compare"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parts", default="models,exports,training,study")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    measures = {"models": models, "exports": exports, "training": training, "study": study}
    different = 0
    for part in options.parts.split(","):
        with tempfile.TemporaryDirectory() as place:
            found = measures[part](Path(place))
        file = options.folder / f"{part}.npz"
        if options.action == "record":
            np.savez(file, **found)
        else:
            different += differences(part, dict(np.load(file)), found)
        sys.stdout.write(f"{part}: {len(found)} arrays\n")
    sys.exit(1 if different else 0)


def differences(part: str, before: dict[str, np.ndarray], now: dict[str, np.ndarray]) -> int:
    """Print what is not equal, or not near enough, and count it."""
    count = 0
    for name in sorted({*before, *now}):
        if name not in before or name not in now or before[name].shape != now[name].shape:
            said = "is not on both sides, or has another shape"
        else:
            largest = float(np.abs(before[name].astype(float) - now[name].astype(float)).max(initial=0))
            if largest <= TOLERANCE.get(part, 0):
                continue
            said = f"differs by up to {largest:g}"
        sys.stdout.write(f"{part} {name} {said}\n")
        count += 1
    return count


def models(place: Path) -> dict[str, np.ndarray]:
    """Results of every shipped model for two inputs, whole and in tiles."""
    photos = {"colour": crop(place, "coffee.png", 250, 110), "gray": crop(place, "camera.png", 61, 43)}
    found = {}
    for name in shipped():
        for kind, photo in photos.items():
            in_tiles = kind == "colour" and name.endswith(("-x2", "-x3", "-x4"))
            for tile in ("off", 192) if in_tiles else ("off",):
                found[f"{name}-{kind}-{tile}"] = restored(photo, name, tile=tile)
    return found


def exports(place: Path) -> dict[str, np.ndarray]:
    """Results of exported files."""
    photo = crop(place, "coffee.png", 150, 110)
    found = {}
    for name in EXPORTED:
        model = place / f"{name}.onnx"
        command_line("export", name, "--format", "onnx", "--output", model)
        found[name] = restored(photo, str(model))
    return found


def restored(photo: Path, model: str, **options: Any) -> np.ndarray:
    """The colours that the library makes of a file, in floating point."""
    import torch

    import hfmoe

    torch.set_num_threads(1)
    return np.asarray(hfmoe.restore(photo, model=model, **options).colour)


def training(place: Path) -> dict[str, np.ndarray]:
    """Losses of the first steps of four recipes."""
    found = {}
    for kind, (recipe, fields) in TRAINED.items():
        run = place / kind
        fields = {
            **fields, "train": folder_of_photos(place), "run": run, "validation.folder": "null",
            "steps": STEPS, "batch": 2, "patch": 32, "log.every": 1, "hardware.threads": 1,
        }  # fmt: skip
        options = [part for name, value in fields.items() for part in (f"--{name}", str(value))]
        command_line("train", RECIPES / f"{recipe}.yaml", *options)
        records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        losses = [numbers(record["loss"]) for record in records if "loss" in record]
        found[kind] = np.array(losses)
    return found


def study(place: Path) -> dict[str, np.ndarray]:
    """Scores of the runs of a small study."""
    photos = folder_of_photos(place)
    command_line(
        *("ablate", STUDIES / "norms.yaml", "--run", place / "study", "--train", photos),
        *(
            "--validation",
            photos,
            "--evaluate.sets.photos",
            photos,
            "--budget.steps",
            "6",
            "--seeds",
            "[0, 1]",
        ),
        *("--variants", "{preset: null, none: texture-no-norm}", "--fields.batch", "2"),
        *("--recipe", RECIPES / "nano-x4-ablation.yaml"),
    )
    results = json.loads((place / "study" / "results.json").read_text())
    return {"scores": np.array(scores(results))}


def scores(value: Any, name: str = "") -> list[float]:
    """Numbers below keys that are named for scores, in order."""
    if isinstance(value, dict):
        return [number for key, inner in value.items() for number in scores(inner, str(key))]
    if isinstance(value, list):
        return [number for inner in value for number in scores(inner, name)]
    return [value] if isinstance(value, float) and "psnr" in name else []


def numbers(value: Any) -> list[float]:
    """A number, or those of a table, in the order of their names."""
    return [float(value[key]) for key in sorted(value)] if isinstance(value, dict) else [float(value)]


def shipped() -> list[str]:
    """Names of the models that ship."""
    import hfmoe

    return sorted(path.stem for path in Path(hfmoe.__file__).parent.glob("models/shipped/*.safetensors"))


def crop(place: Path, name: str, width: int, height: int) -> Path:
    """A part of a photo, as 16 bits."""
    image = pyvips.Image.new_from_file(str(PHOTOS / name)).crop(120, 90, width, height)
    path = place / f"{Path(name).stem}.tif"
    (image.cast("ushort") * 257).cast("ushort").write_to_file(str(path))
    return path


def folder_of_photos(place: Path) -> Path:
    """Three photos to learn from."""
    folder = place / "photos"
    folder.mkdir(exist_ok=True)
    for name in ("coffee.png", "chelsea.png", "rocket.jpg"):
        image = pyvips.Image.new_from_file(str(PHOTOS / name))
        image.crop(20, 20, 280, 260).write_to_file(str(folder / f"{Path(name).stem}.png"))
    return folder


def command_line(*words: object) -> None:
    """Run the command, and stop with what it said where it fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "hfmoe", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


if __name__ == "__main__":
    main()
