"""Weights of other networks that a recipe may need, fetched when somebody asks for them, and checked."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

PIECE = 1 << 20
TIMEOUT = 60
"""Seconds without a byte after which a connection counts as lost."""


class Source(NamedTuple):
    """Where a file comes from, and the sha256 (hex) that it must have."""

    url: str
    sha256: str


SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "vgg16": Source(
            "https://download.pytorch.org/models/vgg16-397923af.pth",
            "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        ),
        "vgg19": Source(
            "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
            "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        ),
    }
)
"""torchvision's IMAGENET1K_V1 weights (BSD-3-Clause)."""

Watch = Callable[[int, int | None], None]
"""Told the bytes so far and, where it is known, how many there will be."""


class DownloadError(ValueError):
    """A file that could not be fetched or is not what it must be; the message names both ends."""


def download(source: Source, output: Path, *, watch: Watch = lambda done, total: None) -> None:
    """Fetch a file, check its sha256 and only then put it in place; what was there before is never replaced.

    The folder is made where there is none. Raises DownloadError; no part of a file ever stays
    behind.
    """
    if output.exists():
        raise DownloadError(f"{output} exists already and is not written over")
    output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as file:
            found = fetch(source.url, file, watch)
            file.flush()
            os.fsync(file.fileno())
        if found != source.sha256:
            raise DownloadError(f"{source.url} has sha256 {found}, must be {source.sha256}; nothing was kept")
        unfinished.replace(output)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(f"{source.url} cannot be fetched: {reason}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def fetch(url: str, file: BinaryIO, watch: Watch) -> str:
    """Write what a URL gives to a file and give its sha256 (hex); DownloadError where it ends too early."""
    digest, done = hashlib.sha256(), 0
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        length = answer.headers.get("Content-Length")
        total = int(length) if length and length.isdigit() else None
        while piece := answer.read(PIECE):
            file.write(piece)
            digest.update(piece)
            done += len(piece)
            watch(done, total)
    if total is not None and done < total:
        raise DownloadError(f"{url} ended after {done} of {total} bytes; nothing was kept")
    return digest.hexdigest()
