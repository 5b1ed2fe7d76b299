"""The network as an architecture of spandrel: whoever loads models through spandrel then loads our files.

`hfmoe.spandrel.install()` before `spandrel.ModelLoader().load_from_file("nano-x4.safetensors")`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hfmoe.models.config import HFMoEConfig
from hfmoe.models.external import import_spandrel
from hfmoe.models.header import WeightsError, shipped
from hfmoe.models.network import HFMoE
from hfmoe.models.presets import PRESETS
from hfmoe.models.weights import WithoutValues, read_header

ID = "HFMoE"
KEYS = frozenset(
    {"stem.conv.weight", "enter_low.weight", "fusion.from_low.weight", "upsampler.project.weight"}
)
"""Tensors that every configuration of the network has."""


def install(*files: Path | str) -> None:
    """Register the architecture with spandrel's loaders, once.

    spandrel hands on tensors without the configuration that our files hold, so it is found by their names and
    shapes among the presets and the models that ship; of other configurations, name a weights file each.
    Raises ImportError without spandrel, WeightsError for a file that is none of ours.
    """
    import_spandrel()
    from spandrel import MAIN_REGISTRY, ArchSupport

    given = {Path(path).stem: read_header(path).config for path in files}
    if ID in MAIN_REGISTRY:
        MAIN_REGISTRY[ID].architecture.configs.update(given)  # pyright: ignore[reportAttributeAccessIssue]
        return
    ships = {name: read_header(path).config for name, path in shipped().items()}
    architecture = _architecture(PRESETS | ships | given)
    others = tuple(support.architecture.id for support in MAIN_REGISTRY)
    MAIN_REGISTRY.add(ArchSupport.from_architecture(architecture, before=others))


def find_config(tensors: Mapping[str, Tensor], configs: Mapping[str, HFMoEConfig]) -> tuple[str, HFMoEConfig]:
    """Return the configuration, with its name, whose network has these tensors. Raises WeightsError."""
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    dim = shapes["stem.conv.weight"][0]
    for name, config in reversed([*configs.items()]):
        if config.dim != dim:
            continue
        with torch.device("meta"), WithoutValues():
            expected = HFMoE(config).state_dict()
        if shapes == {name: tensor.shape for name, tensor in expected.items()}:
            return name, config
    raise WeightsError("an HFMoE network of no known configuration: hfmoe.spandrel.install(its weights file)")


def _architecture(configs: dict[str, HFMoEConfig]) -> Any:
    """Return the architecture; it asks nothing of sizes, since the network pads inside as in our commands."""
    from spandrel import Architecture, ImageModelDescriptor, ModelTiling, SizeRequirements

    class HFMoEArchitecture(Architecture[HFMoE]):
        def __init__(self) -> None:
            super().__init__(id=ID, name="HF-MoE-IR", detect=lambda tensors: tensors.keys() >= KEYS)
            self.configs = configs

        def load(self, state_dict: dict[str, Any]) -> ImageModelDescriptor[HFMoE]:
            name, config = find_config(state_dict, self.configs)
            looks_far = config.token_group or "grn" in (config.stem_norm, config.texture_norm)
            return ImageModelDescriptor(
                HFMoE(config),
                state_dict,
                architecture=self,
                purpose="SR" if config.scale > 1 else "Restoration",
                tags=[name.partition("-")[0], f"{config.dim}dim"],
                supports_half=False,
                supports_bfloat16=False,
                scale=config.scale,
                input_channels=config.channels,
                output_channels=config.channels,
                size_requirements=SizeRequirements(),
                tiling=ModelTiling.DISCOURAGED if looks_far else ModelTiling.SUPPORTED,
                call_fn=lambda network, image: network(image).image,
            )

    return HFMoEArchitecture()
