"""Pictures of an evaluation: the worst square is found, and the files are written."""

import pytest
import torch

from hfmoe.evaluate.pictures import Album, decibels, error_map, largest_mean, worst_crop
from hfmoe.evaluate.protocols import ImagePair
from hfmoe.image.files import read_picture


def pair(name="x.png", side=64, scale=1):
    return ImagePair(
        name, torch.full((1, 3, side // scale, side // scale), 0.5), torch.full((1, 3, side, side), 0.5)
    )


def test_the_worst_square_holds_the_error():
    given = pair()
    restored = given.target.clone()
    restored[..., 40:44, 8:12] = 1.0
    crop = worst_crop(given, restored, side=16, border=0)
    assert crop.top <= 40
    assert crop.top + 16 >= 44
    assert crop.left <= 8
    assert crop.left + 16 >= 12
    assert crop.mean_square == pytest.approx(16 * (128 / 255 - 1) ** 2 / 256, rel=0.01)


@pytest.mark.parametrize("size", [(107, 203), (96, 96), (100, 97), (31, 300)])
@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_the_largest_mean_is_found_in_every_corner(size: tuple[int, int], corner: tuple[int, int]):
    values = torch.zeros(size)
    values[corner] = 1.0
    square = largest_mean(values, side=32)
    assert float(values[square.place()].sum()) == 1.0
    assert square.mean == pytest.approx(1 / (square.height * square.width))


def test_the_border_holds_no_worst_square():
    given = pair()
    restored = given.target.clone()
    restored[..., :4, :] = 1.0
    assert worst_crop(given, restored, side=16, border=4).mean_square == 0


def test_errors_are_in_levels_of_8_bits():
    target = torch.full((3, 2, 2), 100 / 255)
    restored = target + torch.tensor([3.0, 0.0, 0.0])[:, None, None] / 255
    assert error_map(restored, target).flatten().tolist() == pytest.approx([3**0.5] * 4, rel=1e-4)


def test_decibels_are_psnr():
    assert decibels(0.01) == pytest.approx(20)
    assert decibels(0.0) == float("inf")


@pytest.mark.parametrize(("side", "scale"), [(8, 1), (40, 2), (130, 1)])
def test_an_album_writes_an_error_map_an_image_and_the_worst_squares(tmp_path, side, scale):
    album = Album(tmp_path / "pictures", "model", border=0, rows=2)
    for number in range(3):
        given = pair(f"{number}.png", side=side, scale=scale)
        album.add(given, given.target + 0.1 * number)
    album.finish()
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == ["error-0.png", "error-1.png", "error-2.png", "worst-crops.png"]
    assert [crop.name for crop in album.crops] == ["2.png", "1.png"]
    assert read_picture(tmp_path / "pictures" / "worst-crops.png").colour.std() > 0.05


def test_images_that_differ_in_their_suffix_alone_have_an_error_map_each(tmp_path):
    album = Album(tmp_path, "model", border=0)
    for name in ("a.png", "a.jpg"):
        given = pair(name, side=16)
        album.add(given, given.target)
    assert {path.name for path in tmp_path.iterdir()} == {"error-a.png", "error-a.jpg.png"}
