"""Scoring the averaged weights while training."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hfmoe.evaluate.scores import score_image
from hfmoe.image.depth import round_to_8bit
from hfmoe.metrics.psnr import psnr
from hfmoe.models.folding import fold
from hfmoe.models.peer import Network
from hfmoe.train.examples import Example

MOST = 100.0
"""What equal pictures score, in dB."""


class Validated(NamedTuple):
    """Mean PSNR in dB of each task by name, and the first restored pictures."""

    tasks: dict[str, float]
    restored: tuple[Tensor, ...]

    @property
    def psnr(self) -> float:
        """What chooses the best weights: the mean over tasks."""
        return fmean(self.tasks.values())

    def facts(self) -> dict[str, Any]:
        """Give the scores for the log; classical super-resolution alone is scored on Y."""
        if list(self.tasks) == ["sr"]:
            return {"psnr": self.psnr, "psnr_y": self.psnr}
        return {"psnr": self.psnr, "tasks": self.tasks}


@torch.inference_mode()
def validate(network: Network, examples: Sequence[Example], *, keep: int = 0) -> Validated:
    """Restore every example with the folded network; keep the first pictures to look at."""
    folded = fold(network).eval()
    device = next(network.parameters()).device
    scores, kept = defaultdict(list), []
    for example in examples:
        restored = folded(example.degraded.to(device)).image.float().cpu()
        scores[example.task].append(score(network, restored, example))
        if len(kept) < keep:
            kept.append(restored)
    return Validated({task: fmean(values) for task, values in scores.items()}, tuple(kept))


def score(network: Network, restored: Float[Tensor, "1 c h w"], example: Example) -> float:
    """PSNR of one result in 8 bits: on Y for classical super-resolution, else on all channels.

    At scales above 1, `scale` pixels on each side do not count.
    """
    config = network.config
    if example.task == "sr" and config.scale > 1:
        return score_image(restored, example.target, border=config.scale).psnr_y
    result, target = (round_to_8bit(image.double()) for image in (restored, example.target))
    border = config.scale if config.scale > 1 else 0
    return min(MOST, psnr(result, target, border=border).item())


def side_by_side(example: Example, restored: Float[Tensor, "1 c H W"]) -> Float[Tensor, "3 H W3"]:
    """Put degraded (enlarged without smoothing), restored and target next to each other."""
    enlarged = F.interpolate(example.degraded, size=example.target.shape[-2:], mode="nearest")
    colours = [image.expand(1, 3, -1, -1) for image in (enlarged, restored, example.target)]
    return rearrange(colours, "n 1 c h w -> c h (n w)")
