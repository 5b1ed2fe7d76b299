"""Labels of variants that cost and score the same can all be read."""

from itertools import combinations

import pytest

from hfmoe.report.scatter import Box, place_labels

INSIDE = Box(0, 0, 500, 260)


@pytest.mark.parametrize(
    "points",
    [
        [(100.0, 100.0)] * 10,
        [(490.0, 255.0)] * 8,
        [(100.0, 100.0 + place) for place in range(10)],
        [(100.0 + 9 * place, 100.0) for place in range(10)],
        [(3.0, 3.0), (3.0, 257.0), (497.0, 3.0), (497.0, 257.0)],
    ],
)
def test_no_label_lies_over_another_or_over_a_point_or_leaves_the_drawing(points: list[tuple[float, float]]):
    boxes = place_labels(points, [(70.0, 9.0)] * len(points), INSIDE)
    assert not any(one.meets(other) for one, other in combinations(boxes, 2))
    assert not any(box.left < x < box.right and box.bottom < y < box.top for box in boxes for x, y in points)
    assert all(box.within(INSIDE) for box in boxes)


def test_a_label_with_room_stands_right_beside_its_point():
    for (x, y), box in zip(
        points := [(100.0, 50.0), (100.0, 150.0)],
        place_labels(points, [(70.0, 9.0)] * 2, INSIDE),
        strict=True,
    ):
        assert 0 < box.left - x < 10 and box.bottom < y < box.top


def test_labels_that_find_no_room_stand_beside_their_points():
    assert place_labels([(5.0, 5.0)], [(70.0, 9.0)], Box(0, 0, 10, 10))[0].left < 12
