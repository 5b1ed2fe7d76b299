"""Mixture of complexity experts: gated feed-forward networks from cheap to heavy, one a window."""

import functools

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.nn.cpu_ops import exporting
from hfmoe.nn.routing import (
    Choice,
    Effort,
    LayerRouting,
    Perturbation,
    Routed,
    balance_loss,
    choose,
    cost_prior,
    explored,
    load,
    rebalanced,
    z_loss,
)
from hfmoe.nn.windows import merge, partition

ROUTER_START = 0.2
"""Standard deviation of fresh router weights: scores of different windows differ from the first step."""


class GatedFFN(nn.Module):
    """Pointwise silu(a) * b network (SwiGLU, arXiv 2002.05202)."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.widen = nn.Linear(dim, 2 * hidden)
        self.narrow = nn.Linear(hidden, dim)

    def forward(self, x: Float[Tensor, "*n c"]) -> Float[Tensor, "*n c"]:
        """Transform each token alone."""
        a, b = self.widen(x).chunk(2, -1)
        return self.narrow(F.silu(a) * b)


class DenseFFN(nn.Module):
    """One shared gated network for every window: the mixture's ablation."""

    def __init__(self, dim: int, *, hidden: int) -> None:
        super().__init__()
        self.network = GatedFFN(dim, hidden)

    def forward(
        self,
        x: Float[Tensor, "b h w c"],
        energy: Float[Tensor, "b y x"],
        *,
        effort: Effort = 0.5,
        perturb: Perturbation | None = None,
    ) -> Routed:
        """Transform each token; energy, effort and perturbation change nothing."""
        return Routed(self.network(x))


class MoEFFN(nn.Module):
    """Top-k mixture of gated networks of the `hidden` widths, routed window by window.

    The router sees the window's mean features and the energy of its detail. Only the chosen
    experts run: windows of one expert are gathered, processed and scattered back. In an exported graph all
    run on all windows, masked, unless `sparse_graph` is set: sizes then depend on the data.
    Lineage: MoCE-IR complexity experts, arXiv 2411.18466.
    """

    costs: Tensor
    prior: Tensor
    balance: Tensor

    def __init__(self, dim: int, *, hidden: tuple[int, ...], window: int, top_k: int) -> None:
        super().__init__()
        if not 1 <= top_k <= len(hidden):
            raise ValueError(f"top_k {top_k} must be in [1, {len(hidden)}], the number of experts")
        self.router = nn.Linear(dim + 1, len(hidden))
        nn.init.normal_(self.router.weight, std=ROUTER_START)
        with torch.no_grad():
            self.router.weight[:, -1] = torch.linspace(-1, 1, len(hidden), device="cpu")
        nn.init.zeros_(self.router.bias)
        self.experts = nn.ModuleList(GatedFFN(dim, width) for width in hidden)
        costs, here = torch.tensor(hidden, device="cpu") / max(hidden), torch.get_default_device()
        self.register_buffer("costs", costs.to(here), persistent=False)
        self.register_buffer("prior", cost_prior(costs).to(here), persistent=False)
        self.register_buffer("balance", torch.zeros(len(hidden)))
        self.window = window
        self.top_k = top_k
        self.sparse_graph = False

    def forward(
        self,
        x: Float[Tensor, "b h w c"],
        energy: Float[Tensor, "b y x"],
        *,
        effort: Effort = 0.5,
        perturb: Perturbation | None = None,
    ) -> Routed:
        """Route each window, given the `energy` of its detail, and run the experts it is sent to.

        Load and losses are of what the router chose, also where training sends windows elsewhere.
        """
        windows = partition(x, window=self.window)
        scores = self.scores(windows, energy, perturb)
        choice = choose(scores, self.costs, self.balance, top_k=self.top_k, effort=effort)
        share = load(choice.chosen, experts=len(self.experts))
        if perturb is not None and perturb.average is not None:
            share = perturb.average(share)
        if perturb is not None and perturb.random_expert:
            choice = explored(choice, scores, share=perturb.random_expert, generator=perturb.generator)
        out = self.run(windows, choice)
        size = {"b": x.shape[0], "y": energy.shape[1]}
        routing = LayerRouting(
            rearrange(choice.chosen, "(b y x) k -> b y x k", **size),
            rearrange(choice.gate, "(b y x) k -> b y x k", **size),
            share,
            balance_loss(share, choice.probability, self.prior),
            z_loss(scores),
        )
        return Routed(merge(out, window=self.window, height=x.shape[1], width=x.shape[2]), (routing,))

    @torch.no_grad()
    def rebalance(self, share: Float[Tensor, " e"], *, rate: float) -> None:
        """Move the balancing bias towards loads that follow 1 / cost; training calls it after a step."""
        self.balance.copy_(rebalanced(self.balance, share, self.prior, rate=rate))

    def scores(
        self, windows: Float[Tensor, "n t c"], energy: Float[Tensor, "b y x"], perturb: Perturbation | None
    ) -> Float[Tensor, "n e"]:
        """Score of each expert for each window, with training's noise and temperature if given."""
        seen = torch.cat((windows.mean(1), rearrange(energy, "b y x -> (b y x) 1").to(windows.dtype)), 1)
        scores = self.router(seen).float()
        if perturb is None:
            return scores
        if perturb.router_noise:
            noise = torch.randn(scores.shape, generator=perturb.generator, device=scores.device)
            scores = scores + perturb.router_noise * noise
        return scores / perturb.temperature

    def run(self, windows: Float[Tensor, "n t c"], choice: Choice) -> Float[Tensor, "n t c"]:
        """Sum of the chosen experts' outputs by gate: sorted, or in the form that a graph takes."""
        if not exporting():
            return self.run_sorted(windows, choice)
        none = windows.new_zeros((windows.shape[0], len(self.experts)))
        weight = none.scatter(1, choice.chosen, choice.gate)
        return (self.run_gathered if self.sparse_graph else self.run_masked)(windows, weight)

    def run_sorted(self, windows: Float[Tensor, "n t c"], choice: Choice) -> Float[Tensor, "n t c"]:
        """Each expert on its own windows only: sort by expert, run, put back in order."""
        top_k = choice.chosen.shape[1]
        order = choice.chosen.flatten().argsort(stable=True)
        counts = choice.chosen.flatten().bincount(minlength=len(self.experts)).tolist()
        own = windows[order // top_k].split(counts)
        parts = [expert(group) for expert, group in zip(self.experts, own, strict=True) if len(group)]
        ordered = torch.cat(parts)[order.argsort()]
        ordered = rearrange(ordered, "(n k) t c -> n k t c", k=top_k)
        return torch.einsum("n k t c, n k -> n t c", ordered, choice.gate.to(ordered.dtype))

    def run_masked(
        self, windows: Float[Tensor, "n t c"], weight: Float[Tensor, "n e"]
    ) -> Float[Tensor, "n t c"]:
        """Every expert on every window, weighted, with 0 where it was not chosen: no size depends on data."""
        parts = (
            expert(windows) * column[:, None, None].to(windows.dtype)
            for column, expert in zip(weight.unbind(1), self.experts, strict=True)
        )
        return functools.reduce(torch.add, parts)

    def run_gathered(
        self, windows: Float[Tensor, "n t c"], weight: Float[Tensor, "n e"]
    ) -> Float[Tensor, "n t c"]:
        """Each expert on the windows that give it weight, without a sort."""
        out = torch.zeros_like(windows)
        for own, expert in zip(weight.unbind(1), self.experts, strict=True):
            place = own.nonzero().squeeze(-1)
            out = out.index_add(0, place, expert(windows[place]) * own[place][:, None, None])
        return out
