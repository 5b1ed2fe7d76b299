"""BMP, TGA, JPEG 2000 and netpbm: their pixels, depth and profile, and what is refused by name."""

import builtins
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

import hfmoe
from hfmoe.cli.app import run
from hfmoe.image.files import ImageError, read_facts, read_picture


def pixels(bands: int = 3, kind: str = "u1") -> np.ndarray:
    top = np.iinfo(kind).max
    return np.random.default_rng(0).integers(0, top + 1, (12, 17, bands)).astype(kind).squeeze()


def samples(path: Path, bits: int = 8) -> np.ndarray:
    picture = read_picture(path)
    bands = [picture.colour] if picture.alpha is None else [picture.colour, picture.alpha]
    levels = [np.round(part.numpy() * (2**bits - 1)) for part in bands]
    return np.concatenate(levels).transpose(1, 2, 0).squeeze().astype(int)


@pytest.mark.parametrize(
    ("name", "bands"),
    [("a.bmp", 3), ("a.bmp", 1), ("a.tga", 3), ("a.tga", 4), ("a.tga", 1), ("a.jp2", 3), ("a.j2k", 1)]
    + [("a.jp2", 4), ("a.ppm", 3), ("a.pgm", 1)],
)
def test_pixels_are_those_of_the_file(tmp_path: Path, name: str, bands: int):
    Image.fromarray(pixels(bands)).save(tmp_path / name)
    assert np.array_equal(samples(tmp_path / name), pixels(bands))
    facts = read_facts(tmp_path / name)
    assert (facts.height, facts.width, facts.channels) == (12, 17, 3 if bands > 2 else 1)


def test_palettes_bitmaps_and_files_without_their_suffix(tmp_path: Path):
    palette = Image.fromarray(pixels()).convert("P")
    palette.save(tmp_path / "p.bmp")
    assert np.array_equal(samples(tmp_path / "p.bmp"), np.asarray(palette.convert("RGB")))
    bitmap = Image.fromarray(pixels(1)).convert("1")
    bitmap.save(tmp_path / "b.pbm")
    assert np.array_equal(samples(tmp_path / "b.pbm"), np.asarray(bitmap.convert("L")))
    Image.fromarray(pixels()).save(tmp_path / "a.bmp")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.bmp").read_bytes())
    assert np.array_equal(samples(tmp_path / "a.png"), pixels())


def test_a_resolution_is_kept_where_it_can_be_one(tmp_path: Path):
    for dpi, kept in ((200, True), (40_000_000, False)):
        Image.fromarray(pixels()).save(tmp_path / "a.bmp", dpi=(dpi, dpi))
        resolution = read_picture(tmp_path / "a.bmp").metadata.resolution
        assert (resolution is not None and abs(resolution[0] * 25.4 - dpi) < 1) == kept


def test_sixteen_bits_stay(tmp_path: Path):
    deep = pixels(3, "u2")
    (tmp_path / "a.ppm").write_bytes(b"P6 # a comment\n17 12\n65535\n" + deep.astype(">u2").tobytes())
    assert np.array_equal(samples(tmp_path / "a.ppm", 16), deep)
    Image.fromarray(pixels(1, "u2")).save(tmp_path / "a.jp2")
    assert np.array_equal(samples(tmp_path / "a.jp2", 16), pixels(1, "u2"))
    (tmp_path / "b.pgm").write_bytes(b"P5 2 1 1023\n" + np.array([0, 1023], ">u2").tobytes())
    assert samples(tmp_path / "b.pgm", 16).tolist() == [0, 65535]
    (tmp_path / "c.pgm").write_bytes(b"P5 2 1 15\n\x05\x0f")
    assert samples(tmp_path / "c.pgm").tolist() == [85, 255]


def test_colours_of_jpeg_2000_of_more_than_8_bits_are_refused_rather_than_cut(tmp_path: Path):
    Image.fromarray(pixels()).save(tmp_path / "a.jp2")
    content = bytearray((tmp_path / "a.jp2").read_bytes())
    content[content.index(b"ihdr") + 14] = 11
    (tmp_path / "a.jp2").write_bytes(content)
    with pytest.raises(ImageError, match="JPEG 2000 of 12 bits in colour, of which 8 would be read"):
        read_picture(tmp_path / "a.jp2")


