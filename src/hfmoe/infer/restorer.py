"""A network ready to restore pictures, with the facts a caller needs.

Written once for numpy arrays and tensors; what runs the network decides which of them it works on.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import index
from typing import Any, Protocol, SupportsIndex, runtime_checkable

from einops import rearrange, reduce, repeat
from jaxtyping import Float

from hfmoe.image.alpha import fill_hidden, is_flat
from hfmoe.image.arrays import Array, alike, as_array, cast, copied, is_finite, is_tensor, namespace
from hfmoe.image.files import Picture
from hfmoe.image.filters import low_pass
from hfmoe.image.resize import resize
from hfmoe.infer.memory import CPU, Device, free_bytes, plan_batch, plan_tile
from hfmoe.infer.tiled import Load, OnTile, restore_tensor
from hfmoe.infer.tiles import STARTING, TileGeometry
from hfmoe.models.header import ModelFacts

POSITIONS = 8
"""Flips and turns of an image that an ensemble averages over."""


@runtime_checkable
class Engine(Protocol):
    """A network with its runtime: `hfmoe.infer.eager.Eager`, or an exported graph's `Runtime`."""

    @property
    def network(self) -> Callable[..., Any]:
        """(image, effort=) -> an output with an `image`."""
        ...

    @property
    def device(self) -> Device:
        """Device of the network."""
        ...

    @property
    def identity(self) -> str:
        """Key of its results: weights, or a file's digest, and arithmetic."""
        ...

    def adopt(self, image: Array) -> Array:
        """The image as the kind that the engine works on, without a copy."""
        ...

    def restore(self, image: Float[Array, "b c h w"], *, effort: float) -> Float[Array, "b c H W"]:
        """Restore images in [0, 1]; the result is not clamped."""
        ...


