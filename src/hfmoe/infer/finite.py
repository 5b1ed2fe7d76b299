"""Whether what a network makes is made of numbers."""

from jaxtyping import Float

from hfmoe.image.arrays import Array, namespace


def is_finite(image: Float[Array, "b c h w"]) -> bool:
    """Of the sum, which takes no memory: one value that is not finite makes it so."""
    return bool(namespace(image).isfinite(image.sum()))


def checked(image: Float[Array, "b c h w"]) -> Float[Array, "b c h w"]:
    """The image itself. Raises RuntimeError where it holds a value that is not finite."""
    if not is_finite(image):
        raise RuntimeError("the network made values that are not finite, in float32 too")
    return image
