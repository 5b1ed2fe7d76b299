"""The frames that a GIF file holds: decoders pass over a file that is cut off without a word.

Source: Graphics Interchange Format, version 89a, 1990.
"""

from io import BufferedIOBase

_IMAGE, _EXTENSION, _TRAILER = 0x2C, 0x21, 0x3B


def count_frames(file: BufferedIOBase) -> int:
    """Frames of a GIF file, by its blocks. Raises ValueError when it is cut off or holds other blocks."""
    file.seek(0)
    _skip_colours(file, _take(file, 13)[10])
    frames = 0
    while (kind := _take(file, 1)[0]) != _TRAILER:
        if kind == _IMAGE:
            frames += 1
            _skip_colours(file, _take(file, 9)[8])
            _take(file, 1)
        elif kind == _EXTENSION:
            _take(file, 1)
        else:
            raise ValueError(f"a block of the unknown kind {kind}")
        while size := _take(file, 1)[0]:
            _take(file, size)
    return frames


def _skip_colours(file: BufferedIOBase, flags: int) -> None:
    """Pass over a table of colours, where the flags before it say that there is one."""
    if flags & 0x80:
        _take(file, 3 * 2 ** ((flags & 7) + 1))


def _take(file: BufferedIOBase, count: int) -> bytes:
    content = file.read(count)
    if len(content) < count:
        raise ValueError("the file is cut off")
    return content
