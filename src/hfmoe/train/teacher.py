"""A teacher: a trained network of any kind whose results another one learns from."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.evaluate.protocols import Restore
from hfmoe.infer.api import load
from hfmoe.infer.restorer import Restorer
from hfmoe.models.external import CommunityNetwork
from hfmoe.models.header import WeightsError, file_sha256, find_weights

EngineName = Literal["auto", "torch", "openvino"]


class Teacher(NamedTuple):
    """A network from images in [0, 1] to images enlarged by `scale`, and the facts that labels keep of it.

    facts: name, licence and sha256 of its file.
    """

    restore: Restore
    scale: int
    facts: Mapping[str, Any]


def load_teacher(
    name_or_path: Path | str, *, licence: str = "", engine: EngineName = "auto", device: str = "auto"
) -> Teacher:
    """Load whatever `hfmoe.load` does: a model of ours, one that spandrel knows, an ONNX or OpenVINO file.

    engine: openvino compiles a network in bf16 where the processor computes in it, which is where auto takes
    it. Raises WeightsError, also where nobody says its licence.
    """
    restorer, path = load(name_or_path, device=device), find_weights(name_or_path)
    licence = licence or restorer.facts.licence
    if not licence:
        raise WeightsError(f"{path} does not say its licence: say it, since what learns from it keeps it")
    facts = {"name": restorer.facts.name, "licence": licence, "sha256": file_sha256(path)}
    network = restorer.network
    convolves = isinstance(network, CommunityNetwork) and network.multiple == 1 and not network.square
    if engine == "openvino" and not (convolves and str(restorer.device) == "cpu"):
        raise WeightsError(
            f"{path} cannot be compiled by OpenVINO: it must be a community model of free sizes on the CPU"
        )
    if convolves and (engine == "openvino" or (engine == "auto" and _fast_in_openvino())):
        assert isinstance(network, CommunityNetwork)
        return Teacher(_compiled(network), restorer.scale, facts)
    return Teacher(partial(_restored, restorer), restorer.scale, facts)


def _restored(restorer: Restorer, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c H W"]:
    return restorer(image).cpu()


def _fast_in_openvino() -> bool:
    """Return whether OpenVINO is there and computes in bfloat16 on this processor."""
    try:
        from hfmoe.infer.backends.openvino import computes_bf16
    except ImportError:
        return False
    return computes_bf16()


class _Bare(nn.Module):
    """A community network as spandrel calls it, without padding."""

    def __init__(self, community: CommunityNetwork) -> None:
        super().__init__()
        self.network, self.call = community.network, community.call

    def forward(self, image: Tensor) -> Tensor:
        return self.call(self.network, image)


def _compiled(network: CommunityNetwork) -> Restore:
    """Compile a network for the sizes that it meets, in the precision that this processor is fastest in."""
    from hfmoe.infer.backends.openvino import compile_network

    run = compile_network(
        _Bare(network), torch.full((1, network.channels, 64, 64), 0.5), threads=torch.get_num_threads()
    )

    def restore(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c H W"]:
        return torch.from_numpy(run(image.contiguous().numpy())).clamp(0, 1)

    return restore
