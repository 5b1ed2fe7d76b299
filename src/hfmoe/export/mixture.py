"""Mixtures of experts as graphs: every expert in one masked network, or each on its own windows.

`all`: the experts' hidden units lie side by side in one gated network, and those of the experts a window
was not sent to are multiplied by 0. Two matrix products whatever was chosen, nothing depends on the data.
`sparse`: windows of each expert are gathered, run and added back, so the others' work is skipped.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.export.parts import fixed
from hfmoe.nn.experts import GatedFFN, Mixed, MoEFFN
from hfmoe.nn.routing import CERTAIN, Perturbation
from hfmoe.nn.windows import merge, partition

ROUTINGS = ("all", "sparse")


def effort_bias(effort: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """`hfmoe.nn.routing.effort_weight` of a tensor: 0 at .5, +-CERTAIN at the ends."""
    side = 2 * effort - 1
    return side / (1 - side.abs()).clamp_min(1 / CERTAIN)


class PlainMixture(nn.Module):
    """`MoEFFN` at inference, with effort as a tensor; `routing` is one of ROUTINGS."""

    costs: Tensor
    balance: Tensor

    def __init__(self, mixture: MoEFFN, *, routing: str) -> None:
        super().__init__()
        if routing not in ROUTINGS:
            raise ValueError(f"routing {routing!r} must be one of {', '.join(ROUTINGS)}")
        self.router = mixture.router
        self.register_buffer("costs", mixture.costs.clone(), persistent=False)
        self.register_buffer("balance", mixture.balance.clone(), persistent=False)
        self.window = mixture.window
        self.top_k = mixture.top_k
        experts = [module for module in mixture.experts if isinstance(module, GatedFFN)]
        self.experts = SparseExperts(experts) if routing == "sparse" else JoinedExperts(experts)

    def forward(
        self,
        x: Float[Tensor, "b h w c"],
        energy: Float[Tensor, "b y x"],
        *,
        effort: Float[Tensor, ""],
        perturb: Perturbation | None = None,
    ) -> Mixed:
        """Route each window and run the experts it is sent to; losses and routing are left out."""
        windows = partition(x, window=self.window)
        seen = torch.cat((windows.mean(1), rearrange(energy, "b y x -> (b y x) 1")), 1)
        weight = self._weight(self.router(seen), effort)
        out = self.experts(windows, weight)
        zero = x.new_zeros(())
        merged = merge(out, window=self.window, height=x.shape[1], width=x.shape[2])
        return Mixed(merged, zero, zero, None)

    def _weight(self, scores: Float[Tensor, "n e"], effort: Float[Tensor, ""]) -> Float[Tensor, "n e"]:
        """Gate of each expert that a window is sent to, 0 for the others; `hfmoe.nn.routing.choose`."""
        preferred = scores + self.balance + effort_bias(effort) * self.costs
        chosen = preferred.topk(self.top_k, dim=-1).indices
        gate = scores.sigmoid().gather(1, chosen)
        if self.top_k > 1:
            rank = torch.arange(self.top_k, device=scores.device)
            alone = (2 * effort - 1).abs() >= 1
            gate = gate * ((rank == 0) | ~alone).to(gate.dtype)
        return torch.zeros_like(scores).scatter(1, chosen, gate)


class JoinedExperts(nn.Module):
    """All experts as one gated network whose hidden units are weighed by their expert's share."""

    owner: Tensor

    def __init__(self, experts: list[GatedFFN]) -> None:
        super().__init__()
        widths = [expert.narrow.in_features for expert in experts]
        cuts = [expert.widen.weight.chunk(2) for expert in experts]
        offsets = [expert.widen.bias.chunk(2) for expert in experts]
        sides = range(2)
        self.widen = fixed(torch.cat([cut[side] for side in sides for cut in cuts]))
        self.offset = fixed(torch.cat([part[side] for side in sides for part in offsets]))
        self.narrow = fixed(torch.cat([expert.narrow.weight for expert in experts], 1))
        self.bias = fixed(torch.stack([expert.narrow.bias for expert in experts]))
        owner = torch.eye(len(experts)).repeat_interleave(torch.tensor(widths), 1)
        self.register_buffer("owner", owner, persistent=False)

    def forward(
        self, windows: Float[Tensor, "n t c"], weight: Float[Tensor, "n e"]
    ) -> Float[Tensor, "n t c"]:
        """Sum of the experts' outputs by weight."""
        a, b = F.linear(windows, self.widen, self.offset).chunk(2, -1)
        hidden = F.silu(a) * b * (weight @ self.owner)[:, None]
        return F.linear(hidden, self.narrow) + (weight @ self.bias)[:, None]


class SparseExperts(nn.Module):
    """Each expert on the windows that give it weight, and on no others."""

    def __init__(self, experts: list[GatedFFN]) -> None:
        super().__init__()
        self.experts = nn.ModuleList(experts)

    def forward(
        self, windows: Float[Tensor, "n t c"], weight: Float[Tensor, "n e"]
    ) -> Float[Tensor, "n t c"]:
        """Sum of the experts' outputs by weight."""
        out = torch.zeros_like(windows)
        for index, expert in enumerate(self.experts):
            own = weight[:, index]
            place = own.nonzero().squeeze(-1)
            made = expert(windows[place]) * own[place][:, None, None]
            out = out.index_add(0, place, made)
        return out
