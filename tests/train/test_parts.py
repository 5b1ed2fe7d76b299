"""Schedules, weight average, objective, checkpoint files."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from hfmoe.data import Pair
from hfmoe.losses import l1, mse
from hfmoe.models.network import Restored
from hfmoe.nn.routing import LayerRouting
from hfmoe.train.checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from hfmoe.train.fields import Optimizer, Perturb
from hfmoe.train.learner import WeightAverage, warm_start
from hfmoe.train.monitor import Meter, NonFiniteError
from hfmoe.train.objective import ActiveLoss, Objective, PixelTerm
from hfmoe.train.optimizer import clip_together
from hfmoe.train.progress import Progress
from hfmoe.train.run_log import forget_after
from hfmoe.train.schedule import average_decay, learning_rate, patch_size, router_temperature


def test_the_learning_rate_warms_up_to_its_top_and_falls_to_its_end():
    fields = Optimizer(lr=1e-3, final_lr=1e-6, warmup=0.1)
    rates = [learning_rate(Progress(1000, step=step), optimizer=fields) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-5)
    assert max(rates) == rates[99] == rates[100] == pytest.approx(1e-3)
    assert rates[-1] == pytest.approx(1e-6)
    assert rates[:100] == sorted(rates[:100])
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[549] == pytest.approx((1e-3 + 1e-6) / 2, rel=2e-3)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_runs_have_a_learning_rate(steps: int):
    for warmup in (0.0, 0.5, 1.0):
        fields = Optimizer(warmup=warmup)
        rates = [learning_rate(Progress(steps, step=step), optimizer=fields) for step in range(steps)]
        assert all(0 < rate <= 1e-3 for rate in rates)


def test_a_rate_that_holds_falls_only_in_the_last_share_of_the_run():
    fields = Optimizer(lr=1e-3, final_lr=1e-6, warmup=0.1, decay=0.25)
    rates = [learning_rate(Progress(1000, step=step), optimizer=fields) for step in range(1000)]
    assert rates[:100] == sorted(rates[:100])
    assert set(rates[100:751]) == {1e-3}
    assert rates[750:] == sorted(rates[750:], reverse=True)
    assert rates[-1] == pytest.approx(1e-6)


def test_the_router_temperature_goes_straight_from_start_to_end_and_stays():
    fields = Perturb(temperature_start=3.0, temperature_end=1.0, temperature_until=0.5)
    values = [router_temperature(Progress(101, step=step), perturb=fields) for step in (0, 25, 50, 100)]
    assert values == pytest.approx([3.0, 2.0, 1.0, 1.0])


def test_the_patch_grows_when_its_share_of_the_run_is_reached():
    sizes = [(0.0, 32), (0.5, 48), (0.9, 64)]
    patches = [patch_size(Progress(10, step=step), sizes=sizes) for step in (0, 4, 5, 8, 9)]
    assert patches == [32, 32, 48, 48, 64]


def test_the_average_starts_quick_and_never_exceeds_its_decay():
    assert average_decay(Progress(9), decay=0.999) == pytest.approx(0.1)
    assert average_decay(Progress(9, step=100_000), decay=0.999) == 0.999


def test_the_weight_average_equals_its_closed_form():
    network = nn.Linear(3, 2)
    average = WeightAverage(network)
    history = [network.weight.detach().clone()]
    for step in range(5):
        with torch.no_grad():
            network.weight.add_(torch.randn(2, 3, generator=torch.Generator().manual_seed(step)))
        history.append(network.weight.detach().clone())
        average.update(0.8)
    expected = 0.8**5 * history[0] + sum(0.2 * 0.8 ** (5 - i) * history[i] for i in range(1, 6))
    assert torch.allclose(average.network.weight, expected, atol=1e-6)


def test_what_does_not_train_is_copied_into_the_average():
    network = nn.BatchNorm1d(3)
    network.bias.requires_grad_(False)
    average = WeightAverage(network)
    state = network.state_dict()
    state["bias"].fill_(4)
    state["running_mean"].fill_(5)
    average.update(0.9)
    assert average.network.state_dict()["bias"].tolist() == [4] * 3
    assert average.network.state_dict()["running_mean"].tolist() == [5] * 3


@pytest.mark.parametrize("size", [1e-3, 0.2, 5.0, float("inf")])
def test_gradients_clipped_together_are_those_that_torch_clips_one_by_one(size: float):
    generator = torch.Generator().manual_seed(0)
    shapes = [(4, 3, 3, 3), (4,), (1,), ()]
    weights = [nn.Parameter(torch.zeros(shape)) for shape in shapes]
    for weight in weights:
        weight.grad = size * torch.randn(weight.shape, generator=generator)
    together = [weight.grad.clone() for weight in weights if weight.grad is not None]
    expected = nn.utils.clip_grad_norm_(weights, 1.0)
    assert torch.equal(clip_together(together, most=1.0), expected)
    for ours, weight in zip(together, weights, strict=True):
        assert weight.grad is not None
        assert torch.equal(ours.nan_to_num(7), weight.grad.nan_to_num(7))


def test_the_objective_names_each_term_and_adds_them_weighted():
    where = torch.zeros(1, 1, 1, 1, dtype=torch.int64), torch.ones(1, 1, 1, 1), torch.ones(1)
    layer = LayerRouting(*where, balance=torch.tensor(2.0), z=torch.tensor(3.0))
    restored = Restored(torch.full((1, 3, 4, 4), 0.5), (layer,))
    losses = (
        ActiveLoss(PixelTerm(kind="l1", weight=2.0), l1),
        ActiveLoss(PixelTerm(kind="mse", weight=4.0), mse),
    )
    objective = Objective(losses, 0.1, 0.01)
    values = objective(restored, Pair(torch.zeros(1, 3, 1, 1), torch.zeros(1, 3, 4, 4)))
    assert {name: value.item() for name, value in values.items()} == pytest.approx(
        {"total": 2 * 0.5 + 4 * 0.25 + 0.1 * 2 + 0.01 * 3, "l1": 0.5, "mse": 0.25, "balance": 2, "z": 3}
    )


def test_a_warm_start_takes_what_fits_and_names_what_does_not():
    source, target = (
        nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4), nn.Linear(4, 4, bias=False)),
        nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 9)),
    )
    start = warm_start(target, source)
    assert start.taken == ("0.weight", "0.bias")
    assert start.fresh == ("1.weight", "1.bias")
    assert start.left == ("1.weight", "1.bias", "2.weight")
    assert torch.equal(target.state_dict()["0.weight"], source.state_dict()["0.weight"])


def test_a_save_that_fails_leaves_the_checkpoint_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, {"step": 1})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space"):
        save_checkpoint(path, {"step": 2})
    assert load_checkpoint(path) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_checkpoint_is_named(tmp_path: Path):
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match=r"last\.ckpt"):
        load_checkpoint(path)


def test_a_loss_that_is_not_finite_is_named_with_its_step():
    meter = Meter()
    for step, value in ((6, 1.0), (7, float("nan")), (8, float("nan"))):
        losses = {"total": torch.tensor(value), "l1": torch.tensor(1.0)}
        meter.note(step, losses, norm=torch.tensor(1.0), routing=(), images=1, seconds=0.1)
    with pytest.raises(NonFiniteError, match="step 7: total is nan"):
        meter.check()


def test_records_beyond_the_resumed_step_and_half_lines_are_forgotten(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    forget_after(path, 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'
