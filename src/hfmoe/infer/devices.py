"""Choice of device and number format."""

import torch

AUTOCAST = {"off": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(name: str = "auto") -> torch.device:
    """Device by name; "auto" is cuda, else mps, else cpu. Raises ValueError when it is unknown or not
    there."""
    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device {name!r} must be auto, cpu, cuda, cuda:N or mps") from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"device {name!r} must be auto, cpu, cuda, cuda:N or mps")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {name!r} is not on this machine")
    if device.type == "mps" and not has_mps:
        raise ValueError(f"device {name!r} is not on this machine")
    return device


def choose_autocast(name: str) -> torch.dtype | None:
    """Number format of matrix products by name: "off" (float32), "bfloat16" or "float16"."""
    if name not in AUTOCAST:
        raise ValueError(f"autocast {name!r} must be one of {', '.join(AUTOCAST)}")
    return AUTOCAST[name]
