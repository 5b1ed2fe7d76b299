"""Evaluation protocols: how originals become degraded images, under a name with a version, and how to score.

A protocol is a value that a function of its settings makes; `choose_protocol` makes it by name.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import torch
from einops import rearrange, repeat
from jaxtyping import Float, UInt8
from torch import Tensor

from hfmoe.data.degradations.blur import GaussianBlur
from hfmoe.evaluate.originals import (
    check_scorable,
    in_unit,
    originals,
    paired_files,
    read_clean,
    read_cropped,
    read_studio_luma,
)
from hfmoe.evaluate.seeding import Degradation, degradation_for, noise_for
from hfmoe.image.colour import luma, rgb_from_ycbcr, ycbcr_from_rgb
from hfmoe.image.encoded import through_jpeg
from hfmoe.image.files import ImageError, read_8bit
from hfmoe.image.picture import quantise, round_to_8bit
from hfmoe.image.resize import resize

Restore = Callable[[Float[Tensor, "b c h w"]], Float[Tensor, "b c H W"]]
SUPER_RESOLUTION = ("classical-sr", "luma-sr")
SYNTHETIC = ("colour-denoise", "gray-denoise", "colour-jpeg", "gray-jpeg", "luma-jpeg")
NAMES = (*SUPER_RESOLUTION, *SYNTHETIC, "colour-photo", "gray-photo", "photo-perceptual", "paired")


class ImagePair(NamedTuple):
    """One image of a protocol: what a restorer is given and what it is compared with.

    group: of the protocols that degrade each original more than once, the name of this way.
    """

    name: str
    degraded: Float[Tensor, "1 c h w"]
    target: Float[Tensor, "1 d H W"]
    group: str = ""


PERCEPTUAL = {
    "clean": Degradation(),
    "mild": Degradation(blur=0.6, noise=4, quality=80),
    "strong": Degradation(blur=0.9, noise=12, quality=50),
}
"""Strengths of photo-perceptual; at x4 the blur is 2.4 and 3.6 pixels of the target."""


@dataclass(frozen=True)
class EvaluationProtocol:
    """An evaluation protocol.

    Attributes:
        name: with its version, as reports carry it.
        pairs: the images of a folder by name; raises ImageError for an empty folder, and for a file that
            cannot be read or is too small to score.
        border: pixels on each side that do not count.
        headline: the score that the papers of this protocol report, the name of a field of Scores.
    """

    name: str
    pairs: Callable[[Path], Iterator[ImagePair]]
    border: int = 0
    headline: str = "psnr_rgb"


@dataclass(frozen=True)
class ProtocolSettings:
    """Settings of protocols: noise level, JPEG quality, where the targets of real pairs are."""

    sigma: float = 25.0
    quality: int = 10
    targets: Path | None = None
    suffixes: tuple[str, str] = ("_real", "_mean")


def default_protocol(task: str, *, scale: int, channels: int, targets: bool = False) -> str:
    """Return the protocol's name for a task ("sr", "denoise", "jpeg", "photo"), or for pairs."""
    if targets:
        return "paired"
    kind = "gray" if channels == 1 else "colour"
    if task == "photo":
        return f"{kind}-photo"
    if scale > 1:
        return "luma-sr" if channels == 1 else "classical-sr"
    return f"{kind}-{task}" if task in ("denoise", "jpeg") else "paired"


def choose_protocol(name: str, *, scale: int, settings: ProtocolSettings) -> EvaluationProtocol:
    """Return the protocol of a name for models of a scale.

    Raises ValueError for an unknown name, a scale that it is not for, or settings out of range.
    """
    if name not in NAMES:
        raise ValueError(f"protocol {name!r} must be one of {', '.join(NAMES)}")
    if name == "paired":
        return paired(scale, targets=settings.targets, suffixes=settings.suffixes)
    if settings.targets is not None:
        raise ValueError(f"targets are for the protocol paired; {name} makes its own from the folder")
    if name in SUPER_RESOLUTION and scale == 1:
        raise ValueError(f"protocol {name} is for models that enlarge; this one is of scale 1")
    if name in SYNTHETIC and scale != 1:
        raise ValueError(f"protocol {name} is for models of scale 1; this one is of scale {scale}")
    channels = 1 if name.startswith("gray-") else 3
    make = {
        "classical-sr": lambda: classical_sr(scale),
        "luma-sr": lambda: luma_sr(scale),
        "denoise": lambda: gaussian_denoising(settings.sigma, channels),
        "jpeg": lambda: deblocking(settings.quality, channels),
        "luma-jpeg": lambda: deblocking(settings.quality, 1, studio=True),
        "photo": lambda: photo_restoration(scale, channels),
        "photo-perceptual": lambda: photo_perceptual(scale),
    }
    return make[name.removeprefix("gray-").removeprefix("colour-")]()


