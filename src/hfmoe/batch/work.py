"""What is done with one picture of a job: read, restored, written, written down."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hfmoe.batch.large import Large, goes_by_parts, restore_large
from hfmoe.batch.manifest import Identity, Manifest, identify
from hfmoe.batch.paged import goes_by_pages, restore_pages
from hfmoe.batch.pipeline import Steps
from hfmoe.batch.planning import Job
from hfmoe.batch.settings import Settings
from hfmoe.image.facts import read_facts
from hfmoe.image.files import Picture, check_writable, read_arrays, strip, write_picture
from hfmoe.image.picture import PagesError
from hfmoe.infer.restorer import Restorer
from hfmoe.infer.tiled import OnTile

OnBegin = Callable[[Job], OnTile | None]
"""Called before the network sees a picture; what it gives is told of every tile."""


class Done(NamedTuple):
    """A picture that was restored and written, and its new size in pixels."""

    job: Job
    width: int
    height: int


class Opened(NamedTuple):
    """A picture that was read or restored, what its source was then, and when.

    Large: it is on the disk; a function: it is read and written part by part or page by page as it is
    restored.
    """

    picture: Picture | Large | Callable[..., Large]
    identity: Identity
    began: float


@dataclass(frozen=True)
class Work:
    """The steps of a job's pictures."""

    restorer: Restorer
    settings: Settings
    manifests: dict[Path, Manifest]
    model: str = ""
    on_begin: OnBegin | None = None

    def steps(self) -> Steps:
        """The steps as a pipeline takes them."""
        return Steps(self.cost, self.read, self.restore, self.write)

    def cost(self, job: Job) -> int:
        """Bytes of a picture and its result, as floats and as the levels of a file."""
        try:
            facts = read_facts(job.source)
        except (ValueError, OSError):
            return 0
        samples = facts.height * facts.width * (facts.channels + facts.has_alpha)
        return samples * 6 * (1 + self.restorer.scale**2)

    def read(self, job: Job) -> Opened:
        """Decode a source and see that its result can be written."""
        try:
            return self._open(job)
        except PagesError as error:
            raise PagesError(f"{error}; --pages restores each") from error

    def _open(self, job: Job) -> Opened:
        began = time.monotonic()
        identity = identify(job.source)
        if goes_by_pages(job.source, job.target, self.settings):
            return Opened(restore_pages, identity, began)
        if goes_by_parts(job.source, self.restorer, self.settings):
            return Opened(partial(restore_large, key=(self.model, identity)), identity, began)
        picture = read_arrays(job.source)
        if self.settings.strip:
            picture = strip(picture)
        height, width = (side * self.restorer.scale for side in picture.colour.shape[-2:])
        check_writable(job.target, picture, height=height, width=width, quality=self.settings.quality)
        return Opened(picture, identity, began)

    def restore(self, job: Job, opened: Opened) -> Opened:
        """Run the network."""
        on_tile = self.on_begin(job) if self.on_begin else None
        if not isinstance(opened.picture, Picture):
            assert callable(opened.picture)
            large = opened.picture(job.source, job.target, self.restorer, self.settings, on_tile=on_tile)
            return opened._replace(picture=large)
        options = {name: getattr(self.settings, name) for name in ("tile", "effort", "strength", "ensemble")}
        return opened._replace(picture=self.restorer.picture(opened.picture, on_tile=on_tile, **options))

    def write(self, job: Job, restored: Opened) -> Done:
        """Encode a result and write it down in the manifest of its folder."""
        result = restored.picture
        if isinstance(result, Picture):
            job.target.parent.mkdir(parents=True, exist_ok=True)
            write_picture(job.target, result, quality=self.settings.quality)
            result = Large(result.colour.shape[2], result.colour.shape[1])
        assert isinstance(result, Large)
        if job.root is not None:
            seconds = time.monotonic() - restored.began
            self.manifests[job.root].add(job.source, job.target, read=restored.identity, seconds=seconds)
        return Done(job, *result)
