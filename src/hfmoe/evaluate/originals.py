"""Original images of an evaluation, read in 8 bits: those of a folder, their pairs, their least sizes."""

from pathlib import Path

from jaxtyping import Float, UInt8
from torch import Tensor

from hfmoe.image.colour import luma
from hfmoe.image.files import READ_SUFFIXES, ImageError, list_images, read_8bit, read_gray8, read_rgb8
from hfmoe.image.picture import quantise
from hfmoe.image.resize import crop_to_multiple
from hfmoe.metrics.ssim import WINDOW


def originals(folder: Path) -> list[Path]:
    """Return the image files of a folder; ImageError where there are none."""
    paths = list_images(folder)
    if not paths:
        raise ImageError(f"{folder}: the folder holds no images ({', '.join(READ_SUFFIXES)})")
    return paths


def paired_files(folder: Path, targets: Path | None, suffixes: tuple[str, str]) -> list[tuple[Path, Path]]:
    """Return each degraded file with the target whose stem is its own with one suffix for the other."""
    paths, drop, add = originals(folder), "", ""
    others = paths
    if targets is not None:
        others = originals(targets)
    else:
        drop, add = suffixes
        paths, others = ([path for path in others if path.stem.endswith(end)] for end in suffixes)
        if not paths:
            raise ImageError(f"{folder}: no image's name ends in {drop!r}")
    by_stem: dict[str, Path] = {}
    for path in others:
        if path.stem in by_stem:
            raise ImageError(f"{path}: {by_stem[path.stem].name} has the same stem; which is the target?")
        by_stem[path.stem] = path
    pairs = []
    for path in paths:
        stem = path.stem.removesuffix(drop) + add
        if stem not in by_stem:
            raise ImageError(f"{path}: no target {stem!r} in {targets or folder}")
        pairs.append((path, by_stem[stem]))
    return pairs


def read_cropped(path: Path, *, scale: int) -> Float[Tensor, "1 c h w"]:
    """Return the original in [0, 1], cropped to a multiple of the scale."""
    image = in_unit(read_8bit(path))
    height, width = image.shape[-2:]
    smallest = WINDOW + 2 * scale
    if min(height - height % scale, width - width % scale) < smallest:
        rule = f"at x{scale} at least {smallest} each way are scored, after cropping to a multiple of {scale}"
        raise ImageError(f"{path}: {width} x {height} pixels; {rule}")
    return crop_to_multiple(image, multiple=scale)


def read_clean(path: Path, channels: int, *, multiple: int = 1, border: int = 0) -> UInt8[Tensor, "c h w"]:
    """Return the original in 8 bits, cropped to a multiple: gray (full-range BT.601 luma) or RGB."""
    levels = read_gray8(path) if channels == 1 else read_rgb8(path)
    height, width = (side - side % multiple for side in levels.shape[-2:])
    levels = levels[:, :height, :width]
    check_scorable(path, levels, border=border)
    return levels


def read_studio_luma(path: Path) -> UInt8[Tensor, "1 h w"]:
    """Return the original's Y of MATLAB's rgb2ycbcr (16 to 235) in 8 bits; of a gray file its own samples."""
    levels = read_8bit(path)
    check_scorable(path, levels, border=0)
    return levels if len(levels) == 1 else quantise(luma(levels.double() / 255)).byte()


def in_unit(levels: UInt8[Tensor, "c h w"]) -> Float[Tensor, "1 c h w"]:
    """Return levels of 8 bits in [0, 1]."""
    return levels[None].float() / 255


def check_scorable(path: Path, image: Tensor, *, border: int) -> None:
    """Raise ImageError naming the file when it is smaller than one window of SSIM within its border."""
    height, width = image.shape[-2:]
    smallest = WINDOW + 2 * border
    if min(height, width) < smallest:
        raise ImageError(f"{path}: {width} x {height} pixels; at least {smallest} each way are scored")
