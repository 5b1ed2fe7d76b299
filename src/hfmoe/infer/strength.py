"""How much of a restoration's detail is taken."""

from jaxtyping import Float

from hfmoe.image.arrays import Array
from hfmoe.image.filters import low_pass
from hfmoe.image.resize import resize


def weaken(
    restored: Float[Array, "b c H W"], image: Float[Array, "b c h w"], *, scale: int, strength: float
) -> Float[Array, "b c H W"]:
    """The restored image with its high band between that of the input, enlarged, and its own.

    strength: 1 is the restored image itself; 0 has its low band (tones, colours, coarse shapes) and the fine
    detail of the bicubic enlargement. What is done at a pixel depends on four input pixels around.
    """
    if strength == 1:
        return restored
    gained = restored - (resize(image, scale=scale) if scale > 1 else image)
    return restored - (1 - strength) * (gained - low_pass(gained, scale=scale))