@pytest.mark.parametrize("name", ["a.bmp", "a.tga", "a.jp2", "a.ppm", "a.pbm"])
@pytest.mark.parametrize("share", [0.4, 0.8])
def test_a_cut_file_is_damaged(tmp_path: Path, name: str, share: float):
    image = Image.fromarray(pixels()).convert("1" if name == "a.pbm" else "RGB")
    image.save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ImageError, match=f"{name}: (damaged|cut off)"):
        read_picture(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"P6 0 4 255\n", "damaged"),
        (b"P6 99999 99999 255\n", "pixels are more than the limit"),
        (b"P6 2 2 70000\n", "levels to 70000"),
        (b"P6 " + b"9" * 5000, "no header of netpbm"),
        (b"P5 1 1 255\n\0P5 1 1 255\n\0", "more than one picture"),
        (b"P7\nWIDTH 1\n", "a netpbm of a kind that is not read"),
    ],
)
def test_hostile_netpbm_is_refused_by_name(tmp_path: Path, content: bytes, rule: str):
    (tmp_path / "a.ppm").write_bytes(content)
    with pytest.raises(ImageError, match=rule):
        read_picture(tmp_path / "a.ppm")


def test_a_missing_pillow_is_named(tmp_path: Path, monkeypatch):
    Image.fromarray(pixels()).save(tmp_path / "a.bmp")
    real = builtins.__import__

    def missing(name: str, *rest: object):
        if name == "PIL":
            raise ImportError(name)
        return real(name, *rest)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(builtins, "__import__", missing)
    monkeypatch.delitem(sys.modules, "PIL")
    with pytest.raises(ImageError, match=r"a\.bmp: BMP needs Pillow: pip install 'hf-moe-ir\[formats\]'"):
        read_picture(tmp_path / "a.bmp")


def test_the_profile_of_a_jpeg_2000_is_kept(tmp_path: Path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels()).save(tmp_path / "plain.jp2")
    content = (tmp_path / "plain.jp2").read_bytes()
    at = content.index(b"colr") - 4
    length = int.from_bytes(content[at : at + 4], "big")
    box = (11 + len(profile)).to_bytes(4, "big") + b"colr\2\0\0" + profile
    head = content.index(b"jp2h") - 4
    grown = int.from_bytes(content[head : head + 4], "big") + len(box) - length
    new = content[:head] + grown.to_bytes(4, "big") + content[head + 4 : at] + box + content[at + length :]
    (tmp_path / "a.jp2").write_bytes(new)
    with Image.open(tmp_path / "a.jp2") as opened:
        known = opened.info.get("icc_profile")
    assert read_picture(tmp_path / "a.jp2").icc == known


def test_images_by_their_content_alone_are_counted_and_named(tmp_path: Path, tiny_weights: Path, capsys):
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels()).save(tmp_path / "in/a.bmp")
    (tmp_path / "in/b.psd").write_bytes(b"8BPS\0\1")
    Image.fromarray(pixels()).save(tmp_path / "in/c.gif")
    Image.fromarray(pixels()).save(tmp_path / "in/d", "png")
    (tmp_path / "in/notes.txt").write_text("BMX and other words")
    (tmp_path / "in/data.json").write_text("{}")
    arguments = ["restore", str(tmp_path / "in"), "--model", str(tiny_weights)]
    assert run(arguments) == 0
    out = capsys.readouterr().out
    assert "a-x2.png  34 x 24" in out
    assert f"not taken, though images by their content: {tmp_path}/in/b.psd (a PSD) and 2 more" in out
    summary = hfmoe.restore_files(tmp_path / "in", tmp_path / "out", model=tiny_weights, exclude=["c.gif"])
    assert [(one.path.name, one.kind) for one in summary.not_taken] == [("b.psd", "a PSD"), ("d", "a PNG")]
    (tmp_path / "in/a.bmp").unlink()
    assert run(arguments) == 2
    assert "in/b.psd is a PSD" in capsys.readouterr().err


def test_a_set_of_bmp_is_scored(tmp_path: Path):
    import torch

    from hfmoe.evaluate.protocols import classical_sr

    Image.fromarray(np.tile(pixels(), (3, 3, 1))).save(tmp_path / "a.bmp")
    [pair] = classical_sr(2).pairs(tmp_path)
    assert pair.target.shape == (1, 3, 36, 50)
    assert torch.equal(
        (pair.target[0, :, :12, :17] * 255).round().byte().permute(1, 2, 0), torch.tensor(pixels())
    )
