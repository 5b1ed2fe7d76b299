"""Restore real photos that come with scikit-image and show what came of them, in demo-output/.

The first is made four times smaller, restored with nano-x4 through the public functions of the package, and
compared with bicubic and with what it was. The second is made half as large, then noisy, then a JPEG of low
quality, as photos that went through many hands are, and restored with tiny-photo-x2. The third, a JPEG file,
is given to it as it is; there is no truth of it, so it stands beside bicubic alone.
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
from hfmoe.evaluate.scores import score_image
from hfmoe.image.encoded import through_jpeg
from hfmoe.image.files import Picture, write_picture
from hfmoe.image.picture import quantise, round_to_8bit
from hfmoe.image.resize import crop_to_multiple, resize

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
    """Make the comparisons and say where they are."""
    OUTPUT.mkdir(exist_ok=True)
    photo = crop_to_multiple(_photo("astronaut"), multiple=4)
    small = resize(photo, scale=Fraction(1, 4), round_to_uint8=True)
    compare_with_the_truth("astronaut", small, photo, model="nano-x4", zoom=Zoom(170, 70, 120))
    photo = crop_to_multiple(_photo("coffee"), multiple=2)
    compare_with_the_truth("coffee", _worn(photo), photo, model="tiny-photo-x2", zoom=Zoom(290, 90, 160))
    restore_as_it_is("rocket", model="tiny-photo-x2", zoom=Zoom(560, 330, 240))


def compare_with_the_truth(name: str, small: Tensor, truth: Tensor, *, model: str, zoom: Zoom) -> None:
    """Enlarge a photo that was made smaller, and compare with what it was."""
    scale = truth.shape[2] // small.shape[2]
    pixels = small.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2)
    bicubic = round_to_8bit(resize(small, scale=scale))
    restored = round_to_8bit(hfmoe.restore(small, model=model))
    images = {"input, pixels enlarged": pixels, "bicubic": bicubic, f"restored by {model}": restored}
    scores = [score_image(image[None], truth[None], border=scale).psnr_y for image in images.values()]
    panels = [
        Panel(title, image, f"PSNR Y {score:.2f} dB")
        for (title, image), score in zip(images.items(), scores, strict=True)
    ]
    comparison = OUTPUT / f"{name}-comparison.png"
    _draw([*panels, Panel("truth", truth, "reference")], zoom, comparison)
    for kind, image in (("input", small), ("bicubic", bicubic), ("restored", restored), ("truth", truth)):
        write_picture(OUTPUT / f"{name}-{kind}.png", Picture(image))
    print(f"{name}: {_sides(small)} to {_sides(restored)}, {comparison}")
    print(f"PSNR on Y: {scores[2]:.2f} dB, bicubic {scores[1]:.2f} dB: {scores[2] - scores[1]:+.2f} dB")


def restore_as_it_is(name: str, *, model: str, zoom: Zoom) -> None:
    """Clean and enlarge a photo that nobody made worse."""
    photo = _photo(name)
    restored = round_to_8bit(hfmoe.restore(photo, model=model))
    bicubic = round_to_8bit(resize(photo, scale=restored.shape[2] // photo.shape[2]))
    comparison = OUTPUT / f"{name}-comparison.png"
    _draw([Panel("bicubic", bicubic), Panel(f"restored by {model}", restored)], zoom, comparison)
    write_picture(OUTPUT / f"{name}-restored.png", Picture(restored))
    print(f"{name}: {_sides(photo)} to {_sides(restored)}, {comparison}")


def _worn(photo: Tensor) -> Tensor:
    """The photo at half its size, with noise, stored as a JPEG of quality 60."""
    small = resize(photo, scale=Fraction(1, 2))
    noise = torch.randn(small.shape, generator=torch.Generator().manual_seed(0))
    levels = quantise(small + noise * (12 / 255)).to(torch.uint8)
    return through_jpeg(levels, quality=60).float() / 255


def _photo(name: str) -> Tensor:
    return rearrange(torch.from_numpy(getattr(skimage.data, name)()), "h w c -> c h w").float() / 255


def _sides(image: Tensor) -> str:
    return f"{image.shape[2]} x {image.shape[1]}"


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
