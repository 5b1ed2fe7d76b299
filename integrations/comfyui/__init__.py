"""ComfyUI nodes of hfmoe; ComfyUI's own Load Upscale Model opens our weights files, too."""

from functools import cache

import torch
from comfy_api.latest import ComfyExtension, io

import hfmoe
import hfmoe.spandrel
from hfmoe.infer.restorer import Restorer
from hfmoe.models.header import shipped

load = cache(hfmoe.load)


class Restore(io.ComfyNode):
    """Restores or enlarges images with a model that ships with hfmoe, in tiles where memory is short."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return io.Schema(
            node_id="HFMoERestore",
            display_name="Restore (HF-MoE-IR)",
            category="image/upscaling",
            inputs=[
                io.Image.Input("image"),
                io.Combo.Input("model", options=sorted(shipped()), default="nano-x4"),
                io.Float.Input("strength", default=1.0, min=0.0, max=1.0, step=0.05),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image: torch.Tensor, model: str, strength: float) -> io.NodeOutput:
        """Restore images (b, h, w, c) in [0, 1] one by one, so that memory is planned for one."""
        restorer: Restorer = load(model)
        colours = image[..., :3].movedim(-1, 1).float()
        restored = [restorer(colour[None], strength=strength) for colour in colours]
        return io.NodeOutput(torch.cat(restored).movedim(1, -1).contiguous())


class Extension(ComfyExtension):
    """The nodes of this package."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """List the nodes."""
        return [Restore]


async def comfy_entrypoint() -> ComfyExtension:
    """Return what ComfyUI loads."""
    hfmoe.spandrel.install()
    return Extension()
