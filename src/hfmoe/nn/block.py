"""Hybrid windowed attention block: attention, then a (mixture of) feed-forward network."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.nn.routing import Effort, Perturbation, Routed


class HybridWindowBlock(nn.Module):
    """x + s1 attention(norm(x)), then x + s2 ffn(norm(x)); s1, s2 learned per channel.

    `depth` in [0, 1] is the block's place in the network; stochastic depth skips both branches with
    probability drop_path * depth and rescales the rest (arXiv 1603.09382), while training only.
    """

    def __init__(
        self, dim: int, *, attention: nn.Module, ffn: nn.Module, residual_scale: float, depth: float
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = attention
        self.scale1 = nn.Parameter(torch.full((dim,), residual_scale))
        self.norm2 = nn.LayerNorm(dim)
        self.ffn = ffn
        self.scale2 = nn.Parameter(torch.full((dim,), residual_scale))
        self.depth = depth

    def forward(
        self,
        x: Float[Tensor, "b h w c"],
        energy: Float[Tensor, "b y x"],
        *,
        effort: Effort = 0.5,
        perturb: Perturbation | None = None,
    ) -> Routed:
        """Return the tokens after both branches, with the routing of the second."""
        keep = keep_mask(x, self.depth, perturb)
        x = x + self.scale1 * keep * self.attention(self.norm1(x))
        out = self.ffn(self.norm2(x), energy, effort=effort, perturb=perturb)
        return out._replace(x=x + self.scale2 * keep * out.x)


def keep_mask(
    x: Float[Tensor, "b h w c"], depth: float, perturb: Perturbation | None
) -> Float[Tensor, "b 1 1 1"] | float:
    """0 for the samples whose branches are skipped, 1 / (kept share) for the others; 1 at inference."""
    if perturb is None or not perturb.drop_path * depth:
        return 1.0
    rate = perturb.drop_path * depth
    draw = torch.rand((x.shape[0], 1, 1, 1), generator=perturb.generator, device=x.device)
    return ((draw >= rate) / (1 - rate)).to(x.dtype)
