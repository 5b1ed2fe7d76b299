"""Limits of the page: photos, bytes and pixels of a request; free memory may lower them."""

from dataclasses import dataclass
from pathlib import Path

from hfmoe.image.files import FileFacts, read_facts
from hfmoe.infer.memory import CPU, SHARE
from hfmoe.infer.restorer import Restorer
from hfmoe.web.choices import tile_side

MIB = 2**20
BYTES_PER_SAMPLE = 6
"""Of a decoded picture and of its result: floats, and the levels of a file."""


class TooMuchError(ValueError):
    """More than the page takes; the message says what, and what takes it."""


@dataclass(frozen=True)
class Limits:
    """Limits of one request and of all.

    Parameters
    ----------
    photos
        Photos in one request.
    megabytes
        Size of a file.
    megapixels
        Pixels of a result, in millions; 0 leaves it to memory.
    waiting
        Orders that wait while another is worked on; further ones are turned away.
    gigabytes
        Of all files that lie on the disk for all visitors.
    """

    photos: int = 20
    megabytes: int = 200
    megapixels: float = 0
    waiting: int = 20
    gigabytes: float = 10

    def __post_init__(self) -> None:
        for name in ("photos", "megabytes", "waiting", "gigabytes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} {getattr(self, name)} must be above 0")
        if not self.megapixels >= 0:
            raise ValueError(f"megapixels {self.megapixels} must be 0 or more")

    def check_count(self, count: int) -> None:
        """Raise TooMuchError for no photos and for too many."""
        if not count:
            raise TooMuchError("choose a photo first")
        if count > self.photos:
            raise TooMuchError(f"{count} photos are more than the {self.photos} that the page takes at once")

    def check(self, path: Path, restorer: Restorer) -> None:
        """Raise TooMuchError for a file whose result is too large; ImageError for what cannot be read."""
        if path.stat().st_size > self.megabytes * MIB:
            raise TooMuchError(f"{path.name}: more than {self.megabytes} MB")
        facts = read_facts(path)
        width, height = facts.width * restorer.scale, facts.height * restorer.scale
        if self.megapixels and width * height > self.megapixels * 1e6:
            raise TooMuchError(
                f"{path.name}: the result of {width} x {height} is more than {self.megapixels:g} megapixels"
            )
        needed = memory_of(facts, restorer)
        if needed > restorer.free_bytes(CPU) * SHARE:
            raise TooMuchError(
                f"{path.name}: the result of {width} x {height} needs {needed / 2**30:.1f} GiB of memory; "
                "hfmoe restore goes through such photos part by part"
            )


def memory_of(facts: FileFacts, restorer: Restorer) -> int:
    """Return the forecast of the memory that a photo takes while the page restores it, in bytes."""
    samples = facts.height * facts.width * (facts.channels + facts.has_alpha)
    held = samples * BYTES_PER_SAMPLE * (1 + restorer.scale**2)
    tile = tile_side(restorer.geometry)
    return held + restorer.geometry.run_bytes(facts.height, facts.width, tile=tile)
