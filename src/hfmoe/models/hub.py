"""Models on the Hugging Face hub: the library's own `save_pretrained` and `from_pretrained`, and addresses.

A repository holds model.safetensors, which is a weights file like any other, its configuration once more as
config.json, and a card.
"""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, ModelCardData, ModelHubMixin, hf_hub_download

from hfmoe.models.header import HUB_FILE, WeightsError, one_line
from hfmoe.models.network import HFMoE
from hfmoe.models.weights import Loaded, load_weights, save_weights, standard_defaults

ADDRESS = re.compile(r"hf://(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?(/(?P<file>[\w./-]+))?")
TASKS = {"sr": "super-resolution", "denoise": "denoising", "jpeg": "deblocking", "photo": "image-restoration"}
"""Tags of the hub, by our tasks."""


class HubNetwork(HFMoE, ModelHubMixin, library_name="hfmoe", pipeline_tag="image-to-image"):
    """A loaded network with `save_pretrained`, `from_pretrained` and `push_to_hub` of the hub's library."""

    def __init__(self, loaded: Loaded) -> None:
        with torch.random.fork_rng(devices=[]), standard_defaults():
            super().__init__(loaded.config)
        self.load_state_dict(loaded.network.state_dict())
        self.eval()
        self.facts = loaded.facts
        self._hub_mixin_config = asdict(loaded.config)

    def _save_pretrained(self, save_directory: Path) -> None:
        save_weights(save_directory / HUB_FILE, self, self.facts)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> "HubNetwork":
        folder = Path(model_id)
        path = folder / HUB_FILE if folder.is_dir() else Path(hf_hub_download(model_id, HUB_FILE, **options))
        return cls(load_weights(path))

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """Return the card: the hub's metadata, what the model is for, its scores and how it is used."""
        facts, scale = self.facts, self.config.scale
        data = ModelCardData(
            license=facts.licence.lower() or None,
            library_name="hfmoe",
            pipeline_tag="image-to-image",
            tags=[TASKS[facts.task], "model_hub_mixin", "pytorch"],
        )
        scores = [f"| {name} | {value:.4g} |" for name, value in sorted(facts.scores.items())]
        table = ["## Scores", "", "| score | |", "|---|---|", *scores, ""] if scores else []
        lines = [
            f"# {facts.name}",
            "",
            f"HF-MoE-IR for {TASKS[facts.task].replace('-', ' ')}, x{scale}; trained {facts.date or 'once'}.",
            "",
            *table,
            "## Use",
            "",
            "```",
            "pip install 'hf-moe-ir[hub]'",
            "hfmoe restore photo.jpg --model hf://OWNER/NAME",
            "```",
        ]
        return ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n".join(lines) + "\n")


def fetch(address: str) -> Path:
    """Return the file of hf://owner/name[@revision][/file], from the hub or its cache.

    The file is model.safetensors unless named. Raises WeightsError when there is no such address or file, or
    no network and nothing in the cache.
    """
    match = ADDRESS.fullmatch(address)
    if match is None or ".." in address:
        raise WeightsError(f"{address} must be hf://owner/name, hf://owner/name@revision or with a /file")
    name, revision = match["file"] or HUB_FILE, match["revision"]
    try:
        return Path(hf_hub_download(match["repository"], name, revision=revision))
    except Exception as error:  # of its own kinds, of the network's and the disk's
        raise WeightsError(f"{address}: {one_line(error)}") from error
