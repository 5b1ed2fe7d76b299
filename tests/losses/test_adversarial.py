"""The adversarial losses against direct computations, and what the discriminator guarantees."""

import math
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from hfmoe.losses import UNetDiscriminator, discriminator_loss, generator_loss
from hfmoe.losses.adversarial import Form
from hfmoe.losses.discriminator import SpectralConv

FORMS: tuple[Form, ...] = get_args(Form)


def logits(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(1, 1, 1, -1)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer(inputs: int = 3, outputs: int = 5, kernel: int = 3) -> SpectralConv:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SpectralConv(inputs, outputs, kernel)


def discriminator() -> UNetDiscriminator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return UNetDiscriminator(width=4)


def largest_singular_value(weight: torch.Tensor) -> float:
    return torch.linalg.svdvals(weight.flatten(1).double())[0].item()


def test_the_vanilla_losses_are_log_losses_by_hand():
    fake, real = logits(1.0, -2.0), logits(0.5, 3.0)

    def probability(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    generator = -(math.log(probability(1)) + math.log(probability(-2))) / 2
    calls_real = -(math.log(probability(0.5)) + math.log(probability(3))) / 2
    calls_fake = -(math.log(1 - probability(1)) + math.log(1 - probability(-2))) / 2
    assert generator_loss(fake, real, form="vanilla").item() == pytest.approx(generator)
    found = discriminator_loss(fake, real, form="vanilla").item()
    assert found == pytest.approx((calls_real + calls_fake) / 2)


def test_the_relativistic_losses_are_cross_entropies_of_differences():
    fake, real = noise(2, 1, 3, 4), noise(2, 1, 3, 4, seed=1)
    ones, zeros = torch.ones_like(fake), torch.zeros_like(fake)
    entropy = F.binary_cross_entropy_with_logits
    generator = entropy(real - fake.mean(), zeros) + entropy(fake - real.mean(), ones)
    opponent = entropy(real - fake.mean(), ones) + entropy(fake - real.mean(), zeros)
    torch.testing.assert_close(generator_loss(fake, real, form="relativistic"), generator / 2)
    torch.testing.assert_close(discriminator_loss(fake, real, form="relativistic"), opponent / 2)


def test_relativistic_losses_do_not_change_when_all_logits_are_shifted():
    fake, real = noise(1, 1, 4, 4), noise(1, 1, 4, 4, seed=1)
    for loss in (generator_loss, discriminator_loss):
        torch.testing.assert_close(
            loss(fake + 7, real + 7, form="relativistic"), loss(fake, real, form="relativistic")
        )


@pytest.mark.parametrize("form", FORMS)
def test_a_discriminator_that_knows_nothing_costs_both_sides_ln_2(form: Form):
    same = logits(0.0, 0.0)
    assert generator_loss(same, same, form=form).item() == pytest.approx(math.log(2))
    assert discriminator_loss(same, same, form=form).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("form", FORMS)
def test_the_two_sides_pull_the_logits_of_restored_images_apart(form: Form):
    real = noise(1, 1, 4, 4)
    fake = noise(1, 1, 4, 4, seed=1).requires_grad_()
    (up,) = torch.autograd.grad(generator_loss(fake, real, form=form), fake)
    (down,) = torch.autograd.grad(discriminator_loss(fake, real, form=form), fake)
    assert up.sum() < 0 < down.sum()


@pytest.mark.parametrize("form", FORMS)
def test_extreme_logits_stay_finite(form: Form):
    fake, real = logits(1e4, -1e4).requires_grad_(), logits(-1e4, 1e4)
    for loss in (generator_loss(fake, real, form=form), discriminator_loss(fake, real, form=form)):
        (gradient,) = torch.autograd.grad(loss, fake)
        assert loss.isfinite() and gradient.isfinite().all()


@pytest.mark.parametrize("form", FORMS)
def test_gradients_equal_finite_differences(form: Form):
    fake, real = noise(1, 1, 2, 3).requires_grad_(), noise(1, 1, 2, 3, seed=1).requires_grad_()
    for loss in (generator_loss, discriminator_loss):
        assert torch.autograd.gradcheck(lambda f, r, loss=loss: loss(f, r, form=form), (fake, real))


def test_normalisation_holds_the_largest_singular_value_at_one_while_weights_move():
    conv = layer(8, 16, 4)
    generator = torch.Generator().manual_seed(1)
    for _ in range(50):
        with torch.no_grad():
            conv.weight.mul_(1.1).add_(0.01 * torch.randn(conv.weight.shape, generator=generator))
        conv.advance()
    assert largest_singular_value(conv.weight) > 10
    assert largest_singular_value(conv.normalised().detach()) == pytest.approx(1, abs=0.02)


def test_a_fresh_layer_is_normalised_already():
    assert largest_singular_value(layer(16, 32, 4).normalised().detach()) == pytest.approx(1, abs=0.05)


def test_normalisation_and_its_gradient_equal_torchs():
    conv = layer().double()
    plain = nn.Conv2d(3, 5, 3, padding=1, bias=False).double()
    plain.load_state_dict({"weight": conv.weight.detach()})
    theirs = spectral_norm(plain, n_power_iterations=200)
    for _ in range(200):
        conv.advance()
    image = noise(1, 3, 6, 6)
    theirs(image).square().sum().backward()
    conv(image).square().sum().backward()
    torch.testing.assert_close(conv.normalised(), theirs.weight)
    torch.testing.assert_close(conv.weight.grad, theirs.parametrizations.weight.original.grad)  # type: ignore[union-attr]


def test_a_forward_pass_is_a_function_and_leaves_every_buffer():
    network = discriminator()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    image = torch.rand(1, 3, 16, 16)
    assert torch.equal(network(image), network(image))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_bfloat16_leaves_the_normalisation_exact():
    conv = layer()
    exact = conv.normalised()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(conv.normalised(), exact)


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (31, 40)])
def test_every_pixel_of_any_size_has_its_logit(size: tuple[int, int]):
    assert discriminator()(torch.rand(2, 3, *size)).shape == (2, 1, *size)


def test_a_logit_sees_no_more_than_64_pixels():
    image = torch.rand(1, 3, 192, 192, requires_grad=True)
    network = discriminator()
    for place in range(96, 104):
        (gradient,) = torch.autograd.grad(network(image)[0, 0, place, place], image)
        rows = gradient.abs().sum((0, 1, 3)).nonzero()
        assert 48 <= rows.max() - rows.min() + 1 <= 64


def test_the_usual_width_has_as_many_parameters_as_is_said():
    with torch.device("meta"):
        network = UNetDiscriminator()
    assert sum(parameter.numel() for parameter in network.parameters()) == 4_376_897


def test_what_is_judged_together_is_judged_as_if_alone():
    network = discriminator()
    pair = torch.rand(2, 3, 16, 16)
    together = network(pair)
    torch.testing.assert_close(together[1:], network(pair[1:]))


def test_the_gradient_reaches_the_image_and_equals_finite_differences():
    network = discriminator().double()
    image = noise(1, 3, 8, 8).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: network(x).mean(), image, fast_mode=True)
