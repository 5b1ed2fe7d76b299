"""Multi-scale encoder-decoder over the low band."""

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.nn.cpu_ops import PointwiseConv, add_pointwise_, pointwise
from hfmoe.nn.experts import MoEFFN
from hfmoe.nn.routing import Effort, Perturbation, Routed


class Join(nn.Module):
    """Coarse features, 1x1 and pixel shuffle up, concatenated with the skip and projected 1x1.

    The projection of the concatenation is computed as the sum of its two halves.
    """

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.up = nn.Sequential(PointwiseConv(coarse, 4 * fine), nn.PixelShuffle(2))
        self.project = PointwiseConv(2 * fine, fine)

    def forward(
        self, coarse: Float[Tensor, "b c h w"], skip: Float[Tensor, "b f h2 w2"]
    ) -> Float[Tensor, "b f h2 w2"]:
        """Return features at the skip's resolution."""
        fine = skip.shape[1]
        upper, lower = self.project.weight.split(fine, 1)
        joined = pointwise(self.up(coarse), upper, self.project.bias)
        return add_pointwise_(joined, skip, lower)


class MultiScale(nn.Module):
    """U-shaped stack: blocks at each scale going down, then joins and blocks going up.

    `encoders[i]` and `decoders[i]` are the block lists of scale i (0 finest); the coarsest scale has
    encoder blocks alone. Scale i has 1 / 2^i the resolution of the low band and `dims[i]` channels.
    """

    def __init__(
        self, dims: tuple[int, ...], *, encoders: list[nn.ModuleList], decoders: list[nn.ModuleList]
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.decoders = nn.ModuleList(decoders)
        pairs = list(zip(dims, dims[1:], strict=False))
        self.downs = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.joins = nn.ModuleList(Join(coarse, fine) for fine, coarse in pairs)

    def mixtures(self) -> list[MoEFFN]:
        """List the mixtures in the order in which they run, which is that of `Routed.routing`."""
        stacks = [*self.encoders, *reversed(self.decoders)]
        return [part for stack in stacks for part in stack.modules() if isinstance(part, MoEFFN)]

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        energy: Float[Tensor, "b y x"],
        *,
        effort: Effort = 0.5,
        perturb: Perturbation | None = None,
    ) -> Routed:
        """Run down and up; `energy` is that of the windows of the finest scale."""
        options = {"effort": effort, "perturb": perturb}
        skips, energies, routing = [], [energy], ()
        for level, blocks in enumerate(self.encoders):
            x, routed = run(blocks, x, energies[level], **options)
            routing += routed
            if level < len(self.downs):
                skips.append(x)
                x = self.downs[level](x)
                energies.append(F.avg_pool2d(energies[level].unsqueeze(1), 2).squeeze(1))
        for level in reversed(range(len(self.joins))):
            x = self.joins[level](x, skips[level])
            x, routed = run(self.decoders[level], x, energies[level], **options)
            routing += routed
        return Routed(x, routing)


def run(
    blocks: nn.Module,
    x: Float[Tensor, "b c h w"],
    energy: Float[Tensor, "b y x"],
    *,
    effort: Effort,
    perturb: Perturbation | None,
) -> Routed:
    """Pass `x` through blocks as tokens."""
    tokens, routing = rearrange(x, "b c h w -> b h w c"), ()
    for block in blocks.children():
        tokens, routed = block(tokens, energy, effort=effort, perturb=perturb)
        routing += routed
    return Routed(rearrange(tokens, "b h w c -> b c h w"), routing)
