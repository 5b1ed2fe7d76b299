"""GAN training: who gets a gradient from whom, and runs with a discriminator."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import save_file

from hfmoe.data import Pair
from hfmoe.losses import UNetDiscriminator, VGGFeatures
from hfmoe.losses.adversarial import Form
from hfmoe.models.header import WeightsError
from hfmoe.models.network import HFMoE
from hfmoe.models.weights import load_weights
from hfmoe.train import NonFiniteError, Recipe, train
from hfmoe.train.checkpoints import load_checkpoint
from hfmoe.train.discriminator import DiscriminatorLearner, train_discriminator
from hfmoe.train.fields import Optimizer
from hfmoe.train.objective import build_losses, objective_at
from hfmoe.train.optimizer import make_optimizer

Make = Callable[..., Recipe]
FORMS: tuple[Form, ...] = get_args(Form)


def gan(weight: float = 0.1, *, form: Form = "vanilla", **window: float) -> dict[str, Any]:
    """Fields of a recipe with an adversarial term beside L1."""
    term = {"kind": "adversarial", "weight": weight, "form": form, **window}
    return {"loss": [{"kind": "l1"}, term], "discriminator": {"width": 4}}


def learner(*, width: int = 4) -> DiscriminatorLearner:
    fabric = Fabric(accelerator="cpu", devices=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNetDiscriminator(width=width)
    optimizer = make_optimizer(network, Optimizer())
    return DiscriminatorLearner(network, fabric.setup_optimizers(optimizer), fabric)  # type: ignore[arg-type]


def generator(recipe: Recipe) -> HFMoE:
    """The recipe's network, every part of which has something to say."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = HFMoE(recipe.config())
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def pair(seed: int) -> Pair:
    return Pair(image(1, 3, 32, 32), image(1, 3, 64, 64, seed=seed))


def image(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def losses_of(run: Path) -> list[dict[str, float]]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [record["loss"] for record in lines if record["kind"] == "train"]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_weights(run / "last.safetensors").network.state_dict()


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize("form", FORMS)
def test_the_generator_gets_a_gradient_from_the_adversarial_term_and_the_discriminator_none(
    make: Make, form: Form
):
    recipe = make(**gan(1.0, form=form), balance_weight=0, z_weight=0)
    discriminator, network = learner(), generator(recipe)
    losses = build_losses(recipe.loss, device=torch.device("cpu"), discriminate=discriminator.logits)
    objective = objective_at(0.0, recipe.loss, losses)
    restored = network(image(1, 3, 32, 32))
    values = objective(restored, pair(1))
    alone = values["total"] - values["l1"]
    torch.testing.assert_close(alone, values["adversarial"])
    trained = list(network.parameters())
    gradients = torch.autograd.grad(alone, trained, allow_unused=True)
    assert sum(gradient is not None and bool(gradient.any()) for gradient in gradients) > len(trained) / 2
    assert all(weight.grad is None and weight.requires_grad for weight in discriminator.network.parameters())


def test_a_term_of_weight_0_is_logged_and_gives_no_gradient(make: Make):
    discriminator = learner()
    recipe = make(**gan(0.0))
    losses = build_losses(recipe.loss, device=torch.device("cpu"), discriminate=discriminator.logits)
    restored = generator(recipe)(image(1, 3, 32, 32))
    values = objective_at(0.0, recipe.loss, losses)(restored, pair(1))
    assert values["adversarial"] > 0 and not values["adversarial"].requires_grad
    assert values["total"].requires_grad


@pytest.mark.parametrize("form", FORMS)
def test_the_discriminators_step_gives_the_restored_images_no_gradient(form: Form):
    discriminator = learner()
    before = {name: value.clone() for name, value in discriminator.network.state_dict().items()}
    restored = image(2, 3, 16, 16).requires_grad_()
    target = image(2, 3, 16, 16, seed=1)
    found, finite = train_discriminator(
        discriminator, restored, target, form=form, lr=1e-2, clip=None, parts=1
    )
    assert finite
    assert restored.grad is None
    after = discriminator.network.state_dict()
    assert all(not torch.equal(after[name], before[name]) for name in before)
    assert set(found) == {"discriminator", "logit_restored", "logit_target", "discriminator_gradient_norm"}
    assert not any(value.requires_grad for value in found.values())


@pytest.mark.parametrize("form", FORMS)
def test_a_discriminator_learns_to_tell_smooth_from_noisy(form: Form):
    discriminator = learner(width=16)
    found = {}
    for step in range(40):
        noisy = image(2, 3, 16, 16, seed=step)
        smooth = noisy.mean((2, 3), keepdim=True).expand_as(noisy)
        found, _ = train_discriminator(discriminator, smooth, noisy, form=form, lr=3e-4, clip=None, parts=1)
    assert found["discriminator"] < 0.3 * math.log(2)
    assert found["logit_target"] > found["logit_restored"] + 1


def test_steps_in_parts_equal_steps_on_the_whole():
    whole, parts = learner(), learner()
    for step in range(3):
        pair = image(4, 3, 16, 16, seed=step), image(4, 3, 16, 16, seed=step + 9)
        one, _ = train_discriminator(whole, *pair, form="vanilla", lr=1e-3, clip=None, parts=1)
        other, _ = train_discriminator(parts, *pair, form="vanilla", lr=1e-3, clip=None, parts=4)
        assert one["discriminator"].item() == pytest.approx(other["discriminator"].item(), abs=1e-5)
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(parts.network.state_dict()[name], value, rtol=0, atol=1e-4)


def test_weight_0_trains_the_same_bits_as_no_adversarial_term(make: Make, tmp_path: Path):
    plain = make(run=str(tmp_path / "plain"), loss=[{"kind": "l1"}])
    idle = make(run=str(tmp_path / "idle"), **gan(0.0))
    train(plain)
    train(idle)
    assert equal(weights(plain.run), weights(idle.run))
    for one, other in zip(losses_of(plain.run), losses_of(idle.run), strict=True):
        assert one.items() <= other.items()
        assert other["adversarial"] > 0 and other["discriminator"] > 0


def test_a_weight_changes_what_the_generator_learns(make: Make, tmp_path: Path):
    plain = make(run=str(tmp_path / "plain"), loss=[{"kind": "l1"}])
    opposed = make(run=str(tmp_path / "opposed"), **gan(0.1))
    train(plain)
    train(opposed)
    assert not equal(weights(plain.run), weights(opposed.run))


@pytest.mark.parametrize("form", FORMS)
def test_a_run_stopped_and_resumed_has_the_same_discriminator_to_the_bit(
    make: Make, tmp_path: Path, form: Form
):
    def recipe(name: str, **fields: Any) -> Recipe:
        return make(run=str(tmp_path / name), steps=6, log={"every": 1}, **gan(form=form), **fields)

    train(recipe("whole"))
    short = recipe("stopped", time_limit_minutes=1e-9)
    train(short)
    for _ in range(2):
        train(short, resume=True)
    assert train(recipe("stopped"), resume=True).finished
    one, other = (load_checkpoint(tmp_path / name / "last.ckpt") for name in ("whole", "stopped"))
    assert one["adversary"]["optimizer"]["state"]
    for part in ("adversary", "network", "average", "optimizer"):
        assert equal(one[part], other[part])
    assert losses_of(tmp_path / "whole") == losses_of(tmp_path / "stopped")


def test_a_discriminator_rests_until_its_term_begins(make: Make):
    recipe = make(log={"every": 1}, **gan(start=0.5))
    train(recipe)
    active = ["discriminator" in losses and "adversarial" in losses for losses in losses_of(recipe.run)]
    assert active == [False] * 6 + [True] * 6


def test_the_gan_stage_starts_from_the_weights_of_the_psnr_stage(make: Make, tmp_path: Path):
    first = make(run=str(tmp_path / "psnr"), loss=[{"kind": "l1"}])
    train(first)
    still = {"lr": 1e-30, "final_lr": 0}
    weights_file = str(first.run / "last.safetensors")
    second = make(run=str(tmp_path / "gan"), init=weights_file, optimizer=still, balance_rate=0, **gan())
    train(second)
    found, expected = weights(second.run), weights(first.run)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_trains_both_sides_in_float32_weights(make: Make, precision: str):
    hardware = {"precision": precision, "accelerator": "cpu"}
    recipe = make(steps=3, hardware=hardware, log={"every": 1}, **gan())
    train(recipe)
    state = load_checkpoint(recipe.run / "last.ckpt")["adversary"]["network"]
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in state.values())
    assert all(math.isfinite(value) for losses in losses_of(recipe.run) for value in losses.values())


