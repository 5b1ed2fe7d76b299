"""Figures as PNG files: matplotlib without global state, written whole or not at all."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from hfmoe.image.files import ImageError
from hfmoe.runtime.files import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110


def new_figure(*, width: float, height: float) -> "Figure":
    """Return an empty figure of a size in inches. Raises ImportError where matplotlib is not installed."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def check_matplotlib() -> None:
    """Raise ImportError where matplotlib is not installed: asked before the work."""
    new_figure(width=1.0, height=1.0)


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG. Raises ImageError naming path when it cannot be written."""
    try:
        with atomic(path) as unfinished:
            figure.savefig(unfinished, format="png", facecolor="white")
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror or error})") from error


def pixels(image: Float[Tensor, "c h w"]) -> Float[np.ndarray, "h w 3"]:
    """Return an image of 1 or 3 channels as matplotlib takes it, clamped to [0, 1]."""
    colour = repeat(image, "1 h w -> 3 h w") if len(image) == 1 else image
    return rearrange(colour.detach().cpu().float().clamp(0, 1), "c h w -> h w c").numpy()


def show_image(axes: "Axes", image: Float[Tensor, "c h w"], title: str) -> None:
    """Draw an image with its pixels as they are, under a title."""
    axes.imshow(pixels(image), interpolation="nearest")
    bare(axes, title)


def show_map(
    axes: "Axes", values: Float[Tensor, "h w"], title: str, *, low: float, high: float, label: str = ""
) -> None:
    """Draw a map of numbers, with the bar that tells their scale where it has a label."""
    shown: Any = axes.imshow(
        values.detach().cpu().numpy(), cmap="inferno", vmin=low, vmax=high, interpolation="nearest"
    )
    bare(axes, title)
    if label:
        owner: Any = axes.figure
        owner.colorbar(shown, ax=axes, shrink=0.8, label=label)


def bare(axes: "Axes", title: str) -> None:
    """Set a title and remove the ticks."""
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])
