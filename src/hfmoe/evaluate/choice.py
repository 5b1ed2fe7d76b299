"""Protocols by name, and the one that fits a model's task."""

from dataclasses import dataclass
from pathlib import Path

from hfmoe.evaluate.paired import Paired
from hfmoe.evaluate.protocol import CHANNELS, EvaluationProtocol
from hfmoe.evaluate.restoration import Deblocking, GaussianDenoising, PhotoRestoration
from hfmoe.evaluate.super_resolution import ClassicalSR, LumaSR

SUPER_RESOLUTION = ("classical-sr", "luma-sr")
SYNTHETIC = ("colour-denoise", "gray-denoise", "colour-jpeg", "gray-jpeg")
PHOTO = ("colour-photo", "gray-photo")
NAMES = (*SUPER_RESOLUTION, *SYNTHETIC, *PHOTO, "paired")


@dataclass(frozen=True)
class ProtocolSettings:
    """Settings of protocols: noise level, JPEG quality, where the targets of real pairs are."""

    sigma: float = 25.0
    quality: int = 10
    targets: Path | None = None
    suffixes: tuple[str, str] = ("_real", "_mean")


def default_protocol(task: str, *, scale: int, channels: int, targets: bool = False) -> str:
    """Return the protocol's name for a task ("sr", "denoise", "jpeg", "photo"), or for pairs."""
    if targets:
        return "paired"
    kind = CHANNELS[1 if channels == 1 else 3]
    if task == "photo":
        return f"{kind}-photo"
    if scale > 1:
        return "luma-sr" if channels == 1 else "classical-sr"
    return f"{kind}-{task}" if task in ("denoise", "jpeg") else "paired"


def choose_protocol(name: str, *, scale: int, settings: ProtocolSettings) -> EvaluationProtocol:
    """Return the protocol of a name for models of a scale.

    Raises ValueError for an unknown name, a scale that it is not for, or settings out of range.
    """
    if name not in NAMES:
        raise ValueError(f"protocol {name!r} must be one of {', '.join(NAMES)}")
    if name == "paired":
        return Paired(scale, settings.targets, settings.suffixes)
    _check_fits(name, scale=scale, settings=settings)
    channels = 1 if name.startswith("gray") else 3
    if name in PHOTO:
        return PhotoRestoration(scale, channels)
    if name in SUPER_RESOLUTION:
        return ClassicalSR(scale) if name == "classical-sr" else LumaSR(scale)
    if name.endswith("denoise"):
        return GaussianDenoising(settings.sigma, channels)
    return Deblocking(settings.quality, channels)


def _check_fits(name: str, *, scale: int, settings: ProtocolSettings) -> None:
    if settings.targets is not None:
        raise ValueError(f"targets are for the protocol paired; {name} makes its own from the folder")
    if name in SUPER_RESOLUTION and scale == 1:
        raise ValueError(f"protocol {name} is for models that enlarge; this one is of scale 1")
    if name in SYNTHETIC and scale != 1:
        raise ValueError(f"protocol {name} is for models of scale 1; this one is of scale {scale}")
