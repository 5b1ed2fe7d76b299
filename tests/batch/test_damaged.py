"""Damaged photos that are kept: what decoded is restored, and how much is missing is said."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

import hfmoe
from hfmoe.batch.settings import Settings
from hfmoe.cli.app import run
from hfmoe.image.damaged import read_kept
from hfmoe.image.files import ImageError, read_arrays

PHOTO = skimage.data.astronaut()[:160, :120]


def cut(path: Path, form: str, share: float, **options: object) -> Path:
    file = io.BytesIO()
    Image.fromarray(PHOTO).save(file, form, **options)
    content = file.getvalue()
    path.write_bytes(content[: int(len(content) * share) if share < 1 else len(content) - 2])
    return path


@pytest.mark.parametrize(
    ("form", "options", "share", "missing"),
    [
        ("jpeg", {"quality": 90}, 0.6, (0.3, 0.55)),
        ("jpeg", {"quality": 90}, 1, (0, 0)),
        ("jpeg", {"quality": 90, "progressive": True}, 1, (0, 0)),
        ("jpeg", {"quality": 90, "progressive": True}, 0.7, (0, 0)),
        ("png", {}, 0.5, (0.3, 0.85)),
    ],
)
def test_what_decoded_is_kept_and_the_rest_is_told(tmp_path: Path, form, options, share, missing):
    path = cut(tmp_path / f"a.{form}", form, share, **options)
    with pytest.raises(ImageError, match="damaged or cut off"):
        read_arrays(path)
    picture = read_kept(path)
    assert picture.missing is not None
    assert missing[0] <= picture.missing <= missing[1]
    rows = int(160 * (1 - picture.missing)) - 16
    expected = PHOTO.transpose(2, 0, 1)[:, :rows] / 255
    assert np.abs(picture.colour[:, :rows] - expected).mean() < 0.05


def test_the_summary_says_how_much_is_missing(tmp_path: Path, tiny_weights: Path, capsys):
    source = cut(tmp_path / "a.jpg", "jpeg", 0.6, quality=90)
    arguments = ["restore", str(source), "--model", str(tiny_weights)]
    assert run(arguments) == 1
    capsys.readouterr()
    assert run([*arguments, "--damaged", "keep"]) == 0
    assert "% of its rows are missing)" in capsys.readouterr().out
    assert read_arrays(tmp_path / "a-x2.png").colour.shape == (3, 320, 240)
    summary = hfmoe.restore_files(source, tmp_path / "b.png", model=tiny_weights, damaged="keep")
    assert 0.3 < (summary.done[0].missing or 0) < 0.55
    Image.fromarray(PHOTO).save(tmp_path / "whole.png")
    whole = hfmoe.restore_files(tmp_path / "whole.png", model=tiny_weights, damaged="keep")
    assert whole.done[0].missing is None


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0", b"text", b"\x89PNG\r\n\x1a\n"])
def test_what_holds_nothing_is_refused_as_ever(tmp_path: Path, content: bytes):
    (tmp_path / "a.jpg").write_bytes(content)
    said = []
    for read in (read_arrays, read_kept):
        with pytest.raises(ImageError) as error:
            read(tmp_path / "a.jpg")
        said.append(str(error.value))
    assert said[0] == said[1]


def test_a_header_that_claims_far_more_than_there_is_is_refused(tmp_path: Path):
    path = cut(tmp_path / "a.png", "png", 0.5)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 12_000, 12_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    with pytest.raises(ImageError, match="damaged or cut off"):
        read_kept(path)


def test_other_formats_and_streams_are_refused(tmp_path: Path):
    path = cut(tmp_path / "a.webp", "webp", 0.5)
    with pytest.raises(ImageError, match="cut off"):
        read_kept(path)
    with pytest.raises(ValueError, match="stream on: damaged keep needs the whole image"):
        Settings(damaged="keep", stream="on")
    with pytest.raises(ValueError, match="damaged 'mend' must be one of refuse, keep"):
        Settings(damaged="mend")
    assert "damaged" not in Settings().of_results()
