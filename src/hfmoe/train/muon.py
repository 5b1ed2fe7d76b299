"""Muon: kernels and matrices follow their orthogonalised momentum, all other parameters AdamW."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim.adamw import adamw

from hfmoe.train.execution import cut

QUINTIC = (
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)
"""Coefficients of a x + b (x x') x + c (x x')^2 x for each iteration, those of the NanoGPT speed runs."""

LEAST_SIDE = 8
"""Matrices with a shorter side (routers, relative biases of few heads) are left to AdamW."""

MATCH = 0.2
"""Root mean square of a step at rate 1, that of AdamW's usual steps: one rate serves both."""


class Muon(torch.optim.Optimizer):
    """Steps along orthogonalised momentum for `matrices`, AdamW for the other parameters.

    A convolution's kernel counts as a matrix of outputs by inputs and taps. The momentum is Nesterov's. The
    state of AdamW can be taken over and back, but for the second moments of matrices, which are not kept.
    Sources: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; the step's size:
    Liu et al., "Muon is Scalable for LLM Training", arXiv 2502.16982.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        matrices: Iterable[Tensor],
        lr: float,
        betas: tuple[float, float],
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        fused: bool = True,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": 1e-8,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "fused": fused,
        }
        super().__init__(params, defaults)
        self._matrices = {id(matrix) for matrix in matrices}

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            trained = [weight for weight in group["params"] if weight.grad is not None]
            self._orthogonal_step(group, [weight for weight in trained if id(weight) in self._matrices])
            self._adam_step(group, [weight for weight in trained if id(weight) not in self._matrices])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state, AdamW's too; the rule's own numbers stay those that it was made with."""
        own = [{key: value for key, value in group.items() if key != "params"} for group in self.param_groups]
        super().load_state_dict(state_dict)
        for group, values in zip(self.param_groups, own, strict=True):
            group.update(values)
            for weight in group["params"]:
                if id(weight) in self._matrices:
                    self.state[weight].pop("exp_avg_sq", None)

    def _orthogonal_step(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        if not weights:
            return
        momentum, gradients = group["momentum"], gradients_of(weights)
        means = [self._mean(weight) for weight in weights]
        torch._foreach_lerp_(means, gradients, 1 - momentum)  # pyright: ignore[reportPrivateImportUsage]
        ahead = torch._foreach_lerp(gradients, means, momentum)  # pyright: ignore[reportPrivateImportUsage]
        alike: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for weight, direction in zip(weights, ahead, strict=True):
            flat = (direction.full_tensor() if isinstance(direction, DTensor) else direction).flatten(1)
            alike[flat.shape[0], flat.shape[1]].append((weight, flat))
        rate, decay = group["lr"], 1 - group["lr"] * group["weight_decay"]
        for shape, pairs in alike.items():
            steps = orthogonalised(torch.stack([flat for _, flat in pairs])) * (MATCH * max(shape) ** 0.5)
            for (weight, _), step in zip(pairs, steps, strict=True):
                weight.mul_(decay).sub_(cut(step.view(weight.shape).to(weight.dtype), weight), alpha=rate)

    def _mean(self, weight: Tensor) -> Tensor:
        state = self.state[weight]
        if "exp_avg" not in state:
            state["exp_avg"] = torch.zeros_like(weight)
        return state["exp_avg"]

    def _adam_step(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        if not weights:
            return
        for weight in weights:
            state = self.state[weight]
            if "exp_avg_sq" not in state:
                state["step"] = torch.zeros((), dtype=torch.float32, device=weight.device)
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)
        states = [self.state[weight] for weight in weights]
        adamw(
            weights,
            gradients_of(weights),
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=group["fused"],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )


def gradients_of(weights: list[Tensor]) -> list[Tensor]:
    """List the gradients of weights that have one."""
    return [weight.grad for weight in weights if weight.grad is not None]


def orthogonalised(matrices: Float[Tensor, "n rows columns"]) -> Float[Tensor, "n rows columns"]:
    """Each matrix with its singular values made about 1: U V' of its U S V', by Newton-Schulz iterations.

    In float32; singular values below about 1e-3 of the largest stay below 1. A matrix of zeros stays so.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = rearrange(matrices, "n r c -> n c r") if tall else matrices
    x = x.float()
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-12)
    for a, b, c in QUINTIC:
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    x = rearrange(x, "n c r -> n r c") if tall else x
    return x.to(matrices.dtype)


def matrices_of(network: nn.Module) -> list[Tensor]:
    """List the weights that are matrices: of linear layers and dense convolutions, no side below 8."""
    kinds = (nn.Linear, nn.Conv2d)
    layers = [layer for layer in network.modules() if isinstance(layer, kinds)]
    dense = [layer.weight for layer in layers if getattr(layer, "groups", 1) == 1]
    return [w for w in dense if w.requires_grad and min(w.shape[0], w[0].numel()) >= LEAST_SIDE]
