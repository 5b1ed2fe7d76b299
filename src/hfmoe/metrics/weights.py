"""Weights of LPIPS, DISTS and NIQE as safetensors files: the names in them, reading, and making them.

Nothing ships and nothing is fetched: the weights have their own licences. Names, with torchvision's numbers:
`features.N.weight` and `features.N.bias` of the convolutions; for LPIPS `heads.0` to `heads.4`, one number a
channel; for DISTS `alpha` and `beta`, 1475 numbers each; for NIQE `mean` and
`covariance` of its 36 features. Made from the authors' public files:

    python -m hfmoe.metrics.weights lpips-alex OUT.safetensors alexnet-owt-7be5be79.pth alex.pth
    python -m hfmoe.metrics.weights lpips-vgg OUT.safetensors vgg16-397923af.pth vgg.pth
    python -m hfmoe.metrics.weights dists OUT.safetensors vgg16-397923af.pth weights.pt
    python -m hfmoe.metrics.weights niqe OUT.safetensors niqe_pris_params.npz

First torchvision's backbone, then the metric's own numbers: `lpips/weights/v0.1/` of richzhang's
PerceptualSimilarity, `DISTS_pytorch/weights.pt` of the package dists-pytorch. NIQE's file lies
in the source package of basicsr.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hfmoe.metrics.dists import DISTS
from hfmoe.metrics.lpips import LPIPS
from hfmoe.metrics.niqe import NIQE

KINDS = ("lpips-alex", "lpips-vgg", "dists", "niqe")

_Network = TypeVar("_Network", LPIPS, DISTS, NIQE)


def load_lpips(path: Path | str) -> LPIPS:
    """LPIPS with the weights of a file, whose first kernel tells the backbone; ValueError naming path."""
    tensors = _read(Path(path))
    first = tensors.get("features.0.weight")
    large = first is not None and first.ndim == 4 and first.shape[-1] == 11
    return _filled(LPIPS("alex" if large else "vgg"), tensors, Path(path))


def load_dists(path: Path | str) -> DISTS:
    """DISTS with the weights of a file. Raises ValueError naming path."""
    return _filled(DISTS(), _read(Path(path)), Path(path))


def load_niqe(path: Path | str) -> NIQE:
    """NIQE with the statistics of a file. Raises ValueError naming path."""
    return _filled(NIQE(), _read(Path(path)), Path(path))


def convert_niqe(path: Path) -> dict[str, Tensor]:
    """Statistics of natural photos, by their names here; ValueError where the file lacks one."""
    names = {"mean": "mu_pris_param", "covariance": "cov_pris_param"}
    with np.load(path, allow_pickle=False) as arrays:
        tensors = {name: torch.from_numpy(arrays[own]) for name, own in names.items() if own in arrays}
    tensors = {name: tensor.squeeze().double().contiguous() for name, tensor in tensors.items()}
    _check(NIQE(), tensors, source=str(path))
    return tensors


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
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        tensors = _converted(options.kind, options.files)
        save_file(tensors, options.out, metadata={"metric": options.kind})
    except (ValueError, OSError, RuntimeError, UnpicklingError) as error:
        sys.exit(f"{options.out} cannot be made: {' '.join(str(error).split())}")
    sys.stdout.write(f"{options.out}\n")


def _converted(kind: str, files: list[Path]) -> dict[str, Tensor]:
    due = 1 if kind == "niqe" else 2
    if len(files) != due:
        raise ValueError(f"{kind} is made from {due} file{'s' * (due > 1)}, not {len(files)}")
    if kind == "niqe":
        return convert_niqe(files[0])
    backbone, own = (torch.load(path, map_location="cpu", weights_only=True) for path in files)
    return convert(kind, backbone, own)


if __name__ == "__main__":
    main()
