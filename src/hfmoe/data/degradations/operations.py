"""The catalogue of degradations: every operation and every task, and lists of operations as plain data."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from jaxtyping import Float
from torch import Tensor

from hfmoe.data.degradations.blur import (
    DeblurTask,
    DefocusBlur,
    GaussianBlur,
    MotionBlur,
    PlateauBlur,
    SincBlur,
)
from hfmoe.data.degradations.jpeg import Jpeg, JpegTask, WebP
from hfmoe.data.degradations.mosaic import CameraTask, MosaicNoise
from hfmoe.data.degradations.noise import DenoiseTask, GaussianNoise, PoissonNoise, SensorNoise
from hfmoe.data.degradations.photo import PhotoTask
from hfmoe.data.degradations.resampling import Clamp, Cut, Resize, Round
from hfmoe.data.degradations.task import Operation, SuperResolutionTask

AnyTask = SuperResolutionTask | DenoiseTask | DeblurTask | JpegTask | CameraTask | PhotoTask
"""Every task that a recipe can name by its kind."""

OPERATIONS: dict[str, type[Any]] = {
    operation.kind: operation
    for operation in (
        GaussianBlur,
        PlateauBlur,
        SincBlur,
        MotionBlur,
        DefocusBlur,
        Resize,
        GaussianNoise,
        PoissonNoise,
        SensorNoise,
        MosaicNoise,
        Jpeg,
        WebP,
        Clamp,
        Round,
        Cut,
    )
}


def apply(image: Float[Tensor, "c h w"], operations: Iterable[Operation]) -> Float[Tensor, "c H W"]:
    """Degrade an image in [0, 1] of 1 or 3 channels by operations in order, on its device."""
    for operation in operations:
        image = operation(image)
    return image


def as_data(operations: Iterable[Operation]) -> list[dict[str, Any]]:
    """Return operations as plain values that JSON keeps exactly."""
    return [{"kind": operation.kind, **asdict(operation)} for operation in operations]


def from_data(data: Sequence[Mapping[str, Any]]) -> list[Operation]:
    """Read what `as_data` gave. Raises ValueError naming an unknown kind or field."""
    return [_operation(dict(values)) for values in data]


def _operation(values: dict[str, Any]) -> Operation:
    kind = values.pop("kind", None)
    if kind not in OPERATIONS:
        raise ValueError(f"kind {kind!r} of an operation must be one of {', '.join(OPERATIONS)}")
    known = {field.name for field in fields(OPERATIONS[kind])}
    unknown = sorted(values.keys() - known)
    if unknown:
        raise ValueError(f"{kind} has no {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    try:
        return OPERATIONS[kind](**{name: _frozen(value) for name, value in values.items()})
    except TypeError as error:
        raise ValueError(f"{kind}: {error}") from error


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
