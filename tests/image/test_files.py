"""Image files: what goes in comes out, and what is no image is refused by name."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import pyvips
import torch

from hfmoe.image.files import (
    IMAGE_SUFFIXES,
    ImageError,
    Picture,
    flatten,
    list_images,
    printable,
    read_8bit,
    read_gray8,
    read_picture,
    read_rgb8,
    write_picture,
)
from hfmoe.image.writing import reason_of

LOSSLESS = [".png", ".tif", ".webp", ".avif"]


def _picture(*, channels=3, alpha=False, bits: Literal[8, 16] = 8, size=(21, 34), icc=None):
    generator = torch.Generator().manual_seed(channels + bits)
    top = 2**bits - 1

    def plane(count):
        return torch.randint(0, top + 1, (count, *size), generator=generator).float() / top

    return Picture(plane(channels), plane(1) if alpha else None, bits, icc)


def _srgb_profile(space="srgb"):
    """The profile that libvips carries, as bytes."""
    image = pyvips.Image.black(2, 2, bands=3).copy(interpretation="srgb").cast("uchar")
    stored = pyvips.Image.new_from_buffer(image.pngsave_buffer(profile=space), "")
    profile: Any = stored.get("icc-profile-data")
    return bytes(profile)


def _vips(array, **fields):
    image = pyvips.Image.new_from_array(array).copy(interpretation="srgb")
    for name, value in fields.items():
        image.set_type(pyvips.GValue.gint_type, name.replace("_", "-"), value)
    return image


def _noise(height, width, bands=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, bands), dtype=np.uint8)


@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize("alpha", [False, True], ids=["opaque", "alpha"])
def test_8_bit_colour_and_alpha_survive_lossless_formats_exactly(tmp_path, suffix, alpha):
    picture = _picture(alpha=alpha)
    write_picture(tmp_path / f"a{suffix}", picture, quality=100)
    back = read_picture(tmp_path / f"a{suffix}")
    assert back.bits == 8
    torch.testing.assert_close(back.colour, picture.colour, rtol=0, atol=1e-6)
    assert (back.alpha is None) == (not alpha)
    if alpha:
        torch.testing.assert_close(back.alpha, picture.alpha, rtol=0, atol=1e-6)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True], ids=["opaque", "alpha"])
def test_png_and_tiff_keep_every_level_of_gray_and_colour(tmp_path, suffix, bits, channels, alpha):
    picture = _picture(channels=channels, alpha=alpha, bits=bits)
    write_picture(tmp_path / f"a{suffix}", picture)
    back = read_picture(tmp_path / f"a{suffix}")
    assert (back.bits, back.colour.shape) == (bits, picture.colour.shape)
    top = 2**bits - 1
    assert torch.equal((back.colour * top).round(), (picture.colour * top).round())
    if back.alpha is not None and picture.alpha is not None:
        assert torch.equal((back.alpha * top).round(), (picture.alpha * top).round())


def test_avif_keeps_12_of_16_bits_with_white_staying_white(tmp_path):
    picture = Picture(torch.linspace(0, 1, 3 * 64 * 64).view(3, 64, 64), bits=16)
    write_picture(tmp_path / "a.avif", picture, quality=100)
    back = read_picture(tmp_path / "a.avif")
    assert back.bits == 16
    assert back.colour.max() == 1
    torch.testing.assert_close(back.colour, picture.colour, rtol=0, atol=0.51 / 4095)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_of_quality_100_is_within_a_few_levels(tmp_path, channels):
    picture = _picture(channels=channels)
    write_picture(tmp_path / "a.jpg", picture, quality=100)
    back = read_picture(tmp_path / "a.jpg")
    assert back.colour.shape == picture.colour.shape
    assert (back.colour - picture.colour).abs().max() < 6 / 255


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_the_icc_profile_is_kept_in_every_format(tmp_path, suffix):
    profile = _srgb_profile("p3")
    write_picture(tmp_path / f"a{suffix}", _picture(icc=profile))
    assert read_picture(tmp_path / f"a{suffix}").icc == profile


def test_a_colour_profile_on_a_gray_picture_is_refused(tmp_path):
    with pytest.raises(ImageError, match=r"a\.png.*profile"):
        write_picture(tmp_path / "a.png", _picture(channels=1, icc=_srgb_profile()))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_the_exif_orientation_is_applied(tmp_path, suffix):
    array = np.zeros((16, 32, 3), np.uint8)
    array[:, :16] = 255
    name = str(tmp_path / f"a{suffix}")
    _vips(array, orientation=6).write_to_file(name)
    colour = read_picture(name).colour
    assert colour.shape == (3, 32, 16)
    assert colour[:, :12].mean() > 0.95
    assert colour[:, 20:].mean() < 0.05


def test_palette_and_one_bit_images_are_read_as_their_colours(tmp_path):
    array = np.repeat(np.repeat(_noise(2, 2), 8, axis=0), 8, axis=1)
    _vips(array).pngsave(str(tmp_path / "palette.png"), palette=True)
    assert (read_rgb8(tmp_path / "palette.png").permute(1, 2, 0).numpy() == array).all()
    mask = (_noise(16, 16, 1) > 127).astype(np.uint8) * 255
    gray = pyvips.Image.new_from_array(mask).copy(interpretation="b-w")
    gray.tiffsave(str(tmp_path / "mask.tif"), bitdepth=1)
    assert (read_gray8(tmp_path / "mask.tif")[0].numpy() == mask[..., 0]).all()


def test_cmyk_becomes_rgb_of_nearly_the_same_colours(tmp_path):
    array = np.full((16, 16, 3), (120, 130, 140), np.uint8)
    _vips(array).colourspace("cmyk").tiffsave(str(tmp_path / "a.tif"))
    picture = read_picture(tmp_path / "a.tif")
    assert picture.icc is None
    assert (picture.colour * 255 - torch.tensor([120.0, 130, 140]).view(3, 1, 1)).abs().max() < 12


def test_reading_8_bits_expands_gray_rounds_16_bits_and_lays_alpha_on_white(tmp_path):
    write_picture(tmp_path / "gray.png", _picture(channels=1))
    gray, rgb = read_8bit(tmp_path / "gray.png"), read_rgb8(tmp_path / "gray.png")
    assert gray.shape[0] == 1
    assert torch.equal(rgb, gray.expand(3, -1, -1))
    deep = _picture(bits=16)
    write_picture(tmp_path / "deep.png", deep)
    assert torch.equal(read_rgb8(tmp_path / "deep.png"), (deep.colour * 255 + 0.5).floor().to(torch.uint8))
    clear = Picture(torch.zeros(3, 2, 2), torch.tensor([[[0.0, 1.0], [0.0, 1.0]]]))
    write_picture(tmp_path / "clear.png", clear)
    assert read_rgb8(tmp_path / "clear.png")[0].tolist() == [[255, 0], [255, 0]]


def test_gray_of_a_colour_file_is_its_full_range_luma(tmp_path):
    write_picture(tmp_path / "a.png", Picture(torch.tensor([1.0, 0, 0]).view(3, 1, 1).expand(3, 2, 2)))
    assert read_gray8(tmp_path / "a.png").unique().tolist() == [76]


def test_flattening_lays_colour_over_the_background():
    picture = Picture(torch.full((3, 1, 1), 0.5), torch.full((1, 1, 1), 0.25))
    assert flatten(picture, background=0.0).colour.flatten().tolist() == [0.125] * 3
    assert flatten(Picture(picture.colour)).colour is picture.colour


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_a_file_that_is_cut_off_is_refused_by_name(tmp_path, suffix, share):
    write_picture(tmp_path / f"whole{suffix}", _picture(size=(120, 120)))
    content = (tmp_path / f"whole{suffix}").read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ImageError, match=rf"cut\{suffix}: .*cut off"):
        read_picture(tmp_path / f"cut{suffix}")


@pytest.mark.parametrize(
    ("content", "rule"),
    [(b"", "empty"), (b"hello", "not a PNG"), (b"1,2\n3,4\n", "not a PNG"), (None, "No such")],
)
def test_what_is_no_image_is_refused_by_name(tmp_path, content, rule):
    path = tmp_path / "odd.png"
    if content is not None:
        path.write_bytes(content)
    for read in (read_picture, read_rgb8, read_gray8):
        with pytest.raises(ImageError, match=rf"odd\.png: .*{rule}") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_folders_pages_floats_and_other_formats_are_refused_by_name(tmp_path):
    with pytest.raises(ImageError, match="folder"):
        read_picture(tmp_path)
    _vips(_noise(40, 20), page_height=20).webpsave(str(tmp_path / "moving.webp"), page_height=20)
    _vips(_noise(40, 20), page_height=20).tiffsave(str(tmp_path / "pages.tif"), page_height=20)
    for name in ("moving.webp", "pages.tif"):
        with pytest.raises(ImageError, match=rf"{name}: .*2 pages"):
            read_picture(tmp_path / name)
    _vips(_noise(8, 8)).cast("float").tiffsave(str(tmp_path / "float.tif"))
    with pytest.raises(ImageError, match=r"float\.tif: floats from 0 to 2.., most of them outside"):
        read_picture(tmp_path / "float.tif")
    _vips(_noise(8, 8)).cast("int").tiffsave(str(tmp_path / "int.tif"))
    with pytest.raises(ImageError, match=r"int\.tif: samples of type int; unsigned integers of 8 or 16"):
        read_picture(tmp_path / "int.tif")
    _vips(_noise(8, 8)).gifsave(str(tmp_path / "a.gif"))
    with pytest.raises(ImageError, match=r"a\.gif: a GIF file"):
        read_picture(tmp_path / "a.gif")


def test_an_image_over_the_pixel_limit_is_refused_before_it_is_decoded(tmp_path):
    write_picture(tmp_path / "a.png", _picture(size=(10, 11)))
    assert read_picture(tmp_path / "a.png", max_pixels=110).colour.shape == (3, 10, 11)
    with pytest.raises(ImageError, match=r"a\.png: 11 x 10 .*109"):
        read_picture(tmp_path / "a.png", max_pixels=109)


@pytest.mark.parametrize("name", ["photo[1].png", "a[page=2].tif", "naïve ф.png", "[].webp"])
def test_brackets_and_letters_in_a_name_are_only_a_name(tmp_path, name):
    picture = _picture()
    write_picture(tmp_path / name, picture, quality=100)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    torch.testing.assert_close(read_picture(tmp_path / name).colour, picture.colour)


def test_a_rewritten_file_is_read_anew(tmp_path):
    for level in (0.0, 1.0):
        write_picture(tmp_path / "a.png", Picture(torch.full((3, 4, 4), level)))
        assert read_picture(tmp_path / "a.png").colour.unique().tolist() == [level]


def test_colours_out_of_range_are_clamped_and_rounded(tmp_path):
    colour = torch.tensor([-0.5, 1.5, 100.4 / 255, 100.6 / 255]).view(1, 2, 2)
    write_picture(tmp_path / "a.png", Picture(colour))
    assert read_gray8(tmp_path / "a.png").flatten().tolist() == [0, 255, 100, 101]


def _nan():
    return Picture(torch.full((3, 4, 4), float("nan")))


@pytest.mark.parametrize(
    ("name", "picture", "rule"),
    [
        ("a.bmp", _picture(), r"\.png, \.jpg"),
        ("a", _picture(), "suffix ''"),
        ("missing/a.png", _picture(), "does not exist"),
        ("a.jpg", _picture(alpha=True), "no alpha"),
        ("a.png", _nan(), "NaN"),
        (f"{'long' * 64}.png", _picture(), "cannot be written"),
    ],
)
def test_a_failed_write_names_the_file_and_leaves_nothing(tmp_path, name, picture, rule):
    with pytest.raises(ImageError, match=rule) as caught:
        write_picture(tmp_path / name, picture)
    assert name in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_half_way_keeps_the_old_file(tmp_path, monkeypatch):
    write_picture(tmp_path / "a.png", Picture(torch.zeros(3, 4, 4)))
    before = (tmp_path / "a.png").read_bytes()

    def break_off(image, path, **_options):
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(b"half")
        raise pyvips.Error("no space left")

    monkeypatch.setattr(pyvips.Image, "pngsave", break_off, raising=False)
    with pytest.raises(ImageError, match=r"a\.png: cannot be written"):
        write_picture(tmp_path / "a.png", Picture(torch.ones(3, 4, 4)))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == before


def test_a_full_place_is_called_so_even_when_another_thread_took_the_words_from_libvips():
    error = pyvips.Error("unable to call", detail="vips2png: unable to write to target /dev/full")
    assert reason_of(error, place=Path("/dev/full")) == "No space left on device"


def test_what_the_system_does_not_refuse_is_told_in_the_words_of_libvips(tmp_path):
    error = pyvips.Error("unable to call", detail="vips2png: cannot do that")
    assert reason_of(error, place=tmp_path / "a.png") == "vips2png: cannot do that"


def test_a_quality_out_of_range_is_refused(tmp_path):
    with pytest.raises(ImageError, match="quality 0"):
        write_picture(tmp_path / "a.jpg", _picture(), quality=0)


@pytest.mark.parametrize(
    "fields",
    [
        {"colour": torch.zeros(2, 4, 4)},
        {"colour": torch.zeros(3, 0, 4)},
        {"colour": torch.zeros(3, 4, 4), "alpha": torch.zeros(1, 4, 5)},
        {"colour": torch.zeros(3, 4, 4), "bits": 10},
    ],
)
def test_a_picture_that_no_file_can_hold_is_refused(fields):
    with pytest.raises((ValueError, TypeError)):
        Picture(**fields)


def test_listing_gives_images_by_name_and_nothing_hidden(tmp_path):
    for name in ("b.PNG", "a.jpg", "notes.txt", ".hidden.png", "deep/c.webp", ".git/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.PNG"]
    found = list_images(tmp_path, recursive=True)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["a.jpg", "b.PNG", "deep/c.webp"]


def test_listing_takes_what_restore_takes_and_names_the_other_images(tmp_path, caplog):
    for name in ("a.bmp", "b.ppm", "c.heic", "d.jxl", "e.JPE"):
        (tmp_path / name).touch()
    (tmp_path / "photo.psd").write_bytes(b"8BPS")
    (tmp_path / "moving.gif").write_bytes(b"GIF89a")
    (tmp_path / "notes.txt").write_text("no image")
    for _ in range(2):
        assert [path.name for path in list_images(tmp_path)] == ["a.bmp", "b.ppm", "c.heic", "d.jxl", "e.JPE"]
    said = [record.getMessage() for record in caplog.records]
    wanted = "not taken, though images by their content: moving.gif (a GIF) and 1 more"
    assert said == [f"{tmp_path}: {wanted}"]


def test_a_printable_name_is_one_line_without_control_characters():
    assert printable(Path("new\nline\x1b[31m\u2028.png")) == r"new\nline\x1b[31m\u2028.png"
    assert printable(b"caf\xe9 \xe3\x80\x80.png".decode("utf-8", "surrogateescape")) == "caf\\xe9 \u3000.png"


def test_listing_what_is_no_folder_is_refused_by_name(tmp_path):
    with pytest.raises(ImageError, match="nowhere: no such folder"):
        list_images(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match="file: not a folder"):
        list_images(tmp_path / "file")


def test_a_folder_in_the_way_of_a_write_is_named_and_kept(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(ImageError, match=r"a\.png: a folder is in the way"):
        write_picture(tmp_path / "a.png", _picture())
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
