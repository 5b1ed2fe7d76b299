"""Facts of a file that libvips passes over: colour space, orientation, samples that are no alpha."""

from pathlib import Path
from typing import Any

import pyvips

from hfmoe.image.colour_space import (
    ADOBE_RGB,
    ColourSpace,
    heif_properties,
    make_profile,
    space_of_heif,
    space_of_png,
)
from hfmoe.image.metadata import EXIF_MARK, field_names, read_profile, turn_of_exif, turn_of_xmp
from hfmoe.image.tiff import (
    ASSOCIATED_ALPHA,
    CIELAB,
    ICCLAB,
    JPEG,
    UNASSOCIATED_ALPHA,
    YCBCR,
    PageFacts,
    page_facts,
    with_plain_samples,
)

LEFT_OUT = "hfmoe-left-out"
"""Field of an image: how many of its file's samples are neither colour nor alpha."""
CONVERTED = "hfmoe-converted-page"
"""Field of an image that libtiff converted: the page. Its alpha is 0 where nothing was decoded, else 1."""
_INTEROPERABILITY = "exif-ifd4-InteroperabilityIndex"
_ADOBE_MARK = "R03"
_RAW_PROFILE = "-Raw profile type "
_XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"
_TURNS = {b"irot", b"imir"}
_COLOURS = {0: 1, 1: 1, 2: 3, 5: 4, 8: 3, 9: 3}
"""Colours of TIFF's photometric interpretations whose samples libvips gives as they are stored."""


def complete(path: Path, image: pyvips.Image, loader: str, *, page: int = 0) -> pyvips.Image:
    """The image with the profile, the orientation and the bands that its file means.

    Raises ValueError for what cannot be read as it is meant.
    """
    if loader == "tiff":
        with path.open("rb") as file:
            facts = page_facts(file, page)
        if facts.photometric == YCBCR and facts.compression != JPEG:
            image = _converted(image, page)
        image = _meant_samples(image, facts)
        image = _from_lab(image, facts) if _is_stored_lab(facts) else _with_profile(image, None)
        return image if facts.oriented else _turned_by_xmp(image)
    if loader == "heif":
        with path.open("rb") as file:
            properties = heif_properties(file)
        image = _with_profile(image, space_of_heif(properties))
        return image if any(name in _TURNS for name, _ in properties) else _turned_by_xmp(image)
    if loader == "png":
        with path.open("rb") as file:
            image = _with_profile(image, space_of_png(file))
        return _turned_by_xmp(_with_raw_profiles(image))
    return _turned_by_xmp(_with_profile(image, None))


