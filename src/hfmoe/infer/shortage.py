"""Memory that runs out: how each allocator says it, and making room."""

import gc

from hfmoe.image.arrays import loaded_torch

_SAYINGS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "failed to allocate",
    "alloc_failed",
    "bad_alloc",
    "bad alloc",
)


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a CPU, a GPU, or in another runtime."""
    torch = loaded_torch()
    if isinstance(error, MemoryError) or (torch and isinstance(error, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(saying in text for saying in _SAYINGS)


def make_room() -> None:
    """Give back what is no longer used. To be called when the error that held the tensors is gone."""
    gc.collect()
    torch = loaded_torch()
    if torch is None:
        return
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
