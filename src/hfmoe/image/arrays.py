"""numpy arrays and torch tensors alike: the little in which they differ, so that the rest is written once.

Nothing here imports torch but `as_tensor`: whoever holds a tensor has imported it.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = Any

Array = Any
"""An array or a tensor; a function returns the kind it was given."""


def loaded_torch() -> ModuleType | None:
    """Return torch where something has imported it."""
    return sys.modules.get("torch")


def is_tensor(value: object) -> bool:
    """Return whether a value is a torch tensor."""
    torch = loaded_torch()
    return torch is not None and isinstance(value, torch.Tensor)


def namespace(image: Array) -> Any:
    """Return the module whose functions take this kind: numpy or torch, for functions named alike in both."""
    return loaded_torch() if is_tensor(image) else np


def cast(image: Array, kind: str) -> Array:
    """Convert to a number format by its name, such as "float32"; what has it already is not copied."""
    if is_tensor(image):
        return image.to(getattr(namespace(image), kind))
    return image.astype(kind, copy=False)


def alike(values: Array, image: Array) -> Array:
    """Convert an array or tensor to the kind, number format and device of `image`."""
    if is_tensor(image):
        return (values if is_tensor(values) else as_tensor(values)).to(image)
    return as_array(values).astype(image.dtype, copy=False)


def as_array(image: Array) -> np.ndarray:
    """The image as an array, which shares the memory of a tensor on the CPU."""
    return image.detach().cpu().numpy() if is_tensor(image) else image


def as_tensor(image: Array) -> Tensor:
    """The image as a tensor, which shares the memory of an array that is plain and may be written to."""
    import torch

    return image if is_tensor(image) else torch.from_numpy(np.require(image, requirements=["C", "W"]))


def copied(image: Array) -> Array:
    """A copy in plain memory."""
    return image.clone().contiguous() if is_tensor(image) else np.array(image, order="C")


def zeros_like(image: Array, shape: tuple[int, ...]) -> Array:
    """Zeros of a shape, of the kind, number format and device of `image`."""
    return image.new_zeros(shape) if is_tensor(image) else np.zeros(shape, image.dtype)


def is_finite(image: Array) -> bool:
    """Return whether all values are finite, by their sum, which takes no memory."""
    return bool(namespace(image).isfinite(image.sum()))