def stored_lab(path: Path, page: int) -> bytes | None:
    """A TIFF's bytes by which libvips gives a page's Lab as it is stored, for of 8 bits it reads none.

    None where the page is in other colours, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return with_plain_samples(file, page) if _is_stored_lab(page_facts(file, page)) else None
    except (ValueError, OSError):
        return None


def _is_stored_lab(page: PageFacts) -> bool:
    return page.photometric in (CIELAB, ICCLAB) and page.bits in (8, 16)


def _from_lab(image: pyvips.Image, page: PageFacts) -> pyvips.Image:
    """sRGB of Lab as it is stored, in the same depth."""
    unit = 2 ** (page.bits - 8)
    lightness, others = image.extract_band(0), image.extract_band(1, n=2)
    if page.photometric == CIELAB:
        white, kind = 256 * unit - 1, "char" if page.bits == 8 else "short"
        others = others.copy(format=kind) / unit
    else:
        white, others = 255 * unit, others / unit - 128
    lab = (lightness * (100 / white)).bandjoin(others).copy(interpretation="lab")
    colours = lab_to_srgb(lab, depth=page.bits)
    return colours.bandjoin(image.extract_band(3)) if image.bands == 4 else colours


def lab_to_srgb(image: pyvips.Image, *, depth: int) -> pyvips.Image:
    """sRGB of an image in Lab of D50, as ICC defines it, without the profile of that."""
    colours = image.icc_export(output_profile="srgb", pcs="lab", intent="relative", depth=depth).copy()
    colours.remove("icc-profile-data")
    return colours


def _with_profile(image: pyvips.Image, space: ColourSpace | None) -> pyvips.Image:
    """The image with a profile of the space that it is said to be in, unless it has one or that is sRGB."""
    if read_profile(image) is not None:
        return image
    mark = image.get_typeof(_INTEROPERABILITY) and str(image.get(_INTEROPERABILITY)).startswith(_ADOBE_MARK)
    if (space is None or space.is_srgb) and mark:
        space = ADOBE_RGB
    colours = image.bands - bool(image.hasalpha())
    if space is None or space.is_srgb or colours not in (1, 3):
        return image
    image = image.copy()
    value: Any = make_profile(space, colours=colours)
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", value)
    return image


def _with_raw_profiles(image: pyvips.Image) -> pyvips.Image:
    """The image of a PNG with the EXIF and XMP that ImageMagick wrote into texts, in hexadecimal."""
    for name in field_names(image):
        _, found, kind = name.partition(_RAW_PROFILE)
        if not (found and kind in ("exif", "xmp", "APP1")):
            continue
        try:
            content = bytes.fromhex("".join(str(image.get(name)).split()[2:]))
        except ValueError:
            continue
        is_exif = content.startswith(EXIF_MARK)
        value: Any = content if is_exif else content.removeprefix(_XMP_MARK)
        field = "exif-data" if is_exif else "xmp-data"
        if kind == "exif" and not is_exif or image.get_typeof(field):
            continue
        image = image.copy()
        image.set_type(pyvips.GValue.blob_type, field, value)
        turn = turn_of_exif(content) if is_exif else None
        if turn is not None:
            image.set_type(pyvips.GValue.gint_type, "orientation", turn)
    return image


def _turned_by_xmp(image: pyvips.Image) -> pyvips.Image:
    """The image with the orientation of its XMP packet, where no other says one."""
    known = image.get_typeof("orientation") and not str(image.get("vips-loader")).startswith("tiff")
    turn = None if known or not image.get_typeof("xmp-data") else turn_of_xmp(bytes(_blob(image)))
    if turn is None:
        return image
    image = image.copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", turn)
    return image


def _blob(image: pyvips.Image) -> Any:
    return image.get("xmp-data")


def _converted(image: pyvips.Image, page: int) -> pyvips.Image:
    """The colours that libtiff converted, noted, for it passes over what it cannot decode."""
    if image.bands != 4:
        raise ValueError("TIFF in YCbCr without JPEG, which is not converted; save it as RGB first")
    image = image.extract_band(0, n=3).copy(interpretation="srgb")
    image.set_type(pyvips.GValue.gint_type, CONVERTED, page)
    return image


def _meant_samples(image: pyvips.Image, page: PageFacts) -> pyvips.Image:
    """The colours of a TIFF and, where it says that there is one, its alpha."""
    colours = _COLOURS.get(page.photometric)
    if colours is None or image.bands != page.samples or page.samples <= colours:
        return image
    if not page.extra and page.samples == colours + 1:
        return image  # without the tag it counts as alpha, as for libtiff and Pillow
    kinds = (*page.extra, *(0,) * page.samples)[: page.samples - colours]
    alpha = [place for place, kind in enumerate(kinds) if kind in (ASSOCIATED_ALPHA, UNASSOCIATED_ALPHA)]
    if len(kinds) == 1 and alpha:
        return image
    space: Any = image.interpretation
    meant = image.extract_band(0, n=colours)
    if alpha:
        meant = meant.bandjoin(image.extract_band(colours + alpha[0]))
    meant = meant.copy(interpretation=space)
    meant.set_type(pyvips.GValue.gint_type, LEFT_OUT, len(kinds) - bool(alpha))
    return meant
