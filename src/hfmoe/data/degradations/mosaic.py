"""Noise of a sensor with one colour to an element, as raw development leaves it, and its task."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hfmoe.data.degradations.jpeg import Jpeg
from hfmoe.data.degradations.kernels import convolved, gaussian, mirrored
from hfmoe.data.degradations.noise import display, draw_shot_and_read, field, linear
from hfmoe.data.degradations.sampling import chance, draw_seed, uniform, whole
from hfmoe.data.degradations.task import Operation, Task
from hfmoe.data.fields import Ramped, RampedQuality, Share, fixed

MARGIN, RING = 12, 10
"""Pixels around an image on which noise is drawn too, and of these the outer ones that borders reach.

Demosaicing and smoothing by up to 2.8 pixels see true neighbours from `RING` on.
"""

_NEIGHBOURS = ((0.0, 0.25, 0.0), (0.25, 1.0, 0.25), (0.0, 0.25, 0.0))
_BILINEAR = ((0.25, 0.5, 0.25), (0.5, 1.0, 0.5), (0.25, 0.5, 0.25))


@dataclass(frozen=True)
class MosaicNoise:
    """Noise drawn on a Bayer mosaic, then white-balanced, demosaiced, colour-corrected, smoothed.

    The photo itself stays as sharp as it is: each of these steps is linear, so the noise goes through them
    alone. Its variance in linear light, measured on the image and two pixels around, is made the mean of
    shot x light + read^2 over the image, whatever the steps do; how it spreads over colours and pixels is
    theirs.

    balance: gains of red and blue over green. saturation: s of the colour correction (1 + s) I - s J / 3,
    with J all ones. smoothing: standard deviations in pixels by which the colours' mean and their distances
    from it are smoothed. phase: row and column, 0 or 1, of the first red element. A gray image gets the mean.
    """

    kind: ClassVar[str] = "mosaic_noise"
    shot: float
    read: float
    balance: tuple[float, float]
    saturation: float
    smoothing: tuple[float, float]
    phase: tuple[int, int]
    seed: int

    def __call__(self, image: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
        """Add the noise; the result is clamped to [0, 1]."""
        light = linear(image.clamp(0, 1))
        noise = self._noise(light.expand(3, -1, -1))
        if len(image) == 1:
            noise = noise.mean(dim=0, keepdim=True)
        wanted = (self.shot * light + self.read**2).mean()
        found = noise[:, RING:-RING, RING:-RING].square().mean().clamp_min(torch.finfo(noise.dtype).tiny)
        noise = noise[:, MARGIN:-MARGIN, MARGIN:-MARGIN] * (wanted / found).sqrt()
        return display((light + noise).clamp(0, 1))

    def _noise(self, light: Float[Tensor, "3 h w"]) -> Float[Tensor, "3 H W"]:
        """Draw and develop the noise of an image and of `MARGIN` pixels around it, at any strength."""
        rows, columns = (mirrored(side, MARGIN, device=light.device) for side in light.shape[1:])
        wide = light.index_select(1, rows).index_select(2, columns)
        camera = (wide + self.saturation * wide.mean(dim=0)) / (1 + self.saturation)
        gains = light.new_tensor([self.balance[0], 1.0, self.balance[1]])[:, None, None]
        deviation = (gains * self.shot * camera + gains.square() * self.read**2).sqrt()
        places = bayer(wide.shape[1], wide.shape[2], phase=self.phase).to(light)
        elements = field(wide[:1], seed=self.seed) * (deviation * places).sum(dim=0, keepdim=True)
        developed = demosaiced(elements, places)
        corrected = (1 + self.saturation) * developed - self.saturation * developed.mean(dim=0)
        mean = corrected.mean(dim=0, keepdim=True)
        return _smoothed(mean, self.smoothing[0]) + _smoothed(corrected - mean, self.smoothing[1])


class CameraTask(Task):
    """A photo in little light, as the camera saves it: its sensor's noise, developed, then JPEG.

    sigma: about the standard deviation of 255 that the noise has on middle gray. quality: of the file;
    subsampling: share with 4:2:0.
    """

    margin: ClassVar[int] = 8
    jitters: ClassVar[bool] = True
    kind: Literal["camera"] = "camera"
    sigma: Ramped = fixed(0.0, 30.0)
    quality: RampedQuality = fixed(75.0, 98.0)
    subsampling: Share = 0.5

    def draw(
        self, generator: torch.Generator, *, size: tuple[int, int], scale: int, share: float = 1.0
    ) -> list[Operation]:
        """Draw the camera, its noise and its file."""
        noise = draw_mosaic_noise(generator, uniform(generator, self.sigma.at(share)))
        quality = whole(generator, self.quality.at(share))
        return [noise, Jpeg(quality, chance(generator, self.subsampling))]


def draw_mosaic_noise(generator: torch.Generator, sigma: float) -> MosaicNoise:
    """Draw a camera, and noise of it about as strong as Gaussian noise of `sigma` / 255 on middle gray.

    The ranges are those of common cameras from daylight to lamp light; chroma is smoothed more than luma, as
    their own noise reduction does.
    """
    shot, read = draw_shot_and_read(generator, sigma)
    balance = (uniform(generator, (1.2, 2.4)), uniform(generator, (1.2, 2.4)))
    saturation, luma = uniform(generator, (0.2, 1.0)), uniform(generator, (0.0, 0.8))
    smoothing = (luma, luma + uniform(generator, (0.0, 2.0)))
    phase = (int(chance(generator, 0.5)), int(chance(generator, 0.5)))
    return MosaicNoise(shot, read, balance, saturation, smoothing, phase, draw_seed(generator))


def bayer(height: int, width: int, *, phase: tuple[int, int]) -> Float[Tensor, "3 h w"]:
    """Where red, green and blue elements are: 1 there, 0 elsewhere; red at `phase` of each 2 x 2."""
    rows = (torch.arange(height) % 2 == phase[0]).float()[:, None]
    columns = (torch.arange(width) % 2 == phase[1]).float()[None, :]
    red, blue = rows * columns, (1 - rows) * (1 - columns)
    return torch.stack([red, 1 - red - blue, blue])


def demosaiced(elements: Float[Tensor, "1 h w"], places: Float[Tensor, "3 h w"]) -> Float[Tensor, "3 h w"]:
    """Fill in green by its neighbours, then red and blue by their differences to it, bilinearly.

    After Freeman, "Median filter for reconstructing missing color samples" (1988), without its median.
    """
    green = _spread(elements * places[1:2], _NEIGHBOURS)
    differences = (elements - green) * places[::2]
    red, blue = (green + _spread(difference[None], _BILINEAR) for difference in differences)
    return torch.cat([red, green, blue])


def _spread(values: Float[Tensor, "1 h w"], taps: tuple[tuple[float, ...], ...]) -> Float[Tensor, "1 h w"]:
    return F.conv2d(values[None], values.new_tensor(taps)[None, None], padding=1)[0]


def _smoothed(noise: Float[Tensor, "c h w"], sigma: float) -> Float[Tensor, "c h w"]:
    return convolved(noise, gaussian(2 * round(3 * sigma) + 1, sigma=(sigma, sigma)))
