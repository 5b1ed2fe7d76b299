"""Protocols by name, and the one that fits a model's task."""

from dataclasses import dataclass
from pathlib import Path

from hfmoe.evaluate.paired import Paired
from hfmoe.evaluate.protocol import ClassicalSR, EvaluationProtocol, LumaSR
from hfmoe.evaluate.restoration import Deblock, Denoise

SUPER_RESOLUTION = ("classical-sr", "luma-sr")
SYNTHETIC = ("colour-denoise", "gray-denoise", "colour-jpeg", "gray-jpeg")
NAMES = (*SUPER_RESOLUTION, *SYNTHETIC, "paired")


@dataclass(frozen=True)
class Settings:
    """What protocols may be told: noise level, JPEG quality, where the targets of real pairs are."""

    sigma: float = 25.0
    quality: int = 10
    targets: Path | None = None
    suffixes: tuple[str, str] = ("_real", "_mean")


def default_protocol(task: str, *, scale: int, channels: int) -> str:
    """The name of the protocol for a model of this task ("sr", "denoise", "jpeg", "photo")."""
    if scale > 1:
        return "luma-sr" if channels == 1 else "classical-sr"
    if task in ("denoise", "jpeg"):
        return f"{'gray' if channels == 1 else 'colour'}-{task}"
    return "paired"


def choose_protocol(name: str, *, scale: int, settings: Settings) -> EvaluationProtocol:
    """The protocol of a name for models of a scale.

    Raises ValueError for an unknown name, a scale that it is not for, or settings out of range.
    """
    if name not in NAMES:
        raise ValueError(f"protocol {name!r} must be one of {', '.join(NAMES)}")
    if name == "paired":
        return Paired(scale, settings.targets, settings.suffixes)
    if name in SUPER_RESOLUTION:
        if scale == 1:
            raise ValueError(f"protocol {name} is for models that enlarge; this one is of scale 1")
        return ClassicalSR(scale) if name == "classical-sr" else LumaSR(scale)
    if scale != 1:
        raise ValueError(f"protocol {name} is for models of scale 1; this one is of scale {scale}")
    kind, _, task = name.partition("-")
    channels = 1 if kind == "gray" else 3
    if task == "denoise":
        return Denoise(settings.sigma, channels)
    return Deblock(settings.quality, channels)
