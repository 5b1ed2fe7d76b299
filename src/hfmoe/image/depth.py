"""Rounding of [0, 1] images to the levels that files of 8 or more bits a sample hold."""

from jaxtyping import Float, Shaped

from hfmoe.image.arrays import Array, namespace


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
