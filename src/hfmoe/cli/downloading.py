"""The work of `hfmoe download`."""

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from hfmoe.cli.errors import UsageError
from hfmoe.train.vgg_weights import SOURCES, Source, download


def fetch_weights(name: str, *, output: Path | None, url: str | None) -> None:
    """Fetch a known file into `output`, or under its own name into the working directory."""
    if name not in SOURCES:
        raise UsageError(f"{name!r} must be one of {', '.join(sorted(SOURCES))}")
    known = SOURCES[name]
    source = Source(url or known.url, known.sha256)
    target = output or Path(known.url.rpartition("/")[2])
    with Progress(
        BarColumn(20), DownloadColumn(), TimeRemainingColumn(), console=Console(stderr=True)
    ) as progress:
        task = progress.add_task(name, total=None)
        download(source, target, watch=lambda done, total: progress.update(task, completed=done, total=total))
    Console().print(f"{target}  sha256 {source.sha256}", highlight=False, soft_wrap=True)