@dataclass(frozen=True)
class Restorer:
    """Images or pictures in, restored ones out; made by `hfmoe.load`.

    sharers: processes that restore on this machine at once, of which each plans with its part of memory.
    """

    engine: Engine
    geometry: TileGeometry
    facts: ModelFacts
    sharers: int = 1

    @property
    def network(self) -> Callable[..., Any]:
        """(image, effort=) -> an output with an `image`: a folded network, or an exported graph."""
        return self.engine.network

    @property
    def device(self) -> Device:
        """Device of the network."""
        return self.engine.device

    @property
    def scale(self) -> int:
        """Output pixels per input pixel along each side."""
        return self.geometry.scale

    @property
    def channels(self) -> int:
        """Channels of the network's images: 1 (gray) or 3 (RGB)."""
        return self.geometry.channels

    def __call__(
        self,
        image: Float[Array, "b c h w"],
        *,
        tile: SupportsIndex | str = "auto",
        effort: float = 0.5,
        strength: float = 1.0,
        ensemble: bool = False,
        on_tile: OnTile | None = None,
    ) -> Float[Array, "b c H W"]:
        """Restore images in [0, 1] of 1 or 3 channels: tensors or arrays; the result is clamped to [0, 1].

        tile: side of the tiles in input pixels (rounded up to what the network needs), "off" = whole,
        "auto" = by free memory; halved where memory runs out all the same. effort: 0 = the cheapest experts,
        0.5 = as trained, 1 = the heaviest. strength: 1 = all of the restored detail, 0 = that of the bicubic
        enlargement. ensemble: the mean over eight flips and turns, in eight times the time.
        A gray image for a colour network is restored as three equal channels and averaged; a colour image for
        a gray network channel by channel. Raises ValueError for other channel counts, an empty image, values
        that are not finite, or a wrong tile, effort or strength; MemoryError when the result does not fit.
        """
        _check(image, effort, strength)
        load = self._load(image, tile, ensemble)
        own = self.engine.adopt(image)

        def run(part: Float[Array, "b c h w"]) -> Float[Array, "b c H W"]:
            return self.part(part, effort=effort, strength=strength)

        def restore(whole: Float[Array, "b c h w"], on_tile: OnTile | None) -> Float[Array, "b c H W"]:
            return restore_tensor(
                run, whole, self.geometry, tile=load.tile, batch=load.batch, on_tile=on_tile
            )

        channels = to_channels(cast(own, "float32"), self.channels)
        restored = (
            mean_of_positions(restore, channels, on_tile=on_tile) if ensemble else restore(channels, on_tile)
        )
        restored = from_channels(restored, own)
        namespace(own).clip(restored, 0, 1, out=restored)
        return restored if is_tensor(image) else as_array(restored)

    def part(
        self, channels: Float[Array, "b c h w"], *, effort: float = 0.5, strength: float = 1.0
    ) -> Float[Array, "b c H W"]:
        """One run of the network, on what the engine adopted, with its channels; not clamped.

        Raises RuntimeError when the result is not finite.
        """
        restored = self.engine.restore(channels, effort=effort)
        if not is_finite(restored):
            raise RuntimeError("the network made values that are not finite, in float32 too")
        return weaken(restored, alike(channels, restored), scale=self.scale, strength=strength)

    def with_alpha(
        self,
        colour: Float[Array, "b c h w"],
        alpha: Float[Array, "b 1 h w"],
        *,
        separate: bool = False,
        **options: Any,
    ) -> tuple[Float[Array, "b c H W"], Float[Array, "b 1 H W"]]:
        """Restore straight colours and their alpha; options as of a call.

        Colours that alpha hides are replaced by their visible surroundings' before, so they leave no halo.
        Alpha is restored as a gray image, but where it is constant, and by a network of scale 1, it stays.
        separate: alpha is no transparency but a plane of its own, which leaves the colours alone.
        """
        restored = self(colour if separate else fill_hidden(colour, alpha), **options)
        if self.scale == 1 and not separate:
            return restored, alpha
        flat, kept = (repeated(image, self.scale) for image in (is_flat(alpha), alpha))
        if flat.all():
            return restored, kept
        return restored, namespace(kept).where(flat > 0, kept, self(alpha, **options))

    def picture(self, picture: Picture, *, separate: bool = False, **options: Any) -> Picture:
        """Restore a picture, with the options of a call; depth, profile, metadata and gray stay.

        separate: see `with_alpha`.

        What floats hold beyond [0, 1] is enlarged by bicubic interpolation and added. on_tile counts the
        tiles of the colours, then those of alpha.
        """
        within = picture.colour.clip(0, 1) if picture.bits == 32 else picture.colour
        alpha = None
        if picture.alpha is None:
            colour = self(within[None], **options)[0]
        else:
            colour, alpha = (
                part[0]
                for part in self.with_alpha(within[None], picture.alpha[None], separate=separate, **options)
            )
        if picture.bits == 32 and not (within == picture.colour).all():
            beyond = picture.colour - within
            colour = colour + (resize(beyond, scale=self.scale) if self.scale > 1 else beyond)
        return replace(picture, colour=colour, alpha=alpha)

    def free_bytes(self, place: Device) -> int:
        """Bytes that this process may plan with on a device; a GPU has no sharers."""
        return free_bytes(place) // (1 if place.type == "cuda" else self.sharers)

    def smallest_tile(self) -> int:
        """Least side of a tile in input pixels."""
        return self.geometry.smallest

    def _load(self, image: Float[Array, "b c h w"], tile: SupportsIndex | str, ensemble: bool) -> Load:
        """Tiles and how many of them at once, by what was asked for and by free memory.

        The whole result lies where the image does; the network's device sees tiles of both.
        """
        height, width = image.shape[-2:]
        geometry = self.geometry
        result = geometry.result_bytes(height, width, ensemble=ensemble) * image.shape[0]
        place: Device = image.device if is_tensor(image) else CPU
        room = self.free_bytes(place) - result
        if room < 0 and place.type == "cpu":
            size = f"{width * self.scale} x {height * self.scale} pixels"
            raise MemoryError(f"the result of {size} needs {result / 2**30:.1f} GiB, more than is free")
        apart = place.type != self.device.type and "cuda" in (place.type, self.device.type)
        free = max((self.free_bytes(self.device) if apart else room) - STARTING, 0)
        if tile == "auto":
            side = plan_tile(height, width, geometry=geometry, free=free, at_once=image.shape[0])
        else:
            side = self._side(tile, max(height, width))
        cost = geometry.bytes_per_pixel * image.shape[0]
        at_once = plan_batch(side, bytes_per_pixel=cost, free=free, device=self.device)
        return Load(side, at_once)

    def _side(self, tile: SupportsIndex | str, image: int) -> int | None:
        largest = self.geometry.largest
        if tile == "off" and (largest is None or image <= largest):
            return None
        if tile == "off":
            raise ValueError(f"tile 'off': {self.facts.name} takes {largest} pixels a side, not {image}")
        if not isinstance(tile, SupportsIndex) or isinstance(tile, bool):
            raise ValueError(f"tile {tile!r} must be 'auto', 'off' or a number of pixels")
        tile = index(tile)
        if tile < self.smallest_tile():
            raise ValueError(f"tile {tile} must be at least {self.smallest_tile()} for {self.facts.name}")
        if largest is not None and tile > largest:
            raise ValueError(f"tile {tile} must be at most {largest} for {self.facts.name}")
        return self.geometry.rounded(tile)


