"""`hfmoe download`: the weights that perceptual losses need."""

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from hfmoe.cli.errors import UsageError
from hfmoe.train.vgg_weights import SOURCES, WeightsSource
from hfmoe.train.vgg_weights import download as fetch


def download(name: str, /, *, output: Path | None = None, url: str | None = None) -> None:
    """Fetch the weights that a perceptual loss needs, and check their sha256.

    Parameters
    ----------
    name
        vgg19 or vgg16, as torchvision publishes them (some 550 MB).
    output
        File to write; default the file's own name, in the working directory. It must not exist yet.
    url
        Fetch it from here instead; its sha256 must be the same.
    """
    if name not in SOURCES:
        raise UsageError(f"{name!r} must be one of {', '.join(sorted(SOURCES))}")
    known = SOURCES[name]
    source = WeightsSource(url or known.url, known.sha256)
    target = output or Path(known.url.rpartition("/")[2])
    with Progress(
        BarColumn(20), DownloadColumn(), TimeRemainingColumn(), console=Console(stderr=True)
    ) as progress:
        task = progress.add_task(name, total=None)
        fetch(source, target, watch=lambda done, total: progress.update(task, completed=done, total=total))
    Console().print(f"{target}  sha256 {source.sha256}", highlight=False, soft_wrap=True)
