"""Which files a restore command reads and writes."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hfmoe.cli.errors import UsageError
from hfmoe.image.files import IMAGE_SUFFIXES, list_images


class Job(NamedTuple):
    """One picture to restore."""

    source: Path
    target: Path


def plan_jobs(inputs: Sequence[Path], output: str | None, *, suffix: str, form: str = ".png") -> list[Job]:
    """Where the result of each input goes; `suffix` such as "-x4" tells a result from its source.

    `form` is the suffix of the format. Without output, a file's result is `<stem><suffix>.png` beside it and
    a folder's are in `<folder><suffix>/`. An output is a file for one input file (when it has an image
    suffix), a folder otherwise. Of sources whose results would have one name, each keeps its own suffix:
    `<name><suffix>.png`.
    Raises UsageError when an output cannot be either, or is one of the sources.
    """
    single = len(inputs) == 1 and not inputs[0].is_dir()
    if output is not None and single and _is_file_name(output):
        jobs = [Job(inputs[0], Path(output))]
    else:
        jobs = _named(_expand(inputs, output, suffix), suffix + form)
    sources = {job.source.resolve() for job in jobs}
    for job in jobs:
        if job.target.resolve() in sources:
            raise UsageError(f"{job.target} is an input; choose another --output")
    return jobs


def _is_file_name(output: str) -> bool:
    path = Path(output)
    if output.endswith("/") or path.is_dir() or (not path.suffix and not path.exists()):
        return False
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise UsageError(f"--output {output}: suffix must be one of {', '.join(IMAGE_SUFFIXES)}")
    return True


def _expand(inputs: Sequence[Path], output: str | None, suffix: str) -> dict[Path, Path]:
    """The folder that each source's result goes to."""
    if output is not None and Path(output).is_file():
        raise UsageError(f"--output {output} is a file; several inputs need a folder")
    if output is not None and not Path(output).exists() and Path(output).suffix.lower() in IMAGE_SUFFIXES:
        raise UsageError(f"--output {output} is named like a file; several inputs need a folder")
    folders: dict[Path, Path] = {}
    for place in inputs:
        if not place.is_dir():
            folders[place] = Path(output) if output else place.parent
            continue
        images = list_images(place)
        if not images:
            raise UsageError(f"{place} holds no images ({', '.join(IMAGE_SUFFIXES)})")
        beside = place.resolve()
        folders |= dict.fromkeys(images, Path(output) if output else beside.with_name(beside.name + suffix))
    return folders


def _named(folders: dict[Path, Path], ending: str) -> list[Job]:
    wanted = Counter((folder, source.stem) for source, folder in folders.items())
    jobs = []
    for source, folder in folders.items():
        stem = source.stem if wanted[folder, source.stem] == 1 else source.name
        jobs.append(Job(source, folder / f"{stem}{ending}"))
    repeated = [job for job, count in Counter(job.target for job in jobs).items() if count > 1]
    if repeated:
        raise UsageError(f"several inputs would be written to {repeated[0]}; restore them apart")
    return jobs
