"""The public functions of the package: `hfmoe.load` and `hfmoe.restore`."""

from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np

from hfmoe.image.arrays import is_tensor
from hfmoe.image.files import Picture, read_picture
from hfmoe.infer.array_io import open_array, open_tensor
from hfmoe.infer.backends.exported import is_exported, open_exported
from hfmoe.infer.restorer import Restorer
from hfmoe.infer.tiled import OnTile
from hfmoe.models.header import find_weights

DEFAULT_MODEL = "nano-x4"
_ARRAY_PROTOCOLS = ("__array__", "__array_interface__")
"""What numpy can view as an array."""


def load(
    name_or_path: str | Path = DEFAULT_MODEL, *, device: str = "auto", autocast: str = "off"
) -> Restorer:
    """Open a model that ships (`hfmoe models` lists them), a weights file or an exported one.

    device: "auto" (cuda, else mps, else cpu) or a name; autocast: "off", "bfloat16" or "float16".
    An exported file (.onnx, .xml) runs on the CPU in its runtime, as it was exported.
    Raises WeightsError (a ValueError) when there is no such model or its file cannot be used.
    """
    if is_exported(name_or_path):
        if (device, autocast) not in (("auto", "off"), ("cpu", "off")):
            raise ValueError(f"{name_or_path} is exported: device must be cpu and autocast off")
        return open_exported(name_or_path)
    from hfmoe.infer.eager import make_restorer
    from hfmoe.models.weights import load_weights

    return make_restorer(load_weights(find_weights(name_or_path)), device=device, autocast=autocast)


def restore(
    image: Any,
    model: str | Path | Restorer = DEFAULT_MODEL,
    *,
    tile: SupportsIndex | str = "auto",
    effort: float = 0.5,
    strength: float = 1.0,
    ensemble: bool = False,
    device: str = "auto",
    on_tile: OnTile | None = None,
) -> Any:
    """Restore one image and return it as the kind that was given; a path gives a Picture.

    image: path, Picture, floating tensor (c h w) or (b c h w), or array (h w) or (h w c) of uint8, uint16
    or floats; floats are in [0, 1], and of 2 or 4 channels the last is alpha. model: a name, a weights
    file, or what `load` returned, which saves loading it for every image; device counts for the first two.
    tile, effort, strength and ensemble: see Restorer. Raises ValueError (WeightsError, ImageError) for what
    cannot be used, TypeError for other kinds.
    """
    restorer = model if isinstance(model, Restorer) else load(model, device=device)
    if isinstance(image, str | Path):
        image = read_picture(image)
    if not is_tensor(image) and any(hasattr(image, name) for name in _ARRAY_PROTOCOLS):
        image = np.asarray(image)
    if not (isinstance(image, Picture | np.ndarray) or is_tensor(image)):
        raise TypeError(f"{type(image).__name__} is no path, Picture, tensor or array")
    options: dict[str, Any] = {
        "tile": tile,
        "effort": effort,
        "strength": strength,
        "ensemble": ensemble,
        "on_tile": on_tile,
    }
    if isinstance(image, Picture):
        return restorer.picture(image, **options)
    opened = open_array(image) if isinstance(image, np.ndarray) else open_tensor(image)
    if opened.alpha is None:
        return opened.close(restorer(opened.colour, **options), None)
    return opened.close(*restorer.with_alpha(opened.colour, opened.alpha, **options))
