"""Samples of a batch: where their crops lie and how they are degraded, replayable from (seed, step)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from hfmoe.data.camera_processing import Softness
from hfmoe.data.degradations.blur import GaussianBlur
from hfmoe.data.degradations.operations import apply, as_data
from hfmoe.data.degradations.resampling import Cut
from hfmoe.data.degradations.sampling import choice
from hfmoe.data.degradations.task import Operation, Task
from hfmoe.data.photos import Photo, PhotoSet
from hfmoe.data.sources import DataError


class Crop(NamedTuple):
    """Place of a sample: photo, corner in degraded pixels, and which of 8 flips and turns."""

    photo: int
    top: int
    left: int
    turn: int


def draw(photos: PhotoSet, *, seed: int, step: int, size: int, patch: int) -> list[Crop]:
    """Choose `size` crops of `patch` x `patch` degraded pixels, from nothing but (seed, step).

    Every crop position of the whole set is equally likely, so a photo is drawn in proportion to the room
    that it has for the patch; a photo smaller than the patch is never drawn.
    """
    room = np.clip(photos.sizes - patch + 1, 0, None)
    ends = np.cumsum(room[:, 0] * room[:, 1])
    if not len(ends) or not ends[-1]:
        raise DataError(
            f"none of {len(ends)} photos has room for a patch of {patch} x {patch} degraded pixels"
        )
    generator = np.random.default_rng([seed, step])
    places = generator.integers(ends[-1], size=size)
    turns = generator.integers(8, size=size)
    chosen = np.searchsorted(ends, places, side="right")
    within = places - np.where(chosen > 0, ends[chosen - 1], 0)
    tops, lefts = np.divmod(within, room[chosen, 1])
    return [Crop(*map(int, numbers)) for numbers in zip(chosen, tops, lefts, turns, strict=True)]


def turned(image: UInt8[np.ndarray, "h w c"], turn: int) -> UInt8[np.ndarray, "H W c"]:
    """Return one of the 8 flips and quarter turns of an image, as a view."""
    image = image.swapaxes(0, 1) if turn & 4 else image
    return image[:: -1 if turn & 2 else 1, :: -1 if turn & 1 else 1]


def gather(photos: PhotoSet, crops: Sequence[Crop], *, patch: int) -> Photo:
    """Copy the crops out of their photos: uint8 arrays "b patch patch c" and "b scale*patch scale*patch c".

    In a labelled set, the target stands for the teacher's result of a photo without one.
    """
    sides = []
    for side, factor in enumerate((1, photos.scale, *((photos.scale,) if photos.labelled else ()))):
        length = patch * factor
        channels = photos.photos[0].target.shape[-1]
        out = np.empty((len(crops), length, length, channels), dtype=np.uint8)
        for into, crop in zip(out, crops, strict=True):
            top, left = crop.top * factor, crop.left * factor
            window = _side(photos, crop, side)[top : top + length, left : left + length]
            into[:] = turned(window, crop.turn)
        sides.append(out)
    return Photo(*sides)


JITTER = (-4, 4)
"""Range, in degraded pixels, by which a crop may lie off the middle of its window, so that JPEG blocks begin
at all of 8 places."""

GIVEN = "given"
"""Task of a photo that came with its degraded side."""


@dataclass(frozen=True)
class Mixture:
    """Tasks at a share of the run, the weights by which samples fall to them, and how soft photos are."""

    tasks: tuple[Task, ...]
    weights: tuple[float, ...]
    softness: Softness | None = None
    share: float = 1.0

    def draw(self, generator: torch.Generator) -> Task:
        """Draw the task of one sample."""
        return choice(generator, self.tasks, self.weights)


class Sample(NamedTuple):
    """One sample of a batch.

    crop: which degraded pixels. task: kind of its task. margin: degraded pixels between the sides of the
    window that is degraded and those of the crop, in the turned window: (above, left, below, right).
    operations: turn the window's source into the degraded crop; none where the photo's degraded side is used.
    softness: standard deviation, in pixels of the target, of the blur that source and target have before; a
    source that is smaller than its target has it sampled on its own pixels.
    """

    crop: Crop
    task: str
    shrinks: bool
    margin: tuple[int, int, int, int]
    operations: tuple[Operation, ...]
    softness: float = 0.0

    def as_data(self, name: str = "") -> dict[str, Any]:
        """Return the sample as plain values that JSON keeps exactly."""
        place = {**self.crop._asdict(), "margin": list(self.margin)}
        place |= {"photo": name} if name else {}
        soft = {"softness": self.softness} if self.softness else {}
        return {"task": self.task, "place": place, **soft, "operations": as_data(self.operations)}


class Made(NamedTuple):
    """A sample's pixels in [0, 1]: the clean source its operations start from, and the pair they lead to.

    teacher: in a set where photos are labelled, the teacher's result, or the target where there is none.
    """

    source: Float[Tensor, "c a b"]
    degraded: Float[Tensor, "c h w"]
    target: Float[Tensor, "c H W"]
    teacher: Float[Tensor, "c H W"] | None = None


def draw_sample(
    photos: PhotoSet, crop: Crop, mixture: Mixture, *, seed: int, step: int, number: int, patch: int
) -> Sample:
    """Draw task and operations of sample `number` of a batch from nothing but (seed, step, number)."""
    words = np.random.SeedSequence([seed, step, 2, number]).generate_state(2, np.uint32)
    generator = torch.Generator().manual_seed(int(words[0]) << 21 | int(words[1]) >> 11)
    if photos.given[crop.photo]:
        return Sample(crop, photos.task(crop.photo) or GIVEN, False, (0, 0, 0, 0), ())
    task = mixture.draw(generator)
    scale = photos.scale if task.shrinks else 1
    margin = _margin(task, generator, scale=scale)
    above, left, below, right = margin
    size = ((above + patch + below) * scale, (left + patch + right) * scale)
    operations = task.draw(generator, size=size, scale=scale, share=mixture.share)
    if operations and any(margin):
        operations.append(Cut(above, left, patch, patch))
    softness = mixture.softness.draw(generator) if mixture.softness else 0.0
    return Sample(crop, task.kind, task.shrinks, margin, tuple(operations), softness)


def _margin(task: Task, generator: torch.Generator, *, scale: int) -> tuple[int, int, int, int]:
    """Equal margins, or the same in sum with the crop off the middle."""
    width = -(-task.margin // scale)
    if not task.jitters:
        return (width, width, width, width)
    width = max(width, -JITTER[0])
    down, right = torch.randint(*JITTER, (2,), generator=generator).tolist()
    return (width + down, width + right, width - down, width - right)


def make_sample(photos: PhotoSet, sample: Sample, *, patch: int, device: torch.device | None = None) -> Made:
    """Cut the window of a sample out of its photo and degrade it."""
    factor = photos.scale if sample.shrinks else 1
    side = 1 if sample.shrinks else 0
    source = _soft_window(photos, sample, side=side, factor=factor, patch=patch, device=device)
    degraded = apply(source, sample.operations)
    bare = sample._replace(margin=(0, 0, 0, 0))
    target = _soft_window(photos, bare, side=1, factor=photos.scale, patch=patch, device=device)
    if photos.photos[sample.crop.photo].teacher is None:
        return Made(source, degraded, target, target if photos.labelled else None)
    teacher = _soft_window(photos, bare, side=2, factor=photos.scale, patch=patch, device=device)
    return Made(source, degraded, target, teacher)


def _soft_window(
    photos: PhotoSet, sample: Sample, *, side: int, factor: int, patch: int, device: torch.device | None
) -> Float[Tensor, "c h w"]:
    """The sample's window, as soft as the sample says, from a larger window that its blur reaches into."""
    if not sample.softness:
        return unit_range(window(photos, sample, side=side, factor=factor, patch=patch)).to(device)
    sigma = sample.softness * factor / photos.scale
    reach = math.ceil(3 * sigma)
    around = -(-reach // factor)
    wide = sample._replace(margin=tuple(width + around for width in sample.margin))
    image = unit_range(window(photos, wide, side=side, factor=factor, patch=patch)).to(device)
    cut = slice(around * factor, -around * factor)
    return GaussianBlur(2 * reach + 1, sigma=(sigma, sigma))(image)[:, cut, cut]


def window(
    photos: PhotoSet, sample: Sample, *, side: int, factor: int, patch: int
) -> UInt8[np.ndarray, "h w c"]:
    """Cut a turned window with its margins out of one side of a photo, mirrored where it leaves the photo."""
    image = _side(photos, sample.crop, side)
    above, left, below, right = unturned(sample.margin, sample.crop.turn)
    rows = (sample.crop.top - above, sample.crop.top + patch + below)
    columns = (sample.crop.left - left, sample.crop.left + patch + right)
    ranges = [(start * factor, stop * factor) for start, stop in (rows, columns)]
    inside = all(start >= 0 and stop <= n for (start, stop), n in zip(ranges, image.shape[:2], strict=True))
    if inside:
        cut = image[slice(*ranges[0]), slice(*ranges[1])]
    else:
        cut = image[np.ix_(*(_mirrored(*r, length=n) for r, n in zip(ranges, image.shape[:2], strict=True)))]
    return turned(cut, sample.crop.turn)


def _side(photos: PhotoSet, crop: Crop, side: int) -> UInt8[np.ndarray, "h w c"]:
    """Return one side of a crop's photo: degraded, target, or teacher, for which the target may stand."""
    photo = photos.photos[crop.photo]
    image = photo[side]
    return photo.target if image is None else image


def unturned(margin: tuple[int, int, int, int], turn: int) -> tuple[int, int, int, int]:
    """Return the margins in the photo of a window whose margins after `turned` are these."""
    above, left, below, right = margin
    if turn & 2:
        above, below = below, above
    if turn & 1:
        left, right = right, left
    return (left, above, right, below) if turn & 4 else (above, left, below, right)


def stack(images: Sequence[Float[Tensor, "c h w"]]) -> Float[Tensor, "b c h w"]:
    """Collect images of one size in channels-last memory."""
    return torch.stack(list(images)).contiguous(memory_format=torch.channels_last)


def unit_range(image: UInt8[np.ndarray, "h w c"]) -> Float[Tensor, "c h w"]:
    """Divide by 255 in numpy: one pass in this thread, so that torch's threads stay with the step."""
    planes = np.divide(rearrange(image, "h w c -> c h w"), np.float32(255), dtype=np.float32, order="C")
    return torch.from_numpy(planes)


def _mirrored(start: int, stop: int, *, length: int) -> np.ndarray:
    around = np.arange(start, stop) % (2 * length)
    return np.minimum(around, 2 * length - 1 - around)
