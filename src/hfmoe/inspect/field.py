"""Effective receptive field: which input pixels an output pixel depends on (arXiv 1701.04128)."""

import torch
from jaxtyping import Float
from torch import Tensor

from hfmoe.evaluate.protocols import Restore


def receptive_field(
    restore: Restore, image: Float[Tensor, "1 c h w"], *, at: tuple[int, int]
) -> Float[Tensor, "h w"]:
    """Sum over channels of |d output / d input|, for the output pixel in the middle of input pixel `at`.

    The output may be larger than the input by a whole number. Raises ValueError when `at` is outside.
    """
    height, width = image.shape[-2:]
    if not (0 <= at[0] < height and 0 <= at[1] < width):
        raise ValueError(f"pixel {at} must be in an image of {height} x {width}")
    given = image.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        output = restore(given)
        scale = output.shape[-2] // height
        row, column = (place * scale + scale // 2 for place in at)
        total = output[..., row, column].sum()
    (gradient,) = torch.autograd.grad(total, given)
    return gradient.abs().sum((0, 1))


def mean_field(
    restore: Restore, image: Float[Tensor, "1 c h w"], *, grid: int, side: int, most: int = 9
) -> Float[Tensor, "s s"]:
    """Return mean receptive field over up to `most` squares of `side` pixels spread over an image.

    The squares begin on multiples of `grid`, so that their windows are those of the image, and the pixel
    looked at is the middle of the central window. `side` is an odd multiple of `grid`; smaller images are
    extended by their border.
    """
    if side % (2 * grid) != grid:
        raise ValueError(f"side {side} must be an odd multiple of {grid}")
    image = torch.nn.functional.pad(
        image, (0, max(0, side - image.shape[-1]), 0, max(0, side - image.shape[-2])), mode="replicate"
    )
    rows, columns = (list(range(0, length - side + 1, grid)) for length in image.shape[-2:])
    corners = [(row, column) for row in _spread(rows) for column in _spread(columns)][:most]
    fields = [
        receptive_field(restore, image[..., r : r + side, c : c + side], at=(side // 2, side // 2))
        for r, c in corners
    ]
    return torch.stack(fields).mean(0)


def radius(field: Float[Tensor, "h w"], *, at: tuple[int, int], share: float) -> int:
    """Return least r such that the square of 2 r + 1 pixels around `at` holds this share of a field's sum."""
    rows = (torch.arange(field.shape[0]) - at[0]).abs()
    columns = (torch.arange(field.shape[1]) - at[1]).abs()
    distance = torch.maximum(rows[:, None], columns[None, :])
    by_distance = torch.zeros(int(distance.max()) + 1, dtype=torch.float64)
    by_distance.index_add_(0, distance.flatten(), field.flatten().double())
    within = by_distance.cumsum(0) / by_distance.sum().clamp_min(1e-300)
    return int((within >= share - 1e-12).int().argmax())


def _spread(places: list[int], count: int = 3) -> list[int]:
    """First, middle and last; fewer where they are fewer."""
    picked = {round(index * (len(places) - 1) / max(count - 1, 1)) for index in range(count)}
    return [places[index] for index in sorted(picked)]
