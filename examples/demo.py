"""Restore two real photos that come with scikit-image and show what came of them, in demo-output/.

The first is made four times smaller, restored with nano-x4 through the public functions of the package, and
compared with bicubic and with what it was. The second is a JPEG file as a camera and a program left it: tiny-photo-x2
cleans it and doubles its size. There is no truth of it, so it stands beside bicubic alone.
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

OUTPUT = Path("demo-output")


class Zoom(NamedTuple):
    """The part that is shown enlarged, in pixels of the result."""

    left: int
    top: int
    side: int


class Panel(NamedTuple):
    """One picture of a comparison, at the size of the result, and what stands under it."""

    title: str
    image: Tensor
    remark: str = ""


def main() -> None:
    """Make both comparisons and say where they are."""
    OUTPUT.mkdir(exist_ok=True)
    enlarge_a_small_photo("astronaut", scale=4, zoom=Zoom(170, 70, 120))
    clean_a_photo_as_it_is("rocket", scale=2, zoom=Zoom(560, 330, 240))


def enlarge_a_small_photo(name: str, *, scale: int, zoom: Zoom) -> None:
    """Shrink a photo, enlarge it again, and compare with what it was."""
    truth = crop_to_multiple(_photo(name), multiple=scale)
    small = resize(truth, scale=Fraction(1, scale), round_to_uint8=True)
    pixels = small.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2)
    bicubic = round_to_8bit(resize(small, scale=scale))
    restored = round_to_8bit(hfmoe.restore(small, model=f"nano-x{scale}"))
    images = {"input, pixels enlarged": pixels, "bicubic": bicubic, f"restored by nano-x{scale}": restored}
    scores = [ClassicalSR(scale).score(image[None], truth[None]).psnr_y for image in images.values()]
    panels = [
        Panel(title, image, f"PSNR Y {score:.2f} dB")
        for (title, image), score in zip(images.items(), scores, strict=True)
    ]
    comparison = OUTPUT / f"{name}-comparison.png"
    _draw([*panels, Panel("truth", truth, "reference")], zoom, comparison)
    for kind, image in (("input", small), ("bicubic", bicubic), ("restored", restored), ("truth", truth)):
        write_picture(OUTPUT / f"{name}-{kind}.png", Picture(image))
    print(
        f"{name}: {small.shape[2]} x {small.shape[1]} to {restored.shape[2]} x {restored.shape[1]}, {comparison}"
    )
    print(f"PSNR on Y: {scores[2]:.2f} dB, bicubic {scores[1]:.2f} dB: {scores[2] - scores[1]:+.2f} dB")


def clean_a_photo_as_it_is(name: str, *, scale: int, zoom: Zoom) -> None:
    """Clean and enlarge a photo that nobody made worse."""
    photo = _photo(name)
    bicubic = round_to_8bit(resize(photo, scale=scale).clamp(0, 1))
    restored = round_to_8bit(hfmoe.restore(photo, model=f"tiny-photo-x{scale}"))
    comparison = OUTPUT / f"{name}-comparison.png"
    _draw([Panel("bicubic", bicubic), Panel(f"restored by tiny-photo-x{scale}", restored)], zoom, comparison)
    write_picture(OUTPUT / f"{name}-restored.png", Picture(restored))
    print(
        f"{name}: {photo.shape[2]} x {photo.shape[1]} to {restored.shape[2]} x {restored.shape[1]}, {comparison}"
    )


def _photo(name: str) -> Tensor:
    return rearrange(torch.from_numpy(getattr(skimage.data, name)()), "h w c -> c h w").float() / 255


def _draw(panels: list[Panel], zoom: Zoom, path: Path) -> None:
    """The panels in a row, each with its remark under it and a part of it enlarged below."""
    mpl.use("Agg")
    from matplotlib import pyplot
    from matplotlib.patches import Rectangle

    left, top, side = zoom
    figure, axes = pyplot.subplots(2, len(panels), figsize=(4 * len(panels), 8.4), layout="constrained")
    for column, panel in enumerate(panels):
        pixels = rearrange(panel.image, "c h w -> h w c").numpy()
        whole, part = axes[0, column], axes[1, column]
        whole.imshow(pixels)
        whole.add_patch(Rectangle((left, top), side, side, fill=False, color="yellow", linewidth=1.5))
        whole.set_title(panel.title, fontsize=13)
        whole.set_xlabel(panel.remark, fontsize=12)
        part.imshow(pixels[top : top + side, left : left + side], interpolation="nearest")
        for axis in (whole, part):
            axis.set_xticks([])
            axis.set_yticks([])
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())
