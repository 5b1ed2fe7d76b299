"""What people have in hand: Pillow's images, bytes, files, tensors of integers, and lists of them."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import hfmoe
from hfmoe.image.files import ImageError, Picture
from hfmoe.infer.restorer import Restorer


@pytest.fixture(scope="module")
def restorer(tiny_weights: Path) -> Restorer:
    return hfmoe.load(tiny_weights, device="cpu")


def levels(*shape: int, kind: str = "u1") -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, shape).astype(kind)


def png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "png")
    return file.getvalue()


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_pillow_image_gives_one_of_its_mode_with_the_pixels_of_its_array(restorer: Restorer, mode: str):
    array = levels(20, 24, 4)[..., : len(mode)].squeeze()
    result = hfmoe.restore(Image.fromarray(array), restorer)
    assert (type(result), result.mode) == (Image.Image, mode)
    assert np.array_equal(np.asarray(result), hfmoe.restore(array, restorer))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("1", "L"), ("P", "RGB"), ("I;16", "I;16"), ("I", "I;16"), ("F", "F"), ("YCbCr", "RGB")],
)
def test_other_modes_give_one_that_holds_the_same(restorer: Restorer, mode: str, expected: str):
    plain = Image.fromarray(levels(20, 24))
    if mode == "F":
        plain = Image.fromarray(np.asarray(plain).astype(np.float32) / 255)
    elif mode != "I;16":
        plain = plain.convert(mode)
    else:
        plain = Image.fromarray(levels(20, 24, kind="u2"))
    result = hfmoe.restore(plain, restorer)
    assert (result.mode, result.size) == (expected, (48, 40))


def test_a_pillow_image_keeps_its_profile_and_exif_and_its_transparent_colour(restorer: Restorer):
    image = Image.fromarray(levels(20, 24, 3))
    image.info = {"icc_profile": b"profile", "exif": b"Exif\0\0", "dpi": (72, 72), "gamma": 1}
    assert hfmoe.restore(image, restorer).info == {k: v for k, v in image.info.items() if k != "gamma"}
    palette = Image.fromarray(levels(20, 24)).convert("P")
    palette.info["transparency"] = 0
    assert hfmoe.restore(palette, restorer).mode == "RGBA"


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "HSV"])
def test_modes_whose_colours_need_a_profile_are_refused(restorer: Restorer, mode: str):
    with pytest.raises(ValueError, match=f"mode {mode} must be converted to RGB first"):
        hfmoe.restore(Image.new(mode, (8, 8)), restorer)
    with pytest.raises(ValueError, match="mode I from -1 to -1 must be in"):
        hfmoe.restore(Image.new("I", (8, 8), -1), restorer)


def test_bytes_and_files_give_bytes_of_the_same_picture(restorer: Restorer, tmp_path: Path):
    array = levels(20, 24, 3)
    expected = hfmoe.restore(array, restorer)
    (tmp_path / "a.png").write_bytes(png(array))
    with (tmp_path / "a.png").open("rb") as file:
        for source in (png(array), bytearray(png(array)), io.BytesIO(png(array)), file):
            result = hfmoe.restore(source, restorer)
            assert isinstance(result, bytes)
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(result))), expected)
    assert hfmoe.restore(png(array), restorer, format="jpg", quality=90)[:3] == b"\xff\xd8\xff"
    assert isinstance(hfmoe.restore(tmp_path / "a.png", restorer), Picture)


def test_bytes_that_cannot_be_used_name_the_rule(restorer: Restorer, tmp_path: Path):
    with pytest.raises(ImageError, match="the image: the file is empty"):
        hfmoe.restore(b"", restorer)
    with pytest.raises(ImageError, match="the image: cut off, or not a"):
        hfmoe.restore(b"text", restorer)
    with pytest.raises(TypeError, match="StringIO gives str; open the file as binary"):
        hfmoe.restore(io.StringIO("text"), restorer)
    with pytest.raises(ImageError, match="suffix '.bmp' is none of"):
        hfmoe.restore(png(levels(9, 9, 3)), restorer, format="bmp")
    with pytest.raises(ImageError, match="result.jpg: JPEG holds no alpha"):
        hfmoe.restore(png(levels(9, 9, 4)), restorer, format="jpg")
    (tmp_path / "cut.png").write_bytes(png(levels(99, 99, 3))[:2000])
    with (tmp_path / "cut.png").open("rb") as file, pytest.raises(ImageError, match=r"cut\.png: damaged"):
        hfmoe.restore(file, restorer)


@pytest.mark.parametrize("kind", [torch.uint8, torch.uint16])
def test_tensors_of_integers_are_restored_as_arrays_are(restorer: Restorer, kind: torch.dtype):
    array = levels(20, 24, 4, kind=str(kind).removeprefix("torch."))
    tensor = torch.from_numpy(array.transpose(2, 0, 1).copy())
    result = hfmoe.restore(tensor, restorer)
    assert result.dtype == kind
    expected = hfmoe.restore(array, restorer).astype(int)
    assert np.abs(result.numpy().transpose(1, 2, 0).astype(int) - expected).max() <= 1
    assert hfmoe.restore(tensor[None, :3], restorer).shape == (1, 3, 40, 48)


def test_a_list_gives_a_list_of_the_kinds_in_it(restorer: Restorer):
    array = levels(20, 24, 3)
    plain, pillow, data = hfmoe.restore([array, Image.fromarray(array), png(array)], restorer, width=30)
    assert (plain.shape, pillow.size, data[:4]) == ((25, 30, 3), (30, 25), b"\x89PNG")
    assert hfmoe.restore([], restorer) == []
    with pytest.raises(TypeError, match="int is no path"):
        hfmoe.restore([[1, 2], [3, 4]], restorer)
