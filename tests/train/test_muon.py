"""Muon: which way matrices go, and that everything else follows AdamW."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hfmoe.models.weights import load_weights
from hfmoe.train import Recipe, make_recipe, train
from hfmoe.train.muon import Muon, matrices_of, orthogonalised

Make = Callable[..., Recipe]


def moved(before: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach() - before[name] for name, weight in network.named_parameters()}


def stepped(network: nn.Module, rule: torch.optim.Optimizer, *, seed: int = 0) -> dict[str, Tensor]:
    """Where one step with drawn gradients moves each parameter."""
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    generator = torch.Generator().manual_seed(seed)
    for weight in network.parameters():
        weight.grad = torch.randn(weight.shape, generator=generator)
    rule.step()
    return moved(before, network)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(8, 16, 3), nn.Conv2d(16, 16, 3, groups=16), nn.Linear(16, 4), nn.Linear(9, 12)
    )


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 8, 90), (1, 64, 24)])
def test_singular_values_become_about_one_and_their_vectors_stay(shape: tuple[int, int, int]):
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    u, values, v = torch.linalg.svd(drawn, full_matrices=False)
    drawn = u @ torch.diag_embed(0.02 + values / values.amax(-1, keepdim=True)) @ v
    found = torch.linalg.svdvals(orthogonalised(drawn))
    assert found.min() > 0.7 and found.max() < 1.3
    turned = u.mT @ orthogonalised(drawn) @ v.mT
    assert (turned - torch.diag_embed(turned.diagonal(dim1=1, dim2=2))).abs().max() < 1e-4


def test_a_matrix_of_zeros_stays_zero():
    assert orthogonalised(torch.zeros(1, 8, 9)).eq(0).all()


def test_the_size_of_the_gradient_does_not_change_a_matrix_step():
    steps = []
    for factor in (1.0, 1e3):
        layer = nn.Linear(16, 16, bias=False)
        nn.init.zeros_(layer.weight)
        layer.weight.grad = factor * torch.eye(16)
        Muon(layer.parameters(), matrices=matrices_of(layer), lr=0.1, betas=(0.9, 0.99)).step()
        steps.append(layer.weight.detach().clone())
    torch.testing.assert_close(steps[0], steps[1])
    torch.testing.assert_close(steps[0].diagonal(), torch.full((16,), -0.1 * 0.2 * 4), rtol=0.3, atol=0.0)


def test_dense_kernels_and_linear_weights_are_matrices_and_nothing_else():
    layers = network()
    assert [id(w) for w in matrices_of(layers)] == [id(layers[0].weight), id(layers[3].weight)]


def test_all_but_matrices_follow_adamw_to_the_bit():
    ours, theirs = network(), network()
    values: dict[str, Any] = {"lr": 1e-2, "betas": (0.9, 0.99), "weight_decay": 0.1, "fused": True}
    muon = Muon(ours.parameters(), matrices=matrices_of(ours), **values)
    adam = torch.optim.AdamW(theirs.parameters(), **values)
    for seed in range(3):
        one, other = stepped(ours, muon, seed=seed), stepped(theirs, adam, seed=seed)
    same = {name for name in one if torch.equal(one[name], other[name])}
    assert same == set(one) - {"0.weight", "3.weight"}


def test_a_run_can_change_from_adam_to_muon_and_back(make: Make, data: dict[str, Any], tmp_path: Path):
    run = make(steps=6).run
    train(make(steps=6))
    for steps, kind in ((12, "muon"), (18, "adam")):
        train(make_recipe({**data, "steps": steps, "optimizer": {"kind": kind}}), resume=True, change=True)
    trained = load_weights(run / "last.safetensors").network
    assert all(weight.isfinite().all() for weight in trained.parameters())


def test_a_resumed_run_with_muon_equals_one_in_a_go(make: Make, tmp_path: Path):
    fields = {"optimizer": {"kind": "muon"}}
    whole = make(**fields, run=str(tmp_path / "whole"))
    halves = make(**fields, run=str(tmp_path / "halves"))
    train(whole)
    train(halves.model_copy(update={"time_limit_minutes": 1e-9}))
    train(halves, resume=True)
    one, two = (load_weights(r.run / "last.safetensors").network.state_dict() for r in (whole, halves))
    assert all(torch.equal(one[name], two[name]) for name in one)