def test_a_discriminator_that_is_not_finite_is_named(make: Make, monkeypatch: pytest.MonkeyPatch):
    before = UNetDiscriminator.advance

    def spoilt(network: UNetDiscriminator) -> None:
        before(network)
        with torch.no_grad():
            network.leave.weight.fill_(float("nan"))

    monkeypatch.setattr(UNetDiscriminator, "advance", spoilt)
    with pytest.raises(NonFiniteError, match=r"step 1: .* discriminator\.leave\.weight is not finite"):
        train(make(**gan(), faults={"rollbacks": 0}))


def features_file(folder: Path) -> Path:
    """VGG16 up to its third convolution, with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = VGGFeatures("vgg16", ["conv2_1"]).state_dict()
    save_file(state, folder / "vgg16.safetensors")
    return folder / "vgg16.safetensors"


def test_a_run_with_every_kind_of_loss_logs_each_by_its_name(make: Make, tmp_path: Path):
    features = {"weights": str(features_file(tmp_path)), "network": "vgg16", "layers": {"conv2_1": 1.0}}
    terms: list[dict[str, Any]] = [
        *({"kind": kind} for kind in ("l1", "mse", "fft", "charbonnier", "laplacian", "high_band")),
        {"kind": "perceptual", **features},
        {"kind": "adversarial"},
    ]
    recipe = make(steps=2, patch=16, loss=terms, discriminator={"width": 4})
    train(recipe)
    found = losses_of(recipe.run)[-1]
    assert {term["kind"] for term in terms} < set(found)
    weighted = sum(found[term["kind"]] * (0.1 if term["kind"] == "adversarial" else 1) for term in terms)
    expected = weighted + recipe.balance_weight * found["balance"] + recipe.z_weight * found["z"]
    assert found["total"] == pytest.approx(expected, rel=1e-4)


def test_features_that_are_missing_leave_no_run_behind(make: Make, tmp_path: Path):
    recipe = make(loss=[{"kind": "perceptual", "weights": str(tmp_path / "none.pth")}])
    with pytest.raises(WeightsError, match=r"none\.pth is no file"):
        train(recipe)
    assert not recipe.run.exists()
