"""Profile, EXIF, XMP, IPTC and resolution between libvips' images and pictures."""

import re
from typing import Any

import pyvips

from hfmoe.image.picture import Metadata, Picture

SCREEN = 72 / 25.4
"""Pixels per mm that files of unknown resolution are given, for most formats must name one."""

_UNKNOWN = 1.0
_BLOBS = {"exif": "exif-data", "xmp": "xmp-data", "iptc": "iptc-data"}
_PROFILE = "icc-profile-data"
_SPACES = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}
_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>)\s*)[2-8](?=\s*[\"'<])")


def read_metadata(image: pyvips.Image) -> Metadata:
    """What an image says beside its pixels and profile."""
    exif, xmp, iptc = (_blob(image, name) for name in _BLOBS.values())
    resolution = (image.xres, image.yres)
    known = min(resolution) > 0 and resolution != (_UNKNOWN, _UNKNOWN)
    return Metadata(exif or None, xmp or None, iptc or None, resolution if known else None)


def read_profile(image: pyvips.Image) -> bytes | None:
    """The ICC profile, whatever it is."""
    return _blob(image, _PROFILE)


def profile_fault(profile: bytes, *, colours: int) -> str | None:
    """What makes a profile of no use to an image of so many colours; None when it fits."""
    if len(profile) < 128 or profile[36:40] != b"acsp":
        return "is damaged"
    if int.from_bytes(profile[:4], "big") > len(profile):
        return "is cut off"
    if profile[16:20] != _SPACES[colours]:
        return f"is for {profile[16:20]!r}, not for {_SPACES[colours].decode().strip()} colours"
    return None


def attach(image: pyvips.Image, picture: Picture) -> pyvips.Image:
    """The image with profile and metadata of a picture; orientation is upright, as the pixels are."""
    said = picture.metadata
    across, down = said.resolution or (SCREEN, SCREEN)
    image = image.copy(xres=across, yres=down)
    blobs = {_BLOBS["exif"]: said.exif, _BLOBS["xmp"]: upright_xmp(said.xmp), _BLOBS["iptc"]: said.iptc}
    for name, content in (blobs | {_PROFILE: picture.icc}).items():
        if content:
            value: Any = content
            image.set_type(pyvips.GValue.blob_type, name, value)
    if said.exif:
        image.set_type(pyvips.GValue.gint_type, "orientation", 1)
    return image


def upright_xmp(xmp: bytes | None) -> bytes | None:
    """The packet with its orientation, where it names one, set to upright."""
    return None if xmp is None else _ORIENTATION.sub(rb"\g<1>1", xmp)


def _blob(image: pyvips.Image, name: str) -> bytes | None:
    content: Any = image.get(name) if image.get_typeof(name) else None
    return None if content is None else bytes(content)
