"""Draws and damages image files: the same ones for the same seed.

`python hostile.py FOLDER SEED COUNT` writes COUNT damaged files and the odd ones to an empty folder.
"""

import os
import random
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from PIL import Image

Damage = Callable[[bytes, random.Random], bytes]

SUFFIXES = (".png", ".jpg", ".webp", ".tif", ".avif")


def whole_files(seed: int) -> dict[str, bytes]:
    """Good files of every kind by name, each a few hundred bytes to a few thousand."""
    noise = np.random.default_rng(seed)
    files: dict[str, bytes] = {}

    def vips(name: str, suffix: str, bands: int, kind: Any = np.uint8, space: str = "srgb", **options: Any):
        top = 1 if kind == np.float32 else np.iinfo(kind).max
        height, width = (int(side) for side in noise.integers(5, 24, 2))
        array = (noise.random((height, width, bands)) * top).astype(kind)
        image: Any = pyvips.Image.new_from_array(array).copy(interpretation=space)
        files[f"{name}{suffix}"] = image.write_to_buffer(suffix, **options)

    for bands, space in ((1, "b-w"), (2, "b-w"), (3, "srgb"), (4, "srgb")):
        vips(f"png{bands}", ".png", bands, space=space, interlace=bands == 3)
        vips(f"deep{bands}", ".png", bands, np.uint16, "grey16" if bands < 3 else "rgb16")
        vips(f"webp{bands}", ".webp", bands, space=space, lossless=bands > 2)
        vips(
            f"tif{bands}",
            ".tif",
            bands,
            space=space,
            compression=("none", "lzw", "deflate", "none")[bands - 1],
        )
        vips(f"float{bands}", ".tif", bands, np.float32, "b-w" if bands < 3 else "scrgb")
    jpegs: tuple[dict[str, Any], ...] = ({"interlace": True}, {"optimize_coding": True}, {"Q": 30})
    for options in jpegs:
        vips(f"jpg{len(files)}", ".jpg", 3, **options)
    vips("gray", ".jpg", 1, space="b-w")
    vips("cmyk", ".jpg", 4, space="cmyk")
    vips("cmyk", ".tif", 4, space="cmyk", compression="deflate")
    vips("tiled", ".tif", 3, tile=True, tile_width=16, tile_height=16)
    vips("big", ".tif", 3, bigtiff=True)
    vips("jpeg", ".tif", 3, compression="jpeg")
    vips("palette", ".png", 3, palette=True)
    vips("avif", ".avif", 3, effort=0)
    vips("avif12", ".avif", 3, np.uint16, "rgb16", effort=0, bitdepth=12)
    files |= _with_metadata(noise)
    return files


def _with_metadata(noise: np.random.Generator) -> dict[str, bytes]:
    image = Image.fromarray(noise.integers(0, 256, (12, 17, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x10F], exif[0x112] = "Maker", 6
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    profile = pyvips.Image.new_from_buffer(
        pyvips.Image.black(2, 2, bands=3).copy(interpretation="srgb").pngsave_buffer(profile="srgb"), ""
    )
    icc: Any = profile.get("icc-profile-data")
    files = {}
    for name, kind in (("said.jpg", "JPEG"), ("said.png", "PNG"), ("said.webp", "WEBP")):
        buffer = BytesIO()
        image.save(buffer, kind, exif=exif.tobytes(), icc_profile=bytes(icc))
        files[name] = buffer.getvalue()
    for name, options in (
        ("exif.jpg", {"exif": b"Exif\0\0II*\0\xff\xff\xff\xff"}),
        ("icc.jpg", {"icc_profile": b"x"}),
    ):
        buffer = BytesIO()
        image.save(buffer, "JPEG", **options)
        files[name] = buffer.getvalue()
    return files


def _truncate(content: bytes, dice: random.Random) -> bytes:
    return content[: dice.randrange(len(content))]


def _flip(content: bytes, dice: random.Random, *, within: int | None = None) -> bytes:
    damaged = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 8, 40))):
        damaged[dice.randrange(min(within or len(damaged), len(damaged)))] ^= 1 << dice.randrange(8)
    return bytes(damaged)


def _flip_head(content: bytes, dice: random.Random) -> bytes:
    return _flip(content, dice, within=160)


def _extreme(content: bytes, dice: random.Random) -> bytes:
    """A number somewhere becomes the largest or smallest of its kind."""
    damaged, start = bytearray(content), dice.randrange(len(content))
    size = dice.choice((1, 2, 4, 8))
    value = dice.choice((b"\xff", b"\0", b"\x7f", b"\x80"))
    damaged[start : start + size] = value * size
    return bytes(damaged)


def _drop(content: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(content))
    return content[:start] + content[start + dice.randrange(1, 40) :]


