"""Images as callers hold them, and a program's global settings."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

import hfmoe
from hfmoe.infer.restorer import Restorer


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return hfmoe.load("nano-x2", device="cpu")


@pytest.fixture
def defaults() -> Iterator[None]:
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)


def noise(kind: str = "u1") -> np.ndarray:
    top = 255 if kind == "u1" else 65535
    return np.random.default_rng(0).integers(0, top + 1, (24, 20, 3)).astype(kind)


@pytest.mark.parametrize(("kind", "plain"), [(">u2", "u2"), (">f4", "f4"), (">f8", "f8"), ("<f2", "f2")])
def test_an_array_of_any_byte_order_is_restored_alike(restorer: Restorer, kind: str, plain: str):
    image = noise("u2")
    image = image if kind[1] == "u" else image / 65535
    before = image.astype(plain)
    swapped = hfmoe.restore(before.astype(kind), restorer)
    assert swapped.dtype == np.dtype(kind)
    assert np.array_equal(swapped, hfmoe.restore(before, restorer))


def test_views_of_any_strides_and_what_numpy_can_view_are_restored_alike(restorer: Restorer):
    class Viewable:
        def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
            return noise()

    expected = hfmoe.restore(noise(), restorer)
    frozen = noise()
    frozen.setflags(write=False)
    for same in (np.flip(np.flip(noise(), 1).copy(), 1), np.asfortranarray(noise()), frozen, Viewable()):
        assert np.array_equal(hfmoe.restore(same, restorer), expected)


@pytest.mark.parametrize("kind", [np.int64, np.uint16])
def test_a_tile_may_be_a_numpy_integer(restorer: Restorer, kind: type):
    image = np.tile(noise(), (9, 9, 1))
    assert np.array_equal(
        hfmoe.restore(image, restorer, tile=kind(192)), hfmoe.restore(image, restorer, tile=192)
    )


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_the_global_number_format_does_not_matter(restorer: Restorer, defaults: None, kind: torch.dtype):
    expected = hfmoe.restore(noise(), restorer)
    torch.set_default_dtype(kind)
    assert np.array_equal(hfmoe.restore(noise(), hfmoe.load("nano-x2", device="cpu")), expected)
    alpha = np.concatenate((noise(), noise()[..., :1]), 2)
    assert hfmoe.restore(alpha, restorer, tile=192).shape == (48, 40, 4)
    assert torch.get_default_dtype() == kind


def test_the_global_device_does_not_matter(restorer: Restorer, defaults: None):
    expected = hfmoe.restore(noise(), restorer)
    torch.set_default_device("meta")
    assert np.array_equal(hfmoe.restore(noise(), hfmoe.load("nano-x2", device="cpu")), expected)
    assert np.array_equal(hfmoe.restore(noise(), restorer), expected)
    assert torch.get_default_device().type == "meta"
