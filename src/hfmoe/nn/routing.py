"""Routing of windows to experts: scores, selection, gates and the losses that keep it healthy."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

CERTAIN = 1e6
Effort = float | Float[Tensor, ""]
"""A number in [0, 1]; in an exported graph, a tensor that holds one."""


class Perturbation(NamedTuple):
    """Noise, temperature and stochastic depth of a training step; inference passes none of it.

    Attributes:
        temperature: divides the router's scores; anneals towards 1.
        router_noise: standard deviation of the Gaussian noise on the scores.
        hf_noise: noise on the high band, relative to its root mean square.
        random_expert: share of the windows sent to experts drawn at random.
        drop_path: probability of skipping the deepest residual branch; earlier ones less, linearly.
        generator: source of every draw.
        average: mean of a tensor over the processes that share a batch; the balance loss then sees
            the load of the whole batch, as one process would.
    """

    temperature: float = 1.0
    router_noise: float = 0.0
    hf_noise: float = 0.0
    random_expert: float = 0.0
    drop_path: float = 0.0
    generator: torch.Generator | None = None
    average: Callable[[Tensor], Tensor] | None = None


class LayerRouting(NamedTuple):
    """Routing of one mixture layer: experts and gates by window, each expert's share of windows, two losses.

    Where training sends windows to experts drawn at random, experts and gates are those that ran, while load
    and losses stay those of the router's choice.
    """

    chosen: Int[Tensor, "b y x k"]
    gate: Float[Tensor, "b y x k"]
    load: Float[Tensor, " e"]
    balance: Float[Tensor, ""]
    z: Float[Tensor, ""]


class Routed(NamedTuple):
    """Features, and the routing of every mixture they went through, in order."""

    x: Float[Tensor, "b i j k"]
    routing: tuple[LayerRouting, ...] = ()


class Choice(NamedTuple):
    """Experts of n windows: k chosen each, their gates, and the softmax of what they were chosen by."""

    chosen: Int[Tensor, "n k"]
    gate: Float[Tensor, "n k"]
    probability: Float[Tensor, "n e"]


def effort_weight(effort: Effort) -> Effort:
    """Multiplier of the cost bias: 0 at effort .5, certain choice of cheapest at 0, heaviest at 1."""
    if isinstance(effort, Tensor):
        side = 2 * effort - 1
        return side / (1 - side.abs()).clamp_min(1 / CERTAIN)
    if not 0 <= effort <= 1:
        raise ValueError(f"effort {effort} must be in [0, 1]")
    side = 2 * effort - 1
    return math.copysign(CERTAIN, side) if abs(side) == 1 else side / (1 - abs(side))


def choose(
    scores: Float[Tensor, "n e"],
    costs: Float[Tensor, " e"],
    bias: Float[Tensor, " e"],
    *,
    top_k: int,
    effort: Effort,
) -> Choice:
    """Pick the `top_k` best experts of each window by score plus balancing bias plus effort times cost.

    Deterministic; each window alone decides. The gate is the sigmoid of the expert's own score: neither the
    bias nor the effort changes how much of an expert is added, only which one. At the ends of effort one
    expert alone is chosen, whatever `top_k` is. Lineage: DeepSeek-V3, arXiv 2412.19437.
    """
    weight = effort_weight(effort)
    if isinstance(weight, Tensor):  # in a graph, where the number of experts cannot depend on the effort
        preferred = scores + bias + weight * costs
        chosen = preferred.topk(top_k, dim=-1).indices
        gate = scores.sigmoid().gather(1, chosen)
        if top_k > 1:
            first = torch.arange(top_k, device=scores.device) == 0
            gate = gate * (first | (weight.abs() < CERTAIN)).to(gate.dtype)
        return Choice(chosen, gate, preferred.softmax(-1))
    top_k = 1 if abs(weight) == CERTAIN else top_k
    preferred = scores + bias + (weight * costs if weight else 0)
    chosen = preferred.topk(top_k, dim=-1).indices
    return Choice(chosen, scores.sigmoid().gather(1, chosen), preferred.softmax(-1))


def explored(
    choice: Choice,
    scores: Float[Tensor, "n e"],
    *,
    share: float,
    generator: torch.Generator | None = None,
) -> Choice:
    """Send a share of the windows to experts drawn at random, all equally likely, each with its own gate.

    So that each expert has learned windows of all kinds, which the effort dial sends it. Lineage: THOR's
    stochastic experts, arXiv 2110.04260.
    """
    draw = torch.rand((scores.shape[0], scores.shape[1] + 1), generator=generator, device=scores.device)
    drawn = draw[:, 1:].topk(choice.chosen.shape[1], dim=-1).indices
    chosen = torch.where(draw[:, :1] < share, drawn, choice.chosen)
    return choice._replace(chosen=chosen, gate=scores.sigmoid().gather(1, chosen))


def rebalanced(
    bias: Float[Tensor, " e"], share: Float[Tensor, " e"], prior: Float[Tensor, " e"], *, rate: float
) -> Float[Tensor, " e"]:
    """The balancing bias after a step: raised for experts below their target load, lowered above, mean 0.

    bias + rate (prior - share). No gradient is involved, so balance costs no quality. Source: Wang et al.,
    "Auxiliary-Loss-Free Load Balancing Strategy for Mixture-of-Experts", arXiv 2408.15664 (with the
    difference itself in place of its sign, so that it settles).
    """
    moved = bias + rate * (prior - share)
    return moved - moved.mean()


def load(chosen: Int[Tensor, "n k"], *, experts: int) -> Float[Tensor, " e"]:
    """Share of the windows' choices that fell on each expert; sums to 1."""
    marks = chosen.flatten()[:, None] == torch.arange(experts, device=chosen.device)
    return marks.float().mean(0)


def cost_prior(costs: Float[Tensor, " e"]) -> Float[Tensor, " e"]:
    """Target load of each expert, proportional to 1 / cost."""
    return (1 / costs) / (1 / costs).sum()


def balance_loss(
    share: Float[Tensor, " e"], probability: Float[Tensor, "n e"], prior: Float[Tensor, " e"]
) -> Float[Tensor, ""]:
    """sum_e load_e mean-probability_e / prior_e: 1 at the prior, where its minimum lies.

    Source: Switch Transformer (arXiv 2101.03961) with a cost-aware prior in place of the uniform one.
    """
    return (share.detach() * probability.mean(0) / prior).sum()


def z_loss(scores: Float[Tensor, "n e"]) -> Float[Tensor, ""]:
    """Mean squared log-sum-exp of the scores, which keeps them small (ST-MoE, arXiv 2202.08906)."""
    return scores.float().logsumexp(-1).square().mean()
