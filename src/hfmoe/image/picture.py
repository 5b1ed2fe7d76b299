"""Pictures in memory with all that their files say, their depth, and the error that files raise."""

from dataclasses import dataclass, field, replace
from typing import Literal

from einops import rearrange
from jaxtyping import Float, Shaped

from hfmoe.image.arrays import Array, namespace

Bits = Literal[8, 16, 32]
"""Depth of a file's samples: integers of 8 or 16 bits, or floats of 32."""


class ImageError(ValueError):
    """An image file that cannot be read or written; the message names the file and the rule."""


class PagesError(ImageError):
    """A file of several pages, or GIF, where a single picture is read; `hfmoe.image.pages` reads it."""


@dataclass(frozen=True)
class Metadata:
    """Metadata beside pixels and profile; `resolution` is in pixels per mm, across and down.

    software: the program that EXIF is to name, in place of the one that it names. exif begins with the six
    bytes "Exif\\0\\0". What says how the pixels lie (orientation, size, thumbnail) is
    made true when a file is written, not here.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    resolution: tuple[float, float] | None = None
    software: str | None = None


@dataclass(frozen=True)
class Picture:
    """Colour in [0, 1] with straight alpha; `bits` is the depth of the file it came from or goes to.

    missing: of a damaged file, the share of its rows that were not decoded; None of a sound one.

    Colour and alpha are both tensors or both numpy arrays. Colours of 32 bits are floats that may lie outside
    [0, 1]. The colours are those of the ICC profile `icc` (sRGB where there is none), never converted.
    """

    colour: Float[Array, "c h w"]
    alpha: Float[Array, "1 h w"] | None = None
    bits: Bits = 8
    icc: bytes | None = None
    metadata: Metadata = field(default=Metadata())
    missing: float | None = None

    def __post_init__(self):
        channels, height, width = self.colour.shape
        if channels not in (1, 3) or height < 1 or width < 1:
            raise ValueError(f"a picture of shape {channels, height, width} must be (1 or 3, >= 1, >= 1)")
        if self.alpha is not None and self.alpha.shape != (1, height, width):
            raise ValueError(f"alpha of shape {tuple(self.alpha.shape)} must be {1, height, width}")
        if self.bits not in (8, 16, 32):
            raise ValueError(f"bits {self.bits} must be 8, 16 or 32")


def flatten(picture: Picture, *, background: float | tuple[float, float, float] = 1.0) -> Picture:
    """The picture without alpha, laid over a plain background: a gray level, or RGB (white by default)."""
    if picture.alpha is None:
        return picture
    hidden = 1 - picture.alpha
    if isinstance(background, tuple) and len(picture.colour) == 1 and picture.icc is not None:
        red, green, blue = background
        background = 0.299 * red + 0.587 * green + 0.114 * blue  # the profile is of gray
    if not isinstance(background, tuple):
        colour = picture.colour * picture.alpha + background * hidden
        return replace(picture, colour=colour, alpha=None)
    channels = (
        picture.colour if len(picture.colour) == 3 or len(set(background)) == 1 else [picture.colour[0]] * 3
    )
    bands = [
        band * picture.alpha[0] + under * hidden[0] for band, under in zip(channels, background, strict=False)
    ]
    colour = namespace(picture.colour).stack(bands)
    return replace(picture, colour=colour, alpha=None)


def strip(picture: Picture) -> Picture:
    """The picture without EXIF, XMP, IPTC and resolution; the profile stays, for the colours need it."""
    return replace(picture, metadata=Metadata())


def hwc(picture: Picture) -> Float[Array, "h w bands"]:
    """Colour and, where there is one, alpha as the last band, in the order that files store."""
    bands = [picture.colour] if picture.alpha is None else [picture.colour, picture.alpha]
    return rearrange([band for part in bands for band in part], "bands h w -> h w bands")


def quantise(image: Shaped[Array, "*shape"], *, bits: int = 8) -> Float[Array, "*shape"]:
    """Integer levels 0..2**bits - 1 of an image in [0, 1], still as floats; halves round up.

    Values outside [0, 1] are clamped. Raises ValueError for NaN, which has no nearest level.
    """
    xp = namespace(image)
    if xp.isnan(image).any():
        raise ValueError("the image holds NaN, which has no nearest level")
    top = 2**bits - 1
    return xp.clip(xp.floor(image * top + 0.5), 0, top)


def round_to_8bit(image: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The image as an 8-bit file would hold it: clamped to [0, 1], on the grid of 1/255."""
    return quantise(image) / 255
