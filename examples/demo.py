"""Restore a real photo at x4 and show it beside bicubic and the truth.

The photo comes with scikit-image. It is made four times smaller, restored with the model nano-x4 through the
public functions of the package, and compared with what it was. Writes demo-output/.
"""

import sys
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import skimage.data
import torch
from einops import rearrange
from torch import Tensor

import hfmoe
from hfmoe.evaluate.protocol import ClassicalSR
from hfmoe.image.crop import crop_to_multiple
from hfmoe.image.depth import round_to_8bit
from hfmoe.image.files import Picture, write_picture
from hfmoe.image.resize import resize

SCALE = 4
PHOTO = "astronaut"
ZOOM = (170, 70, 120)  # left, top, side in pixels of the truth
OUTPUT = Path("demo-output")


class Panel(NamedTuple):
    """One picture of the comparison, at the size of the truth."""

    title: str
    image: Tensor
    psnr: float | None


def main() -> None:
    """Make the three pictures and the comparison, and say where they are."""
    truth = crop_to_multiple(_photo(PHOTO), multiple=SCALE)
    small = resize(truth, scale=Fraction(1, SCALE), round_to_uint8=True)
    bicubic = round_to_8bit(resize(small, scale=SCALE))
    restored = round_to_8bit(hfmoe.restore(small, model=f"nano-x{SCALE}"))
    gain = _psnr(restored, truth) - _psnr(bicubic, truth)
    panels = [
        Panel("input, pixels enlarged", _enlarged(small), _psnr(_enlarged(small), truth)),
        Panel("bicubic", bicubic, _psnr(bicubic, truth)),
        Panel("restored by nano-x4", restored, _psnr(restored, truth)),
        Panel("truth", truth, None),
    ]
    OUTPUT.mkdir(exist_ok=True)
    for name, image in (("input", small), ("bicubic", bicubic), ("restored", restored), ("truth", truth)):
        write_picture(OUTPUT / f"{PHOTO}-{name}.png", Picture(image))
    comparison = OUTPUT / f"{PHOTO}-comparison.png"
    _draw(panels, comparison)
    print(f"input      {OUTPUT / f'{PHOTO}-input.png'}  {small.shape[2]} x {small.shape[1]}")
    print(f"restored   {OUTPUT / f'{PHOTO}-restored.png'}  {restored.shape[2]} x {restored.shape[1]}")
    print(f"comparison {comparison}")
    print(f"PSNR on Y: {panels[2].psnr:.2f} dB, bicubic {panels[1].psnr:.2f} dB: {gain:+.2f} dB")


def _photo(name: str) -> Tensor:
    return rearrange(torch.from_numpy(getattr(skimage.data, name)()), "h w c -> c h w").float() / 255


def _psnr(image: Tensor, truth: Tensor) -> float:
    return ClassicalSR(SCALE).score(image[None], truth[None]).psnr_y


def _enlarged(small: Tensor) -> Tensor:
    return small.repeat_interleave(SCALE, dim=1).repeat_interleave(SCALE, dim=2)


def _draw(panels: list[Panel], path: Path) -> None:
    """The panels in a row, each with its PSNR under it and a zoomed crop below."""
    mpl.use("Agg")
    from matplotlib import pyplot
    from matplotlib.patches import Rectangle

    left, top, side = ZOOM
    figure, axes = pyplot.subplots(2, len(panels), figsize=(4 * len(panels), 8.4), layout="constrained")
    for column, panel in enumerate(panels):
        pixels = rearrange(panel.image, "c h w -> h w c").numpy()
        whole, zoom = axes[0, column], axes[1, column]
        whole.imshow(pixels)
        whole.add_patch(Rectangle((left, top), side, side, fill=False, color="yellow", linewidth=1.5))
        whole.set_title(panel.title, fontsize=13)
        whole.set_xlabel("reference" if panel.psnr is None else f"PSNR Y {panel.psnr:.2f} dB", fontsize=12)
        zoom.imshow(pixels[top : top + side, left : left + side], interpolation="nearest")
        for axis in (whole, zoom):
            axis.set_xticks([])
            axis.set_yticks([])
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())
