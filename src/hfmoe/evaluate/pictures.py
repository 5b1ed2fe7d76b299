"""Pictures of an evaluation: an error map of each image, and the worst crops of a folder."""

import errno
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import reduce, repeat
from jaxtyping import Float
from torch import Tensor

from hfmoe.evaluate.protocols import ImagePair
from hfmoe.image.picture import round_to_8bit
from hfmoe.image.resize import resize
from hfmoe.report.figure import check_matplotlib
from hfmoe.report.sheet import Cell, ImageCell, MapCell, write_grid

ERROR_LEVELS = 32.0
"""White of every error map, in 8-bit levels: maps of all images and models can be laid side by side."""

SIDE = 96
ROWS = 6


class WorstCrop(NamedTuple):
    """A square of one image: target, result and what the degraded image is without a network.

    mean_square: of the difference in 8-bit levels / 255, over the channels.
    """

    name: str
    top: int
    left: int
    target: Float[Tensor, "c h w"]
    restored: Float[Tensor, "c h w"]
    baseline: Float[Tensor, "c h w"]
    baseline_name: str
    mean_square: float


class Square(NamedTuple):
    """A rectangle of an image in pixels, and the mean of a map over it."""

    top: int
    left: int
    height: int
    width: int
    mean: float

    def place(self) -> tuple[Any, ...]:
        """Return the index of the square in an image's last two axes."""
        down, across = slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)
        return (..., down, across)


def error_map(restored: Float[Tensor, "c h w"], target: Float[Tensor, "d h w"]) -> Float[Tensor, "h w"]:
    """Return the root mean square over channels of the differences in 8-bit levels, at each pixel."""
    difference = round_to_8bit(restored) - round_to_8bit(target)
    return 255 * reduce(difference.square(), "c h w -> h w", "mean").sqrt()


def worst_crop(pair: ImagePair, restored: Float[Tensor, "1 c H W"], *, side: int, border: int) -> WorstCrop:
    """Return the square of `side` pixels (of the whole side where that is less) with the largest error."""
    whole, target = restored[0], pair.target[0]
    square = largest_mean(error_map(whole, target).square() / 255**2, side=side, border=border)
    baseline = unrestored(pair)[0]
    channels = max(len(whole), len(target))
    shown = [_channels(image[square.place()], channels) for image in (target, whole, baseline)]
    name, mean = baseline_name(pair), square.mean
    return WorstCrop(pair.name, square.top, square.left, shown[0], shown[1], shown[2], name, mean)


def largest_mean(values: Float[Tensor, "h w"], *, side: int, border: int = 0) -> Square:
    """Return the square of `side` pixels, or of the whole inner side where less, whose mean is largest.

    Of those that lie an eighth of their side apart, and those at the ends of rows and columns.
    """
    inner = tuple(length - 2 * border for length in values.shape)
    height, width = min(side, inner[0]), min(side, inner[1])
    kept = values[border : border + inner[0], border : border + inner[1]]
    step = max(1, side // 8)
    best = Square(border, border, height, width, -math.inf)
    for down in dict.fromkeys((0, inner[0] - height)):
        for across in dict.fromkeys((0, inner[1] - width)):
            means = F.avg_pool2d(kept[None, None, down:, across:], (height, width), stride=step)[0, 0]
            row, column = divmod(int(means.argmax()), means.shape[1])
            if (mean := float(means.max())) > best.mean:
                top, left = border + down + row * step, border + across + column * step
                best = Square(top, left, height, width, mean)
    return best


def unrestored(pair: ImagePair) -> Float[Tensor, "1 c H W"]:
    """Return the degraded image at the target's size: bicubic where it is smaller."""
    size = (pair.target.shape[-2], pair.target.shape[-1])
    same = pair.degraded.shape[-2:] == size
    return pair.degraded if same else resize(pair.degraded, size=size)


def baseline_name(pair: ImagePair) -> str:
    """Return the name of the unrestored image: "bicubic" where it had to be enlarged, else "input"."""
    return "input" if pair.degraded.shape[-2:] == pair.target.shape[-2:] else "bicubic"


def decibels(mean_square: float) -> float:
    """Return PSNR of a mean square of differences in [0, 1]."""
    return float(-10 * torch.log10(torch.tensor(mean_square, dtype=torch.float64)))


def _channels(image: Float[Tensor, "c h w"], channels: int) -> Float[Tensor, "d h w"]:
    return repeat(image, "1 h w -> d h w", d=channels) if len(image) < channels else image.clone()


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
    crops: list[WorstCrop] = field(default_factory=list)
    stems: set[str] = field(default_factory=set)

    def add(self, pair: ImagePair, restored: Float[Tensor, "1 c h w"]) -> None:
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
    """Raise OSError naming a folder that cannot be one, ImportError without matplotlib."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is a file, not a folder", str(folder))
    check_matplotlib()


def draw_errors(pair: ImagePair, restored: Float[Tensor, "1 c h w"], path: Path, *, model: str) -> None:
    """Draw target and result, and below the errors of baseline and result on the same scale."""
    height, width = pair.target.shape[-2:]
    images = [ImageCell(pair.target[0], f"{pair.name}: target"), ImageCell(restored[0], model)]
    maps = []
    for name, image in ((baseline_name(pair), unrestored(pair)), (model, restored)):
        errors = error_map(image[0], pair.target[0])
        title = f"{name}: error, root mean square {errors.square().mean().sqrt():.1f} levels"
        maps.append(MapCell(errors, title, 0.0, ERROR_LEVELS))
    label = f"error in 8-bit levels; {ERROR_LEVELS:g} or more is brightest"
    write_grid([images, maps], path, width=11.0, height=max(4.0, 10 * height / width + 0.9), bar=label)


def draw_crops(crops: list[WorstCrop], path: Path, *, model: str) -> None:
    """Draw a row for each crop: target, result, baseline, error map."""
    title = f"Where {model} is farthest from the target: the worst {SIDE} x {SIDE} of each image"
    rows = [_crop_cells(crop, model) for crop in crops]
    write_grid(rows, path, width=13.0, height=3.1 * len(crops) + 0.5, title=title)


def _crop_cells(crop: WorstCrop, model: str) -> list[Cell]:
    plain = float((error_map(crop.baseline, crop.target) / 255).square().mean())
    errors = error_map(crop.restored, crop.target)
    label = f"8-bit levels, 0 to {ERROR_LEVELS:g}"
    return [
        ImageCell(crop.target, f"{crop.name}\ntarget, at row {crop.top}, column {crop.left}"),
        ImageCell(crop.restored, f"{model}\n{decibels(crop.mean_square):.2f} dB here"),
        ImageCell(crop.baseline, f"{crop.baseline_name}\n{decibels(plain):.2f} dB here"),
        MapCell(errors, f"error of {model}", 0.0, ERROR_LEVELS, label),
    ]
