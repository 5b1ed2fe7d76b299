"""Drawn chains: sizes, strengths, order, replay."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmoe.data.degradations import BSRGAN, OPERATIONS, REAL_ESRGAN, Task, apply, as_data, from_data
from hfmoe.data.degradations.blur import DeblurTask, GaussianBlur, PlateauBlur, SincBlur
from hfmoe.data.degradations.jpeg import Jpeg, JpegTask
from hfmoe.data.degradations.mosaic import CameraTask
from hfmoe.data.degradations.noise import DenoiseTask, GaussianNoise, PoissonNoise
from hfmoe.data.degradations.photo import PhotoTask
from hfmoe.data.degradations.resampling import METHODS, Clamp, Cut, Resize, Round
from hfmoe.data.degradations.sampling import chance, choice, uniform, whole
from hfmoe.data.fields import fixed

TASKS: dict[str, Task] = {
    "denoise": DenoiseTask(sigma=fixed(0.0, 50.0), gray=0.3, sensor=0.3, rounded=0.5),
    "deblur": DeblurTask(length=fixed(2.0, 15.0), noise=fixed(0.0, 3.0)),
    "camera": CameraTask(sigma=fixed(0.0, 40.0), quality=fixed(50.0, 98.0)),
    "jpeg": JpegTask(webp=0.2),
    "real-esrgan": PhotoTask(),
    "bsrgan": PhotoTask(chain="bsrgan"),
}
CHAINS = {"real-esrgan": REAL_ESRGAN, "bsrgan": BSRGAN}


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    seed=st.integers(0, 10_000),
    task=st.sampled_from(sorted(TASKS)),
    scale=st.integers(1, 4),
    channels=st.sampled_from([1, 3]),
)
@settings(deadline=None, max_examples=80)
def test_a_result_has_its_size_and_survives_being_printed_and_applied_again(
    seed: int, task: str, scale: int, channels: int
):
    image = torch.rand(channels, 12 * scale, 15 * scale, generator=generator(seed))
    operations = TASKS[task].draw(generator(seed), size=(12 * scale, 15 * scale), scale=scale)
    degraded = apply(image, operations)
    shrunk = scale if TASKS[task].shrinks else 1
    assert degraded.shape == (channels, 12 * scale // shrunk, 15 * scale // shrunk)
    assert degraded.isfinite().all()
    again = from_data(json.loads(json.dumps(as_data(operations))))
    assert again == operations
    assert torch.equal(apply(image, again), degraded)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_what_is_drawn_depends_on_the_generator_alone(task: str):
    draws = [TASKS[task].draw(generator(seed), size=(32, 32), scale=2) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_real_esrgan_goes_through_blur_resize_noise_jpeg_twice_and_ends_at_the_small_size():
    for seed in range(40):
        operations = REAL_ESRGAN.draw(generator(seed), size=(64, 64), scale=4)
        kinds = [type(operation) for operation in operations]
        assert issubclass(kinds[0], GaussianBlur | PlateauBlur | SincBlur)
        assert kinds[1] is Resize
        assert kinds[2] in (GaussianNoise, PoissonNoise)
        assert kinds[3:5] == [Clamp, Jpeg]
        assert kinds.count(Jpeg) == 2
        assert sum(kind in (GaussianNoise, PoissonNoise) for kind in kinds) == 2
        assert kinds[-1] is Round
        last = [operation for operation in operations if isinstance(operation, Resize)][-1]
        assert (last.height, last.width) == (16, 16)


def test_real_esrgan_draws_within_the_published_ranges_and_shares():
    drawn = [op for seed in range(1500) for op in REAL_ESRGAN.draw(generator(seed), size=(400, 400), scale=4)]
    blurs = [op for op in drawn if isinstance(op, GaussianBlur | PlateauBlur)]
    assert all(min(op.sigma) >= 0.2 and max(op.sigma) <= 3 and 7 <= op.size <= 21 for op in blurs)
    noises = [op for op in drawn if isinstance(op, GaussianNoise)]
    assert all(1 <= op.sigma <= 30 for op in noises)
    assert len(noises) / 3000 == pytest.approx(0.5, abs=0.03)
    assert sum(op.correlation == 1 for op in noises) / len(noises) == pytest.approx(0.4, abs=0.04)
    assert all(0.05 <= op.strength <= 3 for op in drawn if isinstance(op, PoissonNoise))
    qualities = [op.quality for op in drawn if isinstance(op, Jpeg)]
    assert min(qualities) == 30 and max(qualities) == 95
    sides = [op.height for op in drawn if isinstance(op, Resize)]
    assert min(sides) >= 400 * 0.15 * 0.3 / 4 and max(sides) <= 600
    sincs = sum(isinstance(op, SincBlur) for op in drawn)
    assert sincs / 1500 == pytest.approx(0.1 + 0.8 * 0.1 + 0.8, abs=0.05)


def test_bsrgan_shuffles_its_steps_but_not_the_two_that_shrink():
    orders = set()
    for seed in range(60):
        operations = BSRGAN.draw(generator(seed), size=(64, 64), scale=2)
        assert isinstance(operations[-2], Jpeg) and isinstance(operations[-1], Round)
        orders.add(tuple(type(operation).__name__ for operation in operations))
        last = [operation for operation in operations if isinstance(operation, Resize)][-1]
        assert (last.height, last.width) == (32, 32)
    assert len(orders) > 30


@pytest.mark.parametrize("name", sorted(CHAINS))
def test_less_strength_leaves_photos_closer_to_clean(name: str):
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    image = (0.5 + 0.3 * torch.sin(x / 3) * torch.cos(y / 4)).expand(3, -1, -1)
    errors = []
    for strength in (0.0, 0.5, 1.0):
        chain = CHAINS[name].softened(strength)
        drawn = [chain.draw(generator(seed), size=(48, 48), scale=1) for seed in range(40)]
        errors.append(sum((apply(image, operations) - image).square().mean().item() for operations in drawn))
    assert errors == sorted(errors)
    assert errors[0] < 0.2 * errors[2]
    assert CHAINS[name].softened(1.0) == CHAINS[name]


def test_one_round_is_a_share_of_photos():
    from dataclasses import replace

    chain = replace(REAL_ESRGAN, twice=0.25)
    counts = [
        sum(isinstance(op, Jpeg) for op in chain.draw(generator(seed), size=(64, 64), scale=2))
        for seed in range(400)
    ]
    assert set(counts) == {1, 2}
    assert counts.count(2) / 400 == pytest.approx(0.25, abs=0.07)


@pytest.mark.parametrize("method", METHODS)
def test_every_resize_keeps_a_plain_image_and_reaches_its_size(method: str):
    for size in ((5, 9), (31, 12), (16, 16), (1, 1)):
        resized = Resize(*size, method)(torch.full((3, 16, 16), 0.6))  # type: ignore[arg-type]
        assert resized.shape == (3, *size)
        assert torch.allclose(resized, torch.full_like(resized, 0.6), atol=1e-5)


def test_resizing_to_the_same_size_and_rounding_levels_change_no_bit():
    image = torch.randint(256, (3, 9, 7)).float() / 255
    assert torch.equal(Resize(9, 7, "bicubic")(image), image)
    assert torch.equal(Round()(image), image)
    assert torch.equal(Clamp()(image), image)


def test_a_cut_outside_the_image_is_refused():
    with pytest.raises(ValueError, match="inside 4 x 4"):
        Cut(1, 0, 4, 4)(torch.zeros(1, 4, 4))


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        ({"kind": "frost"}, "'frost' of an operation must be one of gaussian_blur"),
        ({"size": 3}, "None of an operation"),
        ({"kind": "jpeg", "qualty": 3}, "jpeg has no qualty; known: quality, subsampling"),
        ({"kind": "jpeg"}, "quality"),
    ],
)
def test_data_that_are_no_operation_are_named(data: dict, rule: str):
    with pytest.raises(ValueError, match=rule):
        from_data([data])


def test_every_operation_is_known_by_its_own_name():
    assert all(operation.kind == name for name, operation in OPERATIONS.items())


@given(seed=st.integers(0, 1000), low=st.integers(-5, 5), more=st.integers(0, 9))
def test_drawn_numbers_stay_within_their_bounds(seed: int, low: int, more: int):
    dice = generator(seed)
    assert low <= uniform(dice, (float(low), float(low + more))) <= low + more
    assert low <= whole(dice, (float(low), float(low + more))) <= low + more
    assert choice(dice, "abc", (0.0, 1.0, 0.0)) == "b"
    assert not chance(dice, 0.0) and chance(dice, 1.0)
