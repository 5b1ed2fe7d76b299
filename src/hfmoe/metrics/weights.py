"""Weights of LPIPS and DISTS as safetensors files: the names in them, reading, and making them.

Nothing ships and nothing is fetched: the weights have their own licences. Names, with torchvision's numbers:
`features.N.weight` and `features.N.bias` of the convolutions; for LPIPS `heads.0` to `heads.4`, one number a
channel; for DISTS `alpha` and `beta`, 1475 numbers each. Made from the authors' public files:

    python -m hfmoe.metrics.weights lpips-alex OUT.safetensors alexnet-owt-7be5be79.pth alex.pth
    python -m hfmoe.metrics.weights lpips-vgg OUT.safetensors vgg16-397923af.pth vgg.pth
    python -m hfmoe.metrics.weights dists OUT.safetensors vgg16-397923af.pth weights.pt

First torchvision's backbone, then the metric's own numbers: `lpips/weights/v0.1/` of richzhang's
PerceptualSimilarity, `DISTS_pytorch/weights.pt` of the package dists-pytorch.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hfmoe.metrics.dists import DISTS
from hfmoe.metrics.lpips import LPIPS

KINDS = ("lpips-alex", "lpips-vgg", "dists")

_Network = TypeVar("_Network", LPIPS, DISTS)


def load_lpips(path: Path | str) -> LPIPS:
    """LPIPS with the weights of a file, whose first kernel tells the backbone; ValueError naming path."""
    tensors = _read(Path(path))
    first = tensors.get("features.0.weight")
    large = first is not None and first.ndim == 4 and first.shape[-1] == 11
    return _filled(LPIPS("alex" if large else "vgg"), tensors, Path(path))


def load_dists(path: Path | str) -> DISTS:
    """DISTS with the weights of a file. Raises ValueError naming path."""
    return _filled(DISTS(), _read(Path(path)), Path(path))


def convert(kind: str, backbone: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by their names here, from torchvision's backbone and the metric's own numbers.

    Raises ValueError when a tensor is missing or has another shape.
    """
    network = DISTS() if kind == "dists" else LPIPS(kind.removeprefix("lpips-"))
    tensors = {name: tensor for name, tensor in backbone.items() if name.startswith("features.")}
    if kind == "dists":
        tensors |= {name: own[name].flatten() for name in ("alpha", "beta") if name in own}
    else:
        found = {name: own.get(f"lin{place}.model.1.weight") for place, name in enumerate(_heads(network))}
        tensors |= {name: tensor.flatten() for name, tensor in found.items() if tensor is not None}
    _check(network, tensors, source=kind)
    return {name: tensors[name].detach().float().clone() for name in network.state_dict()}


def _heads(network: nn.Module) -> list[str]:
    return [name for name in network.state_dict() if name.startswith("heads.")]


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"{path}: no such weights file")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file ({error})") from error


def _filled(network: _Network, tensors: Mapping[str, Tensor], path: Path) -> _Network:
    _check(network, tensors, source=str(path))
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)


def _check(network: nn.Module, tensors: Mapping[str, Tensor], *, source: str) -> None:
    """ValueError naming the first tensor that is missing, unknown, misshapen or not finite."""
    due = network.state_dict()
    for name, tensor in due.items():
        if name not in tensors:
            raise ValueError(f"{source}: no tensor {name}")
        if tensors[name].shape != tensor.shape:
            shapes = f"{tuple(tensors[name].shape)} must be {tuple(tensor.shape)}"
            raise ValueError(f"{source}: shape of {name} {shapes}")
        if not torch.isfinite(tensors[name]).all():
            raise ValueError(f"{source}: {name} holds values that are not finite")
    unknown = sorted(tensors.keys() - due.keys())
    if unknown:
        raise ValueError(f"{source}: unknown tensor {unknown[0]}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert the files that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("out", type=Path)
    parser.add_argument("files", type=Path, nargs=2, metavar=("BACKBONE", "OWN"))
    options = parser.parse_args(arguments)
    try:
        backbone, own = (torch.load(path, map_location="cpu", weights_only=True) for path in options.files)
        save_file(convert(options.kind, backbone, own), options.out, metadata={"metric": options.kind})
    except (ValueError, OSError, RuntimeError, UnpicklingError) as error:
        sys.exit(f"{options.out} cannot be made: {' '.join(str(error).split())}")
    sys.stdout.write(f"{options.out}\n")


if __name__ == "__main__":
    main()
