"""Weights of VGG for perceptual losses: downloaded on request, checked, and read."""

import hashlib
import http.client
import pickle
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

import safetensors
import torch
from torch import Tensor

from hfmoe.losses import VGGFeatures
from hfmoe.models.features import Depth
from hfmoe.models.header import WeightsError
from hfmoe.runtime.files import atomic

PIECE = 1 << 20
TIMEOUT = 60
"""Seconds without a byte after which a connection counts as lost."""


class WeightsSource(NamedTuple):
    """Address of a file, and the sha256 (hex) that it must have."""

    url: str
    sha256: str


SOURCES: Mapping[str, WeightsSource] = MappingProxyType(
    {
        "vgg16": WeightsSource(
            "https://download.pytorch.org/models/vgg16-397923af.pth",
            "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        ),
        "vgg19": WeightsSource(
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


def download(source: WeightsSource, output: Path, *, watch: Watch = lambda done, total: None) -> None:
    """Fetch a file, check its sha256 and only then put it in place; what was there before is never replaced.

    The folder is made where there is none. Raises DownloadError; no part of a file ever stays
    behind.
    """
    if output.exists():
        raise DownloadError(f"{output} exists already and is not written over")
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        with atomic(output) as unfinished:
            with unfinished.open("wb") as file:
                found = fetch(source.url, file, watch)
            if found != source.sha256:
                raise DownloadError(
                    f"{source.url} has sha256 {found}, must be {source.sha256}; nothing was kept"
                )
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(f"{source.url} cannot be fetched: {reason}") from error


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


def read_features(path: Path, depth: Depth, layers: Collection[str]) -> VGGFeatures:
    """Build the features up to the deepest layer with the weights of a file; further tensors are left alone.

    Raises WeightsError where the file cannot be read, or a tensor is missing, of another shape or not finite.
    """
    tensors = read_tensors(path)
    with torch.device("meta"):
        expected = VGGFeatures(depth, layers).state_dict()
    for name, tensor in expected.items():
        found = tensors.get(name)
        if not isinstance(found, Tensor):
            raise WeightsError(
                f"{path} has no tensor {name}: it is not a whole {depth} in torchvision's names"
            )
        if found.shape != tensor.shape:
            shapes = f"{tuple(found.shape)}, must be {tuple(tensor.shape)} in {depth}"
            raise WeightsError(f"{path}: tensor {name} is {shapes}")
        if not found.is_floating_point() or not found.isfinite().all():
            raise WeightsError(f"{path}: tensor {name} must hold finite floating-point numbers")
    with torch.random.fork_rng(devices=[]):
        network = VGGFeatures(depth, layers)
    network.load_state_dict({name: tensors[name] for name in expected})
    return network.eval()


def read_tensors(path: Path) -> Mapping[str, Any]:
    """Read a safetensors file, or what torch.save wrote; nothing but tensors and plain values is accepted."""
    try:
        with path.open("rb") as file:
            is_safetensors = file.read(9)[8:] == b"{"
    except OSError as error:
        hint = "; `hfmoe download` fetches it" if isinstance(error, FileNotFoundError) else ""
        raise WeightsError(f"{path} cannot be read: {error.strerror}{hint}") from error
    try:
        if is_safetensors:
            with safetensors.safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (safetensors.SafetensorError, pickle.UnpicklingError, OSError, RuntimeError, EOFError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise WeightsError(f"{path} is neither a safetensors file nor torch's: {reason}") from error
    if not isinstance(state, Mapping):
        raise WeightsError(f"{path} must hold named tensors, not {type(state).__name__}")
    return state
