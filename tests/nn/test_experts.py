import pytest
import torch
from einops import repeat

from hfmoe.nn.experts import DenseFFN, MoEFFN
from hfmoe.nn.routing import (
    Perturbation,
    balance_loss,
    choose,
    cost_prior,
    effort_weight,
    explored,
    load,
    rebalanced,
    z_loss,
)
from hfmoe.nn.windows import merge, partition

HIDDEN = (2, 4, 8, 16)
COSTS = torch.tensor(HIDDEN) / 16
LEVEL = torch.zeros(4)


def mixture(top_k: int = 1) -> MoEFFN:
    torch.manual_seed(0)
    layer = MoEFFN(8, hidden=HIDDEN, window=4, top_k=top_k)
    torch.nn.init.normal_(layer.router.weight, std=2.0)
    return layer


def inputs(batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    return torch.randn(batch, 16, 16, 8, generator=draw), torch.randn(batch, 4, 4, generator=draw)


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_sparse_dispatch_equals_running_all_experts_and_masking(top_k):
    layer, (x, energy) = mixture(top_k), inputs()
    windows = partition(x, window=4)
    choice = choose(layer.scores(windows, energy, None), layer.costs, layer.balance, top_k=top_k, effort=0.5)
    sorted_ = layer.run_sorted(windows, choice)
    weight = torch.zeros_like(choice.probability).scatter(1, choice.chosen, choice.gate)
    for form in (layer.run_masked, layer.run_gathered):
        torch.testing.assert_close(form(windows, weight), sorted_, atol=1e-5, rtol=1e-5)


def test_only_the_chosen_experts_run():
    layer, (x, energy) = mixture(), inputs()
    seen = []
    for expert in layer.experts:
        expert.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    layer(x, energy)
    assert sum(seen) == 2 * 16


def test_a_sample_routes_the_same_alone_and_in_a_batch():
    layer, (x, energy) = mixture(), inputs(3)
    together = layer(x, energy)
    for i in range(3):
        alone = layer(x[i : i + 1], energy[i : i + 1])
        assert torch.equal(alone.routing[0].chosen[0], together.routing[0].chosen[i])
        torch.testing.assert_close(alone.x[0], together.x[i], atol=1e-5, rtol=1e-5)


def test_inference_is_deterministic_and_training_noise_is_replayable():
    layer, (x, energy) = mixture(), inputs()
    assert torch.equal(layer(x, energy).x, layer(x, energy).x)

    def noisy(seed: int) -> torch.Tensor:
        perturb = Perturbation(router_noise=5.0, generator=torch.Generator().manual_seed(seed))
        return layer(x, energy, perturb=perturb).x

    assert torch.equal(noisy(1), noisy(1)) and not torch.equal(noisy(1), noisy(2))


@pytest.mark.parametrize("top_k", [1, 2])
def test_the_ends_of_effort_select_the_cheapest_and_the_heaviest_with_their_own_gates(top_k):
    layer, (x, energy) = mixture(top_k), inputs()
    gates = layer.scores(partition(x, window=4), energy, None).sigmoid()
    for effort, expert in ((0.0, 0), (1.0, 3)):
        mixed = layer(x, energy, effort=effort)
        assert (mixed.routing[0].chosen == expert).all()
        torch.testing.assert_close(mixed.routing[0].gate.flatten(), gates[:, expert])
        weighted = layer.experts[expert](partition(x, window=4)) * gates[:, expert, None, None]
        expected = merge(weighted, window=4, height=16, width=16)
        torch.testing.assert_close(mixed.x, expected, atol=1e-5, rtol=1e-5)


def test_expected_cost_grows_with_effort():
    scores = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    spent = [
        COSTS[choose(scores, COSTS, LEVEL, top_k=1, effort=effort / 10).chosen].mean().item()
        for effort in range(11)
    ]
    assert spent == sorted(spent) and spent[0] < spent[5] < spent[10]


def test_the_balancing_bias_changes_who_is_chosen_but_not_the_gates():
    scores = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    bias = torch.tensor([0.0, 0.0, 0.0, 100.0])
    biased = choose(scores, COSTS, bias, top_k=1, effort=0.5)
    assert (biased.chosen == 3).all()
    torch.testing.assert_close(biased.gate[:, 0], scores[:, 3].sigmoid())


def test_balancing_brings_the_loads_to_the_cost_prior_whatever_the_scores():
    scores = torch.randn(4000, 4, generator=torch.Generator().manual_seed(0))
    scores += torch.tensor([-2.0, 0.0, 3.0, 1.0])
    bias, prior = LEVEL, cost_prior(COSTS)
    for _ in range(2000):
        share = load(choose(scores, COSTS, bias, top_k=1, effort=0.5).chosen, experts=4)
        bias = rebalanced(bias, share, prior, rate=0.02)
    assert bias.mean().abs() < 1e-5
    torch.testing.assert_close(share, prior, atol=0.02, rtol=0)


def test_a_fresh_router_sends_more_detail_to_heavier_experts():
    torch.manual_seed(0)
    layer = MoEFFN(8, hidden=HIDDEN, window=4, top_k=1)
    x = torch.zeros(1, 4, 16, 8)
    chosen = layer(x, torch.tensor([[[-3.0, -1.0, 1.0, 3.0]]])).routing[0].chosen.flatten()
    assert chosen[0] == 0 and chosen[3] == 3


def test_the_middle_effort_adds_no_bias_and_others_out_of_range_are_refused():
    assert effort_weight(0.5) == 0
    with pytest.raises(ValueError, match=r"1\.5"):
        effort_weight(1.5)


def test_loads_sum_to_one():
    share = load(torch.tensor([[0], [0], [2], [3]]), experts=4)
    torch.testing.assert_close(share, torch.tensor([0.5, 0.0, 0.25, 0.25]))


def test_the_balance_loss_is_one_at_the_cost_prior_and_more_elsewhere():
    prior = cost_prior(COSTS)
    torch.testing.assert_close(prior, torch.tensor([8.0, 4.0, 2.0, 1.0]) / 15)
    at_prior = balance_loss(prior, repeat(prior, "e -> n e", n=5), prior)
    torch.testing.assert_close(at_prior, torch.tensor(1.0))
    for other in (torch.full((4,), 0.25), torch.tensor([1.0, 0, 0, 0]), torch.tensor([0.0, 0, 0, 1])):
        assert balance_loss(other, other[None], prior) > 1.0


def test_the_balance_loss_pulls_overloaded_experts_down():
    scores = torch.zeros(64, 4, requires_grad=True)
    share = torch.tensor([0.0, 0.0, 0.0, 1.0])
    balance_loss(share, scores.softmax(-1), cost_prior(COSTS)).backward()
    assert scores.grad is not None and scores.grad[0, 3] > 0 and (scores.grad[0, :3] < 0).all()


def test_the_z_loss_is_the_squared_log_sum_exp():
    torch.testing.assert_close(z_loss(torch.zeros(3, 4)), torch.tensor(4.0).log().square())


def test_a_hotter_router_is_less_sure():
    layer, (x, energy) = mixture(), inputs()
    cold = layer(x, energy).routing[0].gate
    hot = layer(x, energy, perturb=Perturbation(temperature=100.0)).routing[0].gate
    assert (hot - 0.5).abs().max() < (cold - 0.5).abs().max() / 4


def test_the_router_and_every_chosen_expert_learn():
    layer, (x, energy) = mixture(), inputs()
    mixed = layer(x, energy)
    mixed.x.square().sum().backward()
    assert layer.router.weight.grad is not None and layer.router.weight.grad.abs().sum() > 0
    for expert, share in zip(layer.experts, mixed.routing[0].load, strict=True):
        assert all((p.grad is not None) == bool(share > 0) for p in expert.parameters())


def test_more_choices_than_experts_are_refused():
    with pytest.raises(ValueError, match="5"):
        MoEFFN(8, hidden=HIDDEN, window=4, top_k=5)


def test_a_dense_layer_reports_no_routing_and_no_loss():
    x, energy = inputs()
    mixed = DenseFFN(8, hidden=16)(x, energy)
    assert mixed.routing == ()


def test_parts_of_a_batch_that_share_their_load_have_the_balance_loss_of_the_whole():
    layer, (x, energy) = mixture(), inputs(4)
    whole = layer(x, energy)
    halves = [slice(0, 2), slice(2, 4)]
    loads = torch.stack([layer(x[half], energy[half]).routing[0].load for half in halves]).mean(0)
    perturb = Perturbation(average=lambda _: loads)
    parts = [layer(x[half], energy[half], perturb=perturb) for half in halves]
    torch.testing.assert_close(
        torch.stack([part.routing[0].balance for part in parts]).mean(), whole.routing[0].balance
    )
    assert all(torch.equal(part.routing[0].load, loads) for part in parts)


@pytest.mark.parametrize("top_k", [1, 2])
def test_a_share_of_windows_goes_to_experts_drawn_equally_with_their_own_gates(top_k):
    scores = torch.randn(8000, 4, generator=torch.Generator().manual_seed(0))
    heavy = torch.tensor([0.0, 0.0, 50.0, 100.0])
    choice = choose(scores, COSTS, heavy, top_k=top_k, effort=0.5)
    moved = explored(choice, scores, share=0.4, generator=torch.Generator().manual_seed(1))
    assert all(len(set(row)) == top_k for row in moved.chosen.tolist())
    torch.testing.assert_close(moved.gate, scores.sigmoid().gather(1, moved.chosen))
    expected = 0.6 * load(choice.chosen, experts=4) + 0.4 * 0.25
    torch.testing.assert_close(load(moved.chosen, experts=4), expected, atol=0.02, rtol=0)
    none = explored(choice, scores, share=0.0, generator=torch.Generator().manual_seed(1))
    assert torch.equal(none.chosen, choice.chosen) and torch.equal(none.gate, choice.gate)


def test_random_experts_learn_while_load_and_loss_stay_those_of_the_router():
    layer, (x, energy) = mixture(), inputs()
    layer.balance[0] = 100.0
    plain = layer(x, energy)
    assert plain.routing[0].load.tolist() == [1, 0, 0, 0]
    perturb = Perturbation(random_expert=0.9, generator=torch.Generator().manual_seed(0))
    mixed = layer(x, energy, perturb=perturb)
    mixed.x.sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in layer.experts.parameters())
    assert torch.equal(mixed.routing[0].load, plain.routing[0].load)
    assert torch.equal(mixed.routing[0].balance, plain.routing[0].balance)