def _check(image: Array, effort: float, strength: float) -> None:
    for name, value in (("effort", effort), ("strength", strength)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} {value} must be in [0, 1]")
    if image.shape[1] not in (1, 3):
        raise ValueError(f"an image of {image.shape[1]} channels must have 1 or 3")
    if 0 in image.shape:
        raise ValueError(f"an image of shape {tuple(image.shape)} is empty")
    if not namespace(image).isfinite(image).all():
        raise ValueError("the image holds values that are not finite")


def repeated(image: Float[Array, "b c h w"], scale: int) -> Float[Array, "b c H W"]:
    """Every pixel as a square of `scale` pixels a side."""
    return repeat(image, "b c h w -> b c (h i) (w j)", i=scale, j=scale)


def to_channels(image: Float[Array, "b c h w"], channels: int) -> Float[Array, "n d h w"]:
    """An image with the channels of a network: gray repeated, or colours one by one as a batch."""
    if image.shape[1] == channels:
        return image
    if channels == 1:
        return rearrange(image, "b c h w -> (b c) 1 h w")
    return repeat(image, "b 1 h w -> b c h w", c=channels)


def from_channels(restored: Float[Array, "n d H W"], like: Float[Array, "b c h w"]) -> Array:
    """The inverse of `to_channels` for an image like the one given."""
    if restored.shape[1] == like.shape[1]:
        return restored
    if restored.shape[1] == 1:
        return rearrange(restored, "(b c) 1 h w -> b c h w", b=like.shape[0])
    return reduce(restored, "b c h w -> b 1 h w", "mean")


def weaken(
    restored: Float[Array, "b c H W"], image: Float[Array, "b c h w"], *, scale: int, strength: float
) -> Float[Array, "b c H W"]:
    """The restored image with its high band between that of the input, enlarged, and its own.

    strength: 1 is the restored image itself; 0 has its low band (tones, colours, coarse shapes) and the fine
    detail of the bicubic enlargement. What is done at a pixel depends on four input pixels around.
    """
    if strength == 1:
        return restored
    gained = restored - (resize(image, scale=scale) if scale > 1 else image)
    return restored - (1 - strength) * (gained - low_pass(gained, scale=scale))


_HEIGHT, _WIDTH = -2, -1


def mean_of_positions(
    restore: Callable[[Array, OnTile | None], Array],
    image: Float[Array, "b c h w"],
    *,
    on_tile: OnTile | None = None,
) -> Float[Array, "b c H W"]:
    """Restore the image turned and flipped, turn and flip each result back, and average them (Timofte et al.,
    2016).

    The whole image is turned, not its tiles, so that tiles still equal the whole. on_tile counts the tiles
    of all eight.
    """
    total = None
    for position in range(POSITIONS):
        restored = undo(restore(turn(image, position), _counting(on_tile, position)), position)
        if total is None:
            total = copied(restored)
        else:
            total += restored
    assert total is not None
    total /= POSITIONS
    return total


def turn(image: Float[Array, "b c h w"], position: int) -> Float[Array, "b c H W"]:
    """The image in one of its eight positions: 0 to 3 quarter turns, then the same of its mirror image."""
    xp = namespace(image)
    mirrored = xp.flip(image, (_WIDTH,)) if position >= 4 else image
    return copied(xp.rot90(mirrored, position % 4, (_HEIGHT, _WIDTH)))


def undo(image: Float[Array, "b c H W"], position: int) -> Float[Array, "b c h w"]:
    """The inverse of `turn`."""
    xp = namespace(image)
    turned = xp.rot90(image, -(position % 4), (_HEIGHT, _WIDTH))
    return xp.flip(turned, (_WIDTH,)) if position >= 4 else turned


def _counting(on_tile: OnTile | None, position: int) -> OnTile | None:
    if on_tile is None:
        return None
    return lambda done, total: on_tile(position * total + done, POSITIONS * total)
