"""Self-ensemble: all eight flips and turns, undone."""

import pytest
import torch

from hfmoe.infer.ensemble import ensemble, turned, turned_back

IMAGE = torch.rand(1, 3, 5, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("place", range(8))
def test_each_turn_is_undone(place):
    assert torch.equal(turned_back(turned(IMAGE, place), place), IMAGE)


def test_the_eight_turns_are_different():
    square = IMAGE[..., :5]
    turns = [turned(square, place) for place in range(8)]
    assert all(not torch.equal(a, b) for i, a in enumerate(turns) for b in turns[:i])


def test_a_restorer_that_knows_no_direction_is_not_changed():
    def enlarge(image):
        return image.repeat_interleave(2, -1).repeat_interleave(2, -2)

    torch.testing.assert_close(ensemble(enlarge)(IMAGE), enlarge(IMAGE))


def test_what_depends_on_direction_is_averaged():
    def marks_a_corner(image):
        marked = image.clone()
        marked[..., 0, 0] = 8.0
        return marked

    restored = ensemble(marks_a_corner)(torch.zeros(1, 1, 4, 4))
    corners = restored[0, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    torch.testing.assert_close(corners, torch.full((4,), 2.0))
    assert restored.sum() == 8