def classical_sr(scale: int) -> EvaluationProtocol:
    """The protocol of the super-resolution papers, on RGB.

    Originals are cropped to a multiple of the scale and shrunk by MATLAB's bicubic in 8 bits; results
    are rounded to 8 bits; `scale` pixels on each side do not count. Y is BT.601's. A gray original is
    given as three equal channels, and its own samples are the Y that counts, as in MATLAB's scripts.
    """

    def degrade(path: Path) -> ImagePair:
        target = read_cropped(path, scale=scale)
        rgb = repeat(target, "1 1 h w -> 1 3 h w") if target.shape[1] == 1 else target
        return ImagePair(path.name, resize(rgb, scale=Fraction(1, scale), round_to_uint8=True), target)

    _check_enlarges(scale)
    return EvaluationProtocol(f"classical-sr-x{scale} v1", _each(degrade), scale, "psnr_y")


def luma_sr(scale: int) -> EvaluationProtocol:
    """The older protocol of the published bicubic, SRCNN and FSRCNN rows, which sees Y alone.

    The target is the original's BT.601 Y rounded to 8 bits, as a gray image. It is shrunk by MATLAB's
    bicubic without rounding; results are rounded to 8 bits; `scale` pixels on each side do not count.
    """

    def degrade(path: Path) -> ImagePair:
        colour = read_cropped(path, scale=scale)
        target = colour if colour.shape[1] == 1 else round_to_8bit(luma(colour))
        return ImagePair(path.name, resize(target, scale=Fraction(1, scale)), target)

    _check_enlarges(scale)
    return EvaluationProtocol(f"luma-sr-x{scale} v1", _each(degrade), scale, "psnr_y")


def gaussian_denoising(sigma: float, channels: int = 3, seed: int = 0) -> EvaluationProtocol:
    """White Gaussian noise of standard deviation `sigma` / 255 on clean 8-bit images.

    As in the papers (DnCNN, FFDNet, DRUNet, SwinIR) the noisy image is neither rounded nor clamped: a
    restorer is given floats that leave [0, 1]. The noise of an image is fixed by `seed` and its content.
    `channels` 1: gray, of colour files their full-range BT.601 luma; 3: RGB, a gray file as three channels.
    Every pixel counts.
    """
    if not 0 < sigma <= 255:
        raise ValueError(f"sigma {sigma:g} must be in (0, 255]")

    def degrade(path: Path) -> ImagePair:
        levels = read_clean(path, channels)
        target = in_unit(levels)
        noise = noise_for(levels, seed=seed)[None].to(target)
        return ImagePair(path.name, target + noise * (sigma / 255), target)

    return EvaluationProtocol(f"{_kind(channels)}-denoise-s{sigma:g} {_version(seed)}", _each(degrade))


