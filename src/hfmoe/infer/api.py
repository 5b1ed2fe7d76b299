"""The public functions of the package: `hfmoe.load` and `hfmoe.restore`."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from hfmoe.image.arrays import is_tensor
from hfmoe.image.encoded import decode_picture, encode_picture
from hfmoe.image.files import QUALITY, Picture, check_writable, read_picture
from hfmoe.image.target_size import (
    MODEL_SCALES,
    Size,
    asked_size,
    reduce_image,
    reduce_picture,
    result_size,
)
from hfmoe.infer.array_io import Opened, open_array, open_pillow, open_tensor
from hfmoe.infer.backends.exported import is_exported, open_exported
from hfmoe.infer.restorer import Restorer
from hfmoe.infer.tiled import OnTile
from hfmoe.models.header import find_weights, shipped

DEFAULT_SCALE = 4
SHARP_PHOTO, PHOTO, CLEAN = "tiny-photo-x{scale}-sharp", "tiny-photo-x{scale}", "nano-x{scale}"
"""Models that are taken when none is named, the first that ships: for photos as they are, whatever is wrong
with them; the last undoes bicubic shrinking alone."""
_ARRAY_PROTOCOLS = ("__array__", "__array_interface__")
"""Types that numpy can view as arrays."""


def photo_scale(least: float | int) -> int:
    """Return the scale of the smallest photo model that ships whose scale is no smaller, or the largest."""
    known = shipped()
    scales = [scale for scale in MODEL_SCALES if PHOTO.format(scale=scale) in known]
    return next((scale for scale in scales if scale >= least), MODEL_SCALES[-1])


def model_of_scale(scale: float | int | None) -> str:
    """Name of the shipped photo model that is taken where none is named: that of the scale, or, of a
    fraction, the next larger; its sharp end where it has one.

    Raises ValueError where none ships.
    """
    least, known = DEFAULT_SCALE if scale is None else scale, shipped()
    whole = int(least) if least == int(least) else photo_scale(least)
    names = [each.format(scale=whole) for each in (SHARP_PHOTO, PHOTO, CLEAN)]
    found = next((name for name in names if name in known), None)
    if found is None:
        raise ValueError(
            f"scale {least:g}: no model of that scale ships ({', '.join(known)} do); name a model"
        )
    return found


def check_scale(restorer: Restorer, scale: float | int | None, model: object) -> None:
    """ValueError when a model has not the scale that is asked for; of a fraction, when it is smaller."""
    if scale is None or scale == restorer.scale or (scale % 1 and scale < restorer.scale):
        return
    raise ValueError(f"scale {scale:g}: {model} is a model of scale {restorer.scale}")


def load(
    name_or_path: str | Path | None = None,
    *,
    device: str = "auto",
    autocast: str = "off",
    sharpness: float | int | None = None,
) -> Restorer:
    """Open a model that ships (`hfmoe models` lists them), a weights file, an exported one or another's.

    device: "auto" (cuda, else mps, else cpu) or a name; autocast: "off", "bfloat16" or "float16".
    None is the model that `restore` takes. sharpness: where between the faithful and the sharp end of a photo
    model, 0 to 1; None takes the file that is named as it is.
    An exported file (.onnx, .xml) runs on the CPU in its runtime, as it was exported. Another's is a file of
    any architecture that spandrel knows (extra `peers`), or an ONNX file from one image to one image.
    Raises WeightsError (a ValueError) when there is no such model or its file cannot be used.
    """
    name_or_path = model_of_scale(None) if name_or_path is None else name_or_path
    if is_exported(name_or_path):
        if sharpness is not None:
            raise ValueError(f"{name_or_path} is exported: its sharpness is settled")
        if (device, autocast) not in (("auto", "off"), ("cpu", "off")):
            raise ValueError(f"{name_or_path} is exported: device must be cpu and autocast off")
        return open_exported(name_or_path)
    from hfmoe.infer.eager import make_restorer
    from hfmoe.models.weights import is_external, load_weights

    if sharpness is not None:
        from hfmoe.models.sharpness import load_sharpened

        return make_restorer(load_sharpened(name_or_path, sharpness), device=device, autocast=autocast)
    path = find_weights(name_or_path)
    if is_external(path):
        from hfmoe.infer.external import load_external

        return load_external(path, device=device, autocast=autocast)
    return make_restorer(load_weights(path), device=device, autocast=autocast)


def restore(
    image: Any,
    model: str | Path | Restorer | None = None,
    *,
    tile: SupportsIndex | str = "auto",
    effort: float = 0.5,
    strength: float = 1.0,
    ensemble: bool = False,
    separate: bool = False,
    scale: float | int | None = None,
    width: int | None = None,
    height: int | None = None,
    fit: str | None = None,
    sharpness: float | int | None = None,
    format: str = "png",
    quality: int = QUALITY,
    device: str = "auto",
    on_tile: OnTile | None = None,
) -> Any:
    """Restore one image and return it as the kind that was given; a path gives a Picture.

    image: path, Picture, Pillow image, tensor (c h w) or (b c h w), or array (h w) or (h w c); both of uint8,
    uint16 or floats in [0, 1], of 2 or 4 channels the last is alpha. Bytes of an image file, or a binary file
    to read them from, give bytes, of `format` and `quality`. A list or tuple gives a list. model: a name, a
    weights file, or what `load` returned, which saves loading it for every image; None is the photo model of
    scale 4, or what scale, width, height and fit ask for, as options of `hfmoe restore`; device counts for
    all but the last. sharpness: of a photo model, see `load`.
    tile, effort, strength and ensemble: see Restorer; separate: alpha is no transparency but a plane of its
    own. Raises ValueError (WeightsError, ImageError) for what
    cannot be used, TypeError for other kinds.
    """
    options: dict[str, Any] = {"tile": tile, "effort": effort, "strength": strength, "ensemble": ensemble}
    size, sides = asked_size(scale, width, height, fit), {"width": width, "height": height, "fit": fit}
    by_size = model is None and size is not None and scale is None
    if not by_size and not isinstance(model, Restorer):
        name = model_of_scale(scale) if model is None else model
        model = load(name, device=device, sharpness=sharpness)
    if isinstance(image, list | tuple):
        more = options | sides | {"separate": separate, "scale": scale, "format": format}
        more |= {"quality": quality, "device": device}
        more |= {"sharpness": None if isinstance(model, Restorer) else sharpness}
        return [restore(each, model, on_tile=on_tile, **more) for each in image]
    opened = _open(image, format, quality, separate)
    if model is None and size is not None:
        name = model_of_scale(photo_scale(size.least_scale(*opened.sides)))
        model = load(name, device=device, sharpness=sharpness)
    assert isinstance(model, Restorer)
    check_scale(model, scale, model.facts.name)
    wanted = result_size(size, *opened.sides, scale=model.scale)
    return opened.restore(model, wanted, options | {"on_tile": on_tile})


class _Image(NamedTuple):
    """An image as a caller holds it: height and width, and its result of a size, of the same kind."""

    sides: tuple[int, int]
    restore: Callable[[Restorer, Size, dict[str, Any]], Any]


def _open(image: Any, format: str, quality: int, separate: bool) -> _Image:
    """Raises TypeError for what is no image."""
    if isinstance(image, bytes | bytearray | memoryview) or hasattr(image, "read"):
        return _encoded(image, format, quality, separate)
    if isinstance(image, str | PathLike):
        image = read_picture(Path(image))
    if isinstance(image, Picture):
        return _picture(image, lambda result: result, separate)
    if is_tensor(image):
        return _plain(open_tensor(image), separate)
    if type(image).__module__.startswith("PIL."):
        return _plain(open_pillow(image), separate)
    if any(hasattr(image, name) for name in _ARRAY_PROTOCOLS):
        return _plain(open_array(np.asarray(image)), separate)
    raise TypeError(f"{type(image).__name__} is no path, Picture, tensor, array, Pillow image, bytes or file")


def _encoded(image: Any, format: str, quality: int, separate: bool) -> _Image:
    """The bytes of an image file, or a file that holds them."""
    data = image.read() if hasattr(image, "read") else bytes(image)
    if not isinstance(data, bytes):
        raise TypeError(f"{type(image).__name__} gives {type(data).__name__}; open the file as binary")
    name = getattr(image, "name", None)
    picture = decode_picture(data, name if isinstance(name, str) else "the image")
    kind = format.lower().lstrip(".")
    height, width = picture.colour.shape[1:]
    check_writable(f"result.{kind}", picture, height=height, width=width, quality=quality)
    return _picture(picture, lambda result: encode_picture(result, kind, quality=quality), separate)


def _picture(picture: Picture, close: Callable[[Picture], Any], separate: bool) -> _Image:
    def restored(restorer: Restorer, size: Size, options: dict[str, Any]) -> Any:
        result = restorer.picture(picture, separate=separate, **options)
        return close(reduce_picture(result, size, separate=separate))

    return _Image((picture.colour.shape[1], picture.colour.shape[2]), restored)


def _plain(opened: Opened, separate: bool) -> _Image:
    def restored(restorer: Restorer, size: Size, options: dict[str, Any]) -> Any:
        if opened.alpha is None:
            colour, alpha = restorer(opened.colour, **options), None
        else:
            colour, alpha = restorer.with_alpha(opened.colour, opened.alpha, separate=separate, **options)
        if colour.shape[-2:] != size:
            colour, alpha = reduce_image(colour, alpha, size, separate=separate)
        return opened.close(colour, alpha)

    return _Image((opened.colour.shape[-2], opened.colour.shape[-1]), restored)