def _insert(content: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(content))
    return content[:start] + dice.randbytes(dice.randrange(1, 40)) + content[start:]


def _repeat(content: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(content))
    return (
        content[:start]
        + content[start : start + dice.randrange(1, 200)] * dice.randrange(2, 9)
        + content[start:]
    )


def _noise(content: bytes, dice: random.Random) -> bytes:
    """The first bytes of a kind, then noise."""
    return content[: dice.choice((0, 4, 12, 40))] + dice.randbytes(dice.randrange(1, 3000))


def _checked(content: bytes, dice: random.Random) -> bytes:
    """A PNG whose damaged chunk has the right checksum, so that the damage is looked at."""
    if not content.startswith(b"\x89PNG"):
        return _flip_head(content, dice)
    chunks, place = [], 8
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    hit = dice.randrange(len(chunks))
    if chunks[hit][1]:
        chunks[hit] = (chunks[hit][0], _flip(chunks[hit][1], dice))
    return content[:8] + b"".join(png_chunk(*chunk) for chunk in chunks)


DAMAGES: tuple[Damage, ...] = (
    *(
        _truncate,
        _flip,
        _flip_head,
        _flip_head,
        _extreme,
        _extreme,
        _drop,
        _insert,
        _repeat,
        _noise,
        _checked,
    ),
)


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, *, bits: int, colour: int, data: bytes, extra: bytes = b"") -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def odd_files() -> dict[str, bytes]:
    """Bombs, extreme shapes, loops, strangers, and names that are tricks."""
    good = png(3, 2, bits=8, colour=2, data=zlib.compress(b"\0" * 20))
    nan = np.full((6, 5, 3), np.nan, np.float32)
    image = pyvips.Image.new_from_array(nan).copy(interpretation="scrgb")
    loop = (
        b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + struct.pack("<HHII", 254, 4, 1, 0) + struct.pack("<I", 8)
    )
    text = png_chunk(b"zTXt", b"bomb\0\0" + zlib.compress(b"a" * 60_000_000, 9))
    profile = png_chunk(b"iCCP", b"bomb\0\0" + zlib.compress(bytes(60_000_000), 9))
    row = zlib.compress(b"\0" * 65501)
    return {
        "bomb-bits.png": png(30000, 30000, bits=1, colour=0, data=zlib.compress(bytes(3751 * 30000), 9)),
        "bomb-claim.png": png(2**31 - 1, 2**31 - 1, bits=16, colour=6, data=zlib.compress(b"\0")),
        "bomb-text.png": png(3, 2, bits=8, colour=2, data=zlib.compress(b"\0" * 20), extra=text),
        "bomb-profile.png": png(3, 2, bits=8, colour=2, data=zlib.compress(b"\0" * 20), extra=profile),
        "row.png": png(65500, 1, bits=8, colour=0, data=row),
        "column.png": png(1, 65500, bits=8, colour=0, data=zlib.compress(b"\0\0" * 65500)),
        "one.png": png(1, 1, bits=8, colour=2, data=zlib.compress(b"\0" * 4)),
        "nan.tif": image.tiffsave_buffer(),
        "loop.tif": loop,
        "huge-offset.tif": b"II+\0\x08\0\0\0" + b"\xff" * 8 + bytes(64),
        "empty.png": b"",
        "short.jpg": b"\xff\xd8\xff",
        "drawing.png": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'></svg>",
        "page.jpg": b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><svg>&b;</svg>",
        "script.png": b"#!/bin/sh\nexit 1\n",
        "moving.webp": b"GIF89a" + bytes(40),
        "-rf.png": good,
        "a b\tc.png": good,
        "new\nline.png": good,
        "x;touch pwned;.png": good,
        "$(touch pwned).png": good,
        "%s%n[page=1,n=-1].png": good,
        "..png": good,
        "naïve-ф-😀.png": good,
        "CON.png": good,
        os.fsdecode(b"no-unicode-\xff\xfe.png"): good,
        f"{'n' * 240}.png": good,
    }


def hostile_files(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """`count` damaged files by name, then the odd ones; one in six damaged ones has a wrong suffix."""
    dice = random.Random(seed)
    whole = sorted(whole_files(seed).items())
    for number in range(count):
        name, content = whole[number % len(whole)]
        damaged = DAMAGES[dice.randrange(len(DAMAGES))](content, dice)
        suffix = dice.choice(SUFFIXES) if dice.random() < 1 / 6 else Path(name).suffix
        yield f"{number:04d}-{Path(name).stem}{suffix}", damaged
    yield from odd_files().items()


if __name__ == "__main__":
    for file_name, file_content in hostile_files(int(sys.argv[2]), int(sys.argv[3])):
        (Path(sys.argv[1]) / file_name).write_bytes(file_content)
