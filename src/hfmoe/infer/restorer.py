"""A network ready to restore pictures: folded, on its device, with the facts a caller needs."""

import math
from dataclasses import dataclass, replace

import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.image.files import Picture
from hfmoe.image.resize import resize
from hfmoe.infer.devices import choose_autocast, choose_device
from hfmoe.infer.footprint import bytes_per_pixel, grid, halo, result_bytes
from hfmoe.infer.memory import free_bytes, plan_tile
from hfmoe.infer.tiled import OnTile, restore_tensor
from hfmoe.models.config import HFMoEConfig
from hfmoe.models.folding import fold
from hfmoe.models.network import HFMoE
from hfmoe.models.weights import Loaded, ModelFacts

OVERLAP = 16
"""Input pixels over which neighbouring tiles fade into each other."""


@dataclass(frozen=True)
class Restorer:
    """Tensors or pictures in, restored ones out; made by `hfmoe.load`.

    network: folded, in evaluation mode, on `device`; autocast: number format of its matrix products
    (None = float32).
    """

    network: nn.Module
    config: HFMoEConfig
    facts: ModelFacts
    device: torch.device
    autocast: torch.dtype | None = None

    @property
    def scale(self) -> int:
        """Output pixels per input pixel along each side."""
        return self.config.scale

    def __call__(
        self,
        image: Float[Tensor, "b c h w"],
        *,
        tile: int | str = "auto",
        effort: float = 0.5,
        on_tile: OnTile | None = None,
    ) -> Float[Tensor, "b c H W"]:
        """Restore images in [0, 1] of 1 or 3 channels; the result is clamped to [0, 1], on their device.

        tile: side of the tiles in input pixels (rounded up to what the network needs), "off" = whole,
        "auto" = by free memory. effort: 0 = the cheapest experts, 0.5 = as trained, 1 = the heaviest.
        A gray image for a colour network is restored as three equal channels and averaged; a colour image for
        a gray network channel by channel. Raises ValueError for other channel counts, an empty image, values
        that are not finite, or a wrong tile or effort.
        """
        _check(image, effort)

        def run(part: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c H W"]:
            part = part.to(self.device, memory_format=torch.channels_last)
            with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
                return self.network(part, effort=effort).image.float()

        restored = restore_tensor(
            run,
            _to_channels(image.float(), self.config.channels),
            scale=self.scale,
            multiple=grid(self.config),
            halo=halo(self.config),
            tile=self._tile(image, tile),
            overlap=OVERLAP,
            on_tile=on_tile,
        )
        with torch.no_grad():
            return _from_channels(restored, image).clamp_(0, 1)

    def picture(
        self,
        picture: Picture,
        *,
        tile: int | str = "auto",
        effort: float = 0.5,
        on_tile: OnTile | None = None,
    ) -> Picture:
        """Restore a picture; depth, profile and gray stay, alpha is resized alone."""
        colour = self(picture.colour[None], tile=tile, effort=effort, on_tile=on_tile)[0]
        alpha = None if picture.alpha is None else resize_alpha(picture.alpha, scale=self.scale)
        return replace(picture, colour=colour, alpha=alpha)

    def smallest_tile(self) -> int:
        """Least side of a tile in input pixels: two halos, the fade between neighbours, one grid step."""
        multiple = grid(self.config)
        return math.ceil((2 * halo(self.config) + OVERLAP) / multiple + 1) * multiple

    def _tile(self, image: Float[Tensor, "b c h w"], tile: int | str) -> int | None:
        if tile == "off":
            return None
        multiple = grid(self.config)
        if tile == "auto":
            return plan_tile(
                image.shape[-2],
                image.shape[-1],
                bytes_per_pixel=bytes_per_pixel(self.config) * image.shape[0],
                free=free_bytes(self.device) - result_bytes(self.config, image.shape[-2], image.shape[-1]),
                multiple=multiple,
                smallest=self.smallest_tile(),
            )
        if not isinstance(tile, int) or isinstance(tile, bool):
            raise ValueError(f"tile {tile!r} must be 'auto', 'off' or a number of pixels")
        if tile < self.smallest_tile():
            raise ValueError(f"tile {tile} must be at least {self.smallest_tile()} for {self.facts.name}")
        return -(-tile // multiple) * multiple


def make_restorer(loaded: Loaded, *, device: str = "auto", autocast: str = "off") -> Restorer:
    """Fold loaded weights and put them on a device ("auto", "cpu", "cuda", "cuda:N", "mps").

    autocast: "off", "bfloat16" or "float16". Raises ValueError when either is unknown or not there.
    """
    place = choose_device(device)
    network: HFMoE = loaded.network
    folded = fold(network).eval().requires_grad_(False)
    folded = folded.to(device=place, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return Restorer(folded, loaded.config, loaded.facts, place, choose_autocast(autocast))


def resize_alpha(alpha: Float[Tensor, "*b 1 h w"], *, scale: int) -> Float[Tensor, "*b 1 H W"]:
    """Alpha for a restored image: bicubic, clamped to [0, 1]."""
    return resize(alpha, scale=scale).clamp(0, 1) if scale > 1 else alpha


def _check(image: Tensor, effort: float) -> None:
    if not 0 <= effort <= 1:
        raise ValueError(f"effort {effort} must be in [0, 1]")
    if image.shape[1] not in (1, 3):
        raise ValueError(f"an image of {image.shape[1]} channels must have 1 or 3")
    if not image.numel():
        raise ValueError(f"an image of shape {tuple(image.shape)} is empty")
    if not torch.isfinite(image).all():
        raise ValueError("the image holds values that are not finite")


def _to_channels(image: Float[Tensor, "b c h w"], channels: int) -> Float[Tensor, "n d h w"]:
    if image.shape[1] == channels:
        return image
    if channels == 1:
        return rearrange(image, "b c h w -> (b c) 1 h w")
    return repeat(image, "b 1 h w -> b c h w", c=channels)


def _from_channels(restored: Float[Tensor, "n d H W"], like: Float[Tensor, "b c h w"]) -> Tensor:
    if restored.shape[1] == like.shape[1]:
        return restored
    if restored.shape[1] == 1:
        return rearrange(restored, "(b c) 1 h w -> b c h w", b=like.shape[0])
    return reduce(restored, "b c h w -> b 1 h w", "mean")