def deblocking(quality: int, channels: int = 3, *, studio: bool = False) -> EvaluationProtocol:
    """JPEG of a fixed quality: libjpeg with the standard tables, colours at half resolution below 90.

    `channels` 1 is the convention of ARCNN, DnCNN and SwinIR on gray files: the gray image is encoded as a
    gray JPEG and PSNR is of its samples. Of colour files it takes the full-range luma, as OpenCV's and
    Pillow's gray, or with `studio` the Y of MATLAB's rgb2ycbcr (16 to 235), rounded to 8 bits, as the papers
    do for LIVE1. Every pixel counts.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"quality {quality} must be in [1, 100]")

    def degrade(path: Path) -> ImagePair:
        levels = read_studio_luma(path) if studio else read_clean(path, channels)
        return ImagePair(path.name, in_unit(through_jpeg(levels, quality=quality)), in_unit(levels))

    return EvaluationProtocol(f"{'luma' if studio else _kind(channels)}-jpeg-q{quality} v1", _each(degrade))


def photo_restoration(scale: int, channels: int = 3, seed: int = 0) -> EvaluationProtocol:
    """Clean 8-bit images with blur, noise and JPEG together, each of a strength that differs by image.

    The target, cropped to a multiple of the scale, is blurred by an isotropic Gaussian, shrunk by MATLAB's
    bicubic, given white Gaussian noise, rounded to 8 bits and stored as JPEG (libjpeg, colours at half
    resolution below 90). Strengths are uniform in the ranges of `degradation_for`; they and the noise are
    fixed by `seed` and the image's content. Results are clamped and rounded, `scale` pixels on each side left
    out, none at scale 1. `channels` 1: gray, of colour files their full-range BT.601 luma; 3: RGB.
    """
    border = _border(scale)

    def degrade(path: Path) -> ImagePair:
        levels = read_clean(path, channels, multiple=scale, border=border)
        drawn = degradation_for(levels, seed=seed)
        return ImagePair(path.name, _damaged(levels, drawn, scale=scale, seed=seed), in_unit(levels))

    return EvaluationProtocol(f"{_kind(channels)}-photo-x{scale} {_version(seed)}", _each(degrade), border)


def photo_perceptual(scale: int, seed: int = 0) -> EvaluationProtocol:
    """Photos with no, mild and strong damage, each original three times: for measures of what people see.

    The steps are those of `photo_restoration`, the strengths those of PERCEPTUAL. RGB; scale 1 has no clean
    input.
    """
    border = _border(scale)
    levels_of_damage = {
        name: damage for name, damage in PERCEPTUAL.items() if scale > 1 or damage != Degradation()
    }

    def pairs(folder: Path) -> Iterator[ImagePair]:
        for path in originals(folder):
            levels = read_clean(path, 3, multiple=scale, border=border)
            for group, damage in levels_of_damage.items():
                degraded = _damaged(levels, damage, scale=scale, seed=seed)
                yield ImagePair(f"{path.name}, {group}", degraded, in_unit(levels), group)

    return EvaluationProtocol(f"photo-perceptual-x{scale} {_version(seed)}", pairs, border)


def _damaged(
    levels: UInt8[Tensor, "c h w"], damage: Degradation, *, scale: int, seed: int
) -> Float[Tensor, "1 c h2 w2"]:
    image = levels.float() / 255
    if damage.blur > 0:
        sigma = damage.blur * scale
        image = GaussianBlur(2 * math.ceil(3 * sigma) + 1, sigma=(sigma, sigma))(image)
    image = image[None]
    if scale > 1:
        image = resize(image, scale=Fraction(1, scale))
    if damage.noise > 0:
        noise = noise_for(levels, seed=seed, shape=tuple(image.shape[1:]))
        image = image + noise.to(image) * (damage.noise / 255)
    rounded = quantise(image[0]).to(torch.uint8)
    encoded = rounded if damage.quality is None else through_jpeg(rounded, quality=damage.quality)
    return in_unit(encoded)


def paired(
    scale: int = 1, *, targets: Path | None = None, suffixes: tuple[str, str] = ("_real", "_mean")
) -> EvaluationProtocol:
    """Real pairs: degraded images and their targets, `scale` times as large, both in 8 bits.

    With `targets` that folder holds them under the same stems. Without it one folder holds both: the stems
    end in `suffixes`, the degraded one's first (CC: `_real` and `_mean`). `scale` pixels on each side do
    not count where it is more than 1.
    """
    border = _border(scale)
    if targets is None and len(set(suffixes)) < 2:
        raise ValueError(f"suffixes {suffixes} must differ")

    def pairs(folder: Path) -> Iterator[ImagePair]:
        for degraded_path, target_path in paired_files(folder, targets, suffixes):
            degraded, target = (in_unit(read_8bit(path)) for path in (degraded_path, target_path))
            check_scorable(target_path, target, border=border)
            due = tuple(side * scale for side in degraded.shape[-2:])
            if target.shape[-2:] != due:
                sizes = f"{tuple(target.shape[-2:])} must be {due}, {scale} times {degraded_path.name}"
                raise ImageError(f"{target_path}: height and width {sizes}")
            if target.shape[1] != degraded.shape[1]:
                raise ImageError(f"{target_path}: gray or colour must be the same as in {degraded_path.name}")
            yield ImagePair(degraded_path.name, degraded, target)

    return EvaluationProtocol(f"paired-x{scale} v1", pairs, border)


def bicubic(scale: int) -> Restore:
    """Return bicubic upscaling as the published rows did it: colours on the planes of YCbCr in 8 bits.

    Gray images, and colour images whose channels are equal, are upscaled as they are.
    """

    def restore(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c H W"]:
        plain = resize(image, scale=scale)
        if image.shape[1] == 1:
            return plain
        gray = rearrange((image == image[:, :1]).all(3).all(2).all(1), "b -> b 1 1 1")
        planes = round_to_8bit(resize(ycbcr_from_rgb(image), scale=scale))
        return torch.where(gray, plain, rgb_from_ycbcr(planes))

    return restore


def as_given(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Return the baseline of scale 1: the degraded image itself."""
    return image


def _each(degrade: Callable[[Path], ImagePair]) -> Callable[[Path], Iterator[ImagePair]]:
    """Return the pairs of a protocol that degrades each original of a folder."""
    return lambda folder: map(degrade, originals(folder))


def _check_enlarges(scale: int) -> None:
    if scale < 2:
        raise ValueError(f"scale {scale} must be at least 2 for super-resolution")


def _border(scale: int) -> int:
    if scale < 1:
        raise ValueError(f"scale {scale} must be at least 1")
    return scale if scale > 1 else 0


def _kind(channels: int) -> str:
    if channels not in (1, 3):
        raise ValueError(f"channels {channels} must be 1 (gray) or 3 (colour)")
    return "gray" if channels == 1 else "colour"


def _version(seed: int) -> str:
    return f"v1 seed {seed}" if seed else "v1"
