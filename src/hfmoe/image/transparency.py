"""Colours where a picture is transparent: nobody sees them, but a network that looks around would."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

VISIBLE = 1 / 8
"""Alpha from which on a pixel's colour is its own; below, it fades into that of its surroundings."""


def fill_hidden(
    colour: Float[Tensor, "b c h w"], alpha: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, "b c h w"]:
    """The colours with those of transparent pixels replaced by their visible surroundings'.

    Premultiplied colours are averaged over 2 x 2 pixels again and again until everything is covered, and
    laid under each finer level: what is hidden leaves no trace. Pixels of alpha 1/8 and more are unchanged.
    Source: Gortler et al., "The Lumigraph", 1996 (pull-push).
    """
    if alpha.min() >= VISIBLE:
        return colour
    seen, weight = colour * alpha, alpha
    under = colour.new_zeros(())
    if max(alpha.shape[-2:]) > 1:
        under = _doubled(_surroundings(_halved(seen), _halved(weight)), alpha)
    trust = (alpha / VISIBLE).clamp(max=1)
    return under * (1 - trust) + colour * trust


def _surroundings(
    seen: Float[Tensor, "b c h w"], weight: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, "b c h w"]:
    """Mean visible colours of a level; where little is visible, those of the next coarser one."""
    here = seen / weight.clamp(min=1e-6)
    if max(weight.shape[-2:]) == 1 or weight.min() >= VISIBLE:
        return here
    under = _doubled(_surroundings(_halved(seen), _halved(weight)), weight)
    trust = (weight / VISIBLE).clamp(max=1)
    return under * (1 - trust) + here * trust


def _halved(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c H W"]:
    return F.avg_pool2d(image, 2, ceil_mode=True)


def _doubled(image: Float[Tensor, "b c h w"], like: Float[Tensor, "b d H W"]) -> Float[Tensor, "b c H W"]:
    return F.interpolate(image, size=like.shape[-2:], mode="bilinear", align_corners=False)


def is_flat(alpha: Float[Tensor, "b 1 h w"], *, reach: int = 2) -> Float[Tensor, "b 1 h w"]:
    """1 where alpha is the same in a square of `reach` pixels around, 0 elsewhere."""
    side = 2 * reach + 1
    highest = F.max_pool2d(alpha, side, stride=1, padding=reach)
    lowest = -F.max_pool2d(-alpha, side, stride=1, padding=reach)
    return torch.eq(highest, lowest).to(alpha)
