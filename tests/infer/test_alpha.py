"""Transparent pictures: no halo of hidden colours, exact where alpha is constant."""

from pathlib import Path

import pytest
import torch

import hfmoe
from hfmoe.image.alpha import fill_hidden, is_flat
from hfmoe.image.files import Picture
from hfmoe.infer.restorer import Restorer

SIDE = 72


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return hfmoe.load("nano-x2", device="cpu")


def disc() -> torch.Tensor:
    """Alpha of a disc with soft edges."""
    y, x = torch.meshgrid(torch.arange(SIDE) - SIDE / 2, torch.arange(SIDE) - SIDE / 2, indexing="ij")
    return (SIDE / 3 - (x**2 + y**2).sqrt()).clamp(0, 1)[None]


def red_disc(hidden: torch.Tensor) -> Picture:
    """A red disc; what lies outside it is hidden."""
    red = torch.tensor([0.9, 0.1, 0.1]).view(3, 1, 1).expand(3, SIDE, SIDE)
    return Picture(torch.where(disc() > 0, red, hidden), disc())


def hidden_colours() -> dict[str, torch.Tensor]:
    noise = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    return {"noise": noise, "green": torch.tensor([0.0, 1, 0]).view(3, 1, 1), "black": torch.zeros(3, 1, 1)}


@pytest.mark.parametrize("name", hidden_colours())
def test_a_red_disc_is_red_to_its_edge_whatever_hides_around_it(restorer: Restorer, name: str):
    restored = restorer.picture(red_disc(hidden_colours()[name]))
    assert restored.alpha is not None
    visible = (restored.alpha > 0.02).expand(3, -1, -1)
    halo = (restored.colour - torch.tensor([0.9, 0.1, 0.1]).view(3, 1, 1)).abs()
    assert halo[visible].max() < 0.05


def test_without_filling_the_hidden_colours_would_show(restorer: Restorer):
    picture = red_disc(hidden_colours()["green"])
    colour = restorer(picture.colour[None])[0]
    alpha = restorer.picture(picture).alpha
    assert alpha is not None
    halo = (colour - torch.tensor([0.9, 0.1, 0.1]).view(3, 1, 1)).abs()
    assert halo[(alpha > 0.02).expand(3, -1, -1)].max() > 0.2


def test_hidden_colours_leave_no_trace_at_all():
    hidden = hidden_colours()
    filled = [
        fill_hidden(red_disc(colours).colour[None], disc()[None])
        for colours in (hidden["noise"], hidden["green"])
    ]
    torch.testing.assert_close(filled[0], filled[1])


def test_visible_colours_are_filled_with_nothing():
    colour = torch.rand(1, 3, 9, 11)
    assert fill_hidden(colour, torch.full((1, 1, 9, 11), 0.125)) is colour
    alpha = torch.zeros(1, 1, 9, 11)
    alpha[..., :5] = 0.2
    assert torch.equal(fill_hidden(colour, alpha)[..., :5], colour[..., :5])


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (33, 64)])
def test_a_picture_that_is_hidden_altogether_stays_finite(restorer: Restorer, size: tuple[int, int]):
    restored = restorer.picture(Picture(torch.rand(3, *size), torch.zeros(1, *size)))
    assert restored.alpha is not None
    assert torch.isfinite(restored.colour).all()
    assert (restored.alpha == 0).all()


@pytest.mark.parametrize("level", [1.0, 0.0, 0.3])
def test_constant_alpha_is_exact(restorer: Restorer, level: float):
    alpha = torch.full((1, 20, 24), level)
    restored = restorer.picture(Picture(torch.rand(3, 20, 24), alpha))
    assert restored.alpha is not None
    assert torch.equal(restored.alpha, torch.full((1, 40, 48), level))


def test_alpha_is_exact_inside_and_sharper_than_bicubic_at_edges(restorer: Restorer):
    """A disc drawn twice as large is the truth; its shrunk version is the input."""
    from hfmoe.image.resize import resize

    y, x = torch.meshgrid(torch.arange(2 * SIDE) - SIDE, torch.arange(2 * SIDE) - SIDE, indexing="ij")
    truth = (2 * SIDE / 3 - (x**2 + y**2).float().sqrt()).clamp(0, 1)[None]
    small = resize(truth, scale=1 / 2).clamp(0, 1)
    restored = restorer.picture(Picture(torch.full((3, SIDE, SIDE), 0.5), small)).alpha
    assert restored is not None
    assert (restored - truth).square().mean() < (resize(small, scale=2) - truth).square().mean() / 2
    inside = is_flat(small[None])[0].repeat_interleave(2, 1).repeat_interleave(2, 2) > 0
    assert torch.equal(restored[inside], truth[inside].round())


def test_arrays_with_alpha_are_restored_like_pictures(tiny_weights: Path):
    restorer = hfmoe.load(tiny_weights, device="cpu")
    picture = red_disc(hidden_colours()["noise"])
    assert picture.alpha is not None
    array = torch.cat([picture.colour, picture.alpha]).permute(1, 2, 0).numpy()
    restored = torch.from_numpy(hfmoe.restore(array, restorer)).permute(2, 0, 1)
    expected = restorer.picture(picture)
    assert expected.alpha is not None
    torch.testing.assert_close(restored, torch.cat([expected.colour, expected.alpha]))
