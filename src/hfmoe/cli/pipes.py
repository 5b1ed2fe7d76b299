"""`hfmoe restore -` and `--output -`: pictures through stdin and stdout, messages to stderr alone.

A stream of PNG files, as ffmpeg's image2pipe gives them, goes through picture by picture.
"""

import re
import struct
import sys
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from tempfile import TemporaryDirectory

from hfmoe.batch.pipeline import FAILURES
from hfmoe.batch.planning import Job
from hfmoe.batch.settings import Naming
from hfmoe.batch.work import PictureWork
from hfmoe.cli.errors import PIPE, UsageError
from hfmoe.cli.model_choice import ModelChoice
from hfmoe.image.files import ImageError
from hfmoe.runtime.files import write_atomically

_PNG = b"\x89PNG\r\n\x1a\n"
_END = b"IEND"
_JPEG = b"\xff\xd8\xff"
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""End of the coded samples of a JPEG: any marker but those within them."""
_HEAD = 2**18
"""Bytes in which a JPEG says that further pictures behind it belong to it."""


def is_piped(inputs: list[str], output: str | None) -> bool:
    """True where stdin or stdout takes part. Raises UsageError for anything else beside it."""
    if PIPE not in inputs and output != PIPE:
        return False
    if len(inputs) != 1 or (inputs[0] != PIPE and not Path(inputs[0]).is_file()):
        raise UsageError("- stands for one file: restore - or restore FILE --output -")
    if inputs[0] == PIPE and sys.stdin.isatty():
        raise UsageError("restore - reads a picture from stdin, which is a terminal")
    if output in (None, PIPE) and sys.stdout.isatty():
        raise UsageError("--output - writes a picture to stdout, which is a terminal")
    return True


def restore_piped(place: str, output: str | None, chosen: ModelChoice, naming: Naming) -> int:
    """Restore what stdin or a file holds into stdout or a file. Raises UsageError, ImageError."""
    target = None if output in (None, PIPE) else Path(str(output))
    if target is not None and target.suffix.lower() not in naming.known:
        raise UsageError(f"--output {target}: suffix must be one of {', '.join(naming.known)}")
    suffix = naming.suffix if target is None else target.suffix.lower()
    files = pictures_of(_stdin()) if place == PIPE else iter([Path(place).read_bytes()])
    count = 0
    for count, content in enumerate(files, start=1):
        if target is not None and count > 1:
            raise ImageError(f"{target}: holds one picture; stdin has several, which --output - takes")
        name = place if place != PIPE else "stdin" if count == 1 else f"stdin, picture {count}"
        result = _restored(content, name, suffix, chosen)
        if target is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, result)
        else:
            sys.stdout.buffer.write(result)
            sys.stdout.buffer.flush()
    if not count:
        raise ImageError("stdin: holds no picture")
    return 0


def pictures_of(stream: BufferedIOBase) -> Iterator[bytes]:
    """The files in a stream: of PNG each as soon as it is whole; of other kinds all of it as one.

    Raises ImageError where something else follows a PNG, and for a stream of JPEG or BMP.
    """
    count = 0
    while head := stream.read(len(_PNG)):
        if head != _PNG:
            if count:
                raise ImageError(f"stdin: what follows picture {count} is no PNG; several pictures must be")
            content = head + stream.read()
            if _is_followed(content):
                raise ImageError("stdin: several JPEG or BMP pictures; several must be PNG (ffmpeg -c:v png)")
            yield content
            return
        count += 1
        yield head + b"".join(_chunks(stream))


def _is_followed(content: bytes) -> bool:
    """True where a JPEG or BMP is followed by another that is no part of it, such as a thumbnail."""
    if content[:2] == b"BM":
        size = int.from_bytes(content[2:6], "little")
        return 0 < size < len(content) and content[size : size + 2] == b"BM"
    if content[:3] != _JPEG or b"MPF\0" in content[:_HEAD] or b"hdrgm" in content[:_HEAD]:
        return False
    end = _end_of_jpeg(content)
    return content[end : end + 3] == _JPEG


def _end_of_jpeg(content: bytes) -> int:
    """Where the first JPEG in some bytes ends; their end where it is cut off."""
    place = 2
    while 0 <= place < len(content) - 3:
        marker = content[place + 1]
        if content[place] != 0xFF or marker == 0xD9:
            return place + 2
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if marker == 0xDA:
            found = _MARKER.search(content, place)
            place = found.start() if found else len(content)
    return len(content)


def _stdin() -> BufferedIOBase:
    return sys.stdin.buffer  # pyright: ignore[reportReturnType]


def _chunks(stream: BufferedIOBase) -> Iterator[bytes]:
    """The chunks of a PNG up to its end, or as many as there are."""
    while len(head := stream.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if length >= 2**31:
            raise ImageError(f"stdin: a chunk of {length} bytes, more than PNG allows")
        yield head
        yield stream.read(length + 4)
        if name == _END:
            return
    yield head


def _restored(content: bytes, name: str, suffix: str, chosen: ModelChoice) -> bytes:
    """The file of a result, by way of files that go away; errors name the picture."""
    with TemporaryDirectory(prefix="hfmoe-") as folder:
        source, target = Path(folder) / "source", Path(folder) / f"result{suffix}"
        source.write_bytes(content)
        job = Job(source, target)
        try:
            [scale] = chosen.groups([job])
            work = PictureWork(chosen.open(scale), chosen.settings)
            work.write(job, work.restore(job, work.read(job)))
        except FAILURES as error:
            said = str(error) or type(error).__name__
            for place, known in ((source, name), (target, target.name)):
                said = said.replace(str(place), known)
            raise ImageError(said if name in said else f"{name}: {said}") from error
        return target.read_bytes()
