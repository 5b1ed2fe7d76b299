"""The parts of an image that measures look at."""

import numpy as np
from jaxtyping import Float, UInt8

_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def luma_of(image: UInt8[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w"]:
    """Full-range BT.601 luma in [0, 255], JPEG's; of one channel, that channel."""
    if image.shape[-1] == 1:
        return image[..., 0].astype(np.float32)
    return image.astype(np.float32) @ _WEIGHTS


def corner(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Row and column where the middle part of at most `side` x `side` begins, on the grid of JPEG blocks."""
    top, left = ((length - side) // 16 * 8 if length > side else 0 for length in shape[:2])
    return top, left


def middle(image: np.ndarray, side: int) -> np.ndarray:
    """The middle of an image of rows and columns, at most `side` x `side`, from its `corner` on."""
    top, left = corner(image.shape, side)
    return image[top : top + side, left : left + side]


def thinned(image: UInt8[np.ndarray, "h w c"], side: int) -> UInt8[np.ndarray, "H W c"]:
    """Every n-th row and column, so that no side is much above `side`."""
    step_y, step_x = (max(1, length // side) for length in image.shape[:2])
    return image[::step_y, ::step_x]
