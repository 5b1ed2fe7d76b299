"""Pictures of an evaluation: the worst crops of a folder, and an error map of each image."""

import errno
from dataclasses import dataclass, field
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from hfmoe.evaluate.crops import Crop, baseline_name, decibels, error_map, unrestored, worst_crop
from hfmoe.evaluate.figure import check_matplotlib, new_figure, save_figure, show_image, show_map
from hfmoe.evaluate.protocol import Pair

ERROR_LEVELS = 32.0
"""White of every error map, in 8-bit levels: maps of all images and models can be laid side by side."""

SIDE = 96
ROWS = 6


@dataclass(frozen=True)
class Album:
    """Gathers an evaluation's images; `add` is the `on_restored` of `evaluate`, `finish` the last call.

    Writes into `folder` (made where it is missing) `error-<stem>.png` for each image, at once (with its
    suffix where another has the stem), and `worst-crops.png` with the worst square of each of the
    `rows` worst images.
    """

    folder: Path
    model: str
    border: int
    side: int = SIDE
    rows: int = ROWS
    crops: list[Crop] = field(default_factory=list)
    stems: set[str] = field(default_factory=set)

    def add(self, pair: Pair, restored: Float[Tensor, "1 c h w"]) -> None:
        """Draw one image's error map and keep its worst square if it is among the worst."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.crops.append(worst_crop(pair, restored, side=self.side, border=self.border))
        self.crops.sort(key=lambda crop: -crop.mean_square)
        del self.crops[self.rows :]
        draw_errors(pair, restored, self._error_file(pair.name), model=self.model)

    def _error_file(self, name: str) -> Path:
        stem = Path(name).stem
        stem = name if stem in self.stems else stem
        self.stems.add(stem)
        return self.folder / f"error-{stem}.png"

    def finish(self) -> None:
        """Draw the worst squares."""
        draw_crops(self.crops, self.folder / "worst-crops.png", model=self.model)


def check_pictures(folder: Path) -> None:
    """Asked before the work: OSError naming the folder that cannot be one, ImportError without matplotlib."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is a file, not a folder", str(folder))
    check_matplotlib()


def draw_errors(pair: Pair, restored: Float[Tensor, "1 c h w"], path: Path, *, model: str) -> None:
    """Target and result, and below the errors of baseline and result on the same scale."""
    height, width = pair.target.shape[-2:]
    figure = new_figure(width=11.0, height=max(4.0, 10 * height / width + 0.9))
    axes = figure.subplots(2, 2)
    show_image(axes[0, 0], pair.target[0], f"{pair.name}: target")
    show_image(axes[0, 1], restored[0], model)
    for place, name, image in ((0, baseline_name(pair), unrestored(pair)), (1, model, restored)):
        errors = error_map(image[0], pair.target[0])
        title = f"{name}: error, root mean square {errors.square().mean().sqrt():.1f} levels"
        show_map(axes[1, place], errors, title, low=0.0, high=ERROR_LEVELS)
    label = f"error in 8-bit levels; {ERROR_LEVELS:g} or more is brightest"
    figure.colorbar(axes[1, 1].images[0], ax=axes[1, :], location="bottom", shrink=0.5, label=label)
    save_figure(figure, path)


def draw_crops(crops: list[Crop], path: Path, *, model: str) -> None:
    """A row for each crop: target, result, baseline, error map."""
    figure = new_figure(width=13.0, height=3.1 * len(crops) + 0.5)
    figure.suptitle(f"Where {model} is farthest from the target: the worst {SIDE} x {SIDE} of each image")
    rows = figure.subplots(len(crops), 4, squeeze=False)
    label = f"8-bit levels, 0 to {ERROR_LEVELS:g}"
    for axes, crop in zip(rows, crops, strict=True):
        show_image(axes[0], crop.target, f"{crop.name}\ntarget, at row {crop.top}, column {crop.left}")
        show_image(axes[1], crop.restored, f"{model}\n{decibels(crop.mean_square):.2f} dB here")
        plain = float((error_map(crop.baseline, crop.target) / 255).square().mean())
        show_image(axes[2], crop.baseline, f"{crop.baseline_name}\n{decibels(plain):.2f} dB here")
        errors = error_map(crop.restored, crop.target)
        show_map(axes[3], errors, f"error of {model}", low=0.0, high=ERROR_LEVELS, label=label)
    save_figure(figure, path)
