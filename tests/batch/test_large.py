"""Part by part: the pixels and facts of the ordinary path, from the disk, and on after an interrupt."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import skimage.data
import torch
from PIL import Image, ImageCms

import hfmoe
from hfmoe.batch import large
from hfmoe.batch.large import goes_by_parts, restore_large
from hfmoe.batch.settings import Settings
from hfmoe.cli.app import run
from hfmoe.image.files import ImageError, Metadata, Picture, read_picture, write_picture
from hfmoe.image.streaming import Canvas
from hfmoe.infer.restorer import Restorer

TILE = 112
SIZE = (150, 140)
"""Three rows of two tiles of that side, of which each reaches into the next but one."""


def colours(channels: int = 3, height: int = SIZE[0], width: int = SIZE[1]) -> torch.Tensor:
    pixels = skimage.data.astronaut()[:height, 100 : 100 + width]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[:channels].float() / 255


def cut_out(height: int = SIZE[0], width: int = SIZE[1]) -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return ((1 - (y**2 + x**2).sqrt()) * 20 + 2).clamp(0, 1)[None]


@pytest.fixture(scope="module")
def restorer(tiny_weights: Path) -> Restorer:
    return hfmoe.load(tiny_weights)


def both_ways(source: Path, restorer: Restorer, suffix: str, **settings: Any) -> tuple[Picture, Picture]:
    """A file restored as a whole picture in tiles, and part by part."""
    whole, parts = source.with_name(f"whole{suffix}"), source.with_name(f"parts{suffix}")
    picture = Settings().prepared(read_picture(source), model=restorer.facts.name)
    write_picture(whole, restorer.picture(picture, tile=TILE, **settings))
    restore_large(source, parts, restorer, Settings(tile=TILE, **settings))
    left = {path.name for path in source.parent.iterdir()} - {source.name, whole.name, parts.name}
    assert not left
    return read_picture(whole), read_picture(parts)


def kinds() -> dict[str, tuple[Picture, str]]:
    resolution = Metadata(resolution=(5.0, 4.0))
    bright = colours() * 1.3
    return {
        "colour": (Picture(colours(), metadata=resolution), ".png"),
        "gray of 16 bits": (Picture(colours(1), bits=16), ".png"),
        "16 bits and alpha": (Picture(colours(), cut_out(), bits=16), ".tif"),
        "gray and alpha": (Picture(colours(1), cut_out()), ".png"),
        "opaque alpha": (Picture(colours(), torch.ones(1, *SIZE)), ".png"),
        "floats": (Picture(bright, bits=32), ".tif"),
        "floats and alpha": (Picture(bright, cut_out(), bits=32), ".tif"),
        "a strip": (Picture(colours(height=1)), ".png"),
        "a pixel with alpha": (Picture(colours(height=1, width=1), torch.zeros(1, 1, 1)), ".png"),
    }


@pytest.mark.parametrize("kind", kinds())
def test_parts_are_pixel_by_pixel_what_the_whole_is(kind: str, restorer: Restorer, tmp_path: Path):
    picture, suffix = kinds()[kind]
    source = tmp_path / f"in{suffix}"
    write_picture(source, picture)
    whole, parts = both_ways(source, restorer, suffix)
    hidden = 1e-5 if picture.alpha is not None or picture.bits == 32 else 0
    step = 0 if picture.bits == 32 or not hidden else 1.01 / (2**picture.bits - 1)
    assert (whole.colour - parts.colour).abs().max() <= max(step, hidden)
    if picture.bits != 32:
        assert (whole.colour != parts.colour).float().mean() < (0.02 if hidden else 1e-9)
    assert (whole.alpha is None) == (parts.alpha is None)
    if whole.alpha is not None and parts.alpha is not None:
        assert torch.equal(whole.alpha, parts.alpha)
    assert (whole.bits, whole.icc, whole.metadata) == (parts.bits, parts.icc, parts.metadata)


def test_effort_and_strength_are_taken(restorer: Restorer, tmp_path: Path):
    write_picture(tmp_path / "in.png", Picture(colours()))
    whole, parts = both_ways(tmp_path / "in.png", restorer, ".png", effort=0.0, strength=0.3)
    assert torch.equal(whole.colour, parts.colour)


@pytest.mark.parametrize("turn", [2, 3, 6, 7])
def test_a_turned_photo_comes_out_upright_with_profile_and_exif(
    turn: int, restorer: Restorer, tmp_path: Path
):
    exif = Image.Exif()
    exif[0x112], exif[0x10F] = turn, "Maker"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = (colours().permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    source = tmp_path / "in.jpg"
    Image.fromarray(pixels).save(source, exif=exif.tobytes(), icc_profile=profile, quality=95)
    whole, parts = both_ways(source, restorer, ".png")
    assert torch.equal(whole.colour, parts.colour)
    assert parts.icc == profile
    assert parts.metadata == whole.metadata
    assert parts.metadata.exif is not None


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif", ".tif"])
def test_every_format_is_written_part_by_part(suffix: str, restorer: Restorer, tmp_path: Path):
    write_picture(tmp_path / "in.png", Picture(colours(1), bits=16))
    whole, parts = both_ways(tmp_path / "in.png", restorer, suffix)
    assert torch.equal(whole.colour, parts.colour)


def test_cmyk_is_converted_as_ever(restorer: Restorer, tmp_path: Path):
    pixels = (colours().permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    Image.fromarray(pixels).convert("CMYK").save(tmp_path / "in.tif")
    whole, parts = both_ways(tmp_path / "in.tif", restorer, ".png")
    assert torch.equal(whole.colour, parts.colour)


class Stop(BaseException):
    """As Ctrl-C."""


@pytest.mark.parametrize("rows", [1, 2])
def test_an_interrupted_file_is_gone_on_with(rows: int, restorer: Restorer, tmp_path: Path, monkeypatch):
    write_picture(tmp_path / "in.png", Picture(colours(), cut_out()))
    settings = Settings(tile=TILE)
    target = tmp_path / "out.png"

    def stop(done: int, total: int) -> None:
        if done > rows * 2 and done < total:
            raise Stop

    with pytest.raises(Stop):
        restore_large(tmp_path / "in.png", target, restorer, settings, key=["a"], on_tile=stop)
    assert not target.exists()
    assert (tmp_path / ".out.png.part").exists()
    seen: list[int] = []
    put = Canvas.put

    def watched(canvas: Canvas, block: Picture, row: int, column: int) -> None:
        seen.append(row)
        put(canvas, block, row, column)

    monkeypatch.setattr(Canvas, "put", watched)
    restore_large(tmp_path / "in.png", target, restorer, settings, key=["a"])
    assert {path.name for path in tmp_path.iterdir()} == {"in.png", "out.png"}
    assert seen[0] == {1: 32, 2: 96}[rows]
    restore_large(tmp_path / "in.png", tmp_path / "at-once.png", restorer, settings)
    assert torch.equal(read_picture(target).colour, read_picture(tmp_path / "at-once.png").colour)


@pytest.mark.parametrize("change", ["key", "effort", "tile", "state", "part"])
def test_another_file_or_setting_begins_anew(change: str, restorer: Restorer, tmp_path: Path):
    write_picture(tmp_path / "in.png", Picture(colours()))
    target = tmp_path / "out.png"

    def stop(done: int, total: int) -> None:
        if done == total:
            raise Stop

    with pytest.raises(Stop):
        restore_large(tmp_path / "in.png", target, restorer, Settings(tile=TILE), key=["a"], on_tile=stop)
    if change == "state":
        (tmp_path / ".out.png.state").write_bytes(b"{")
    if change == "part":
        (tmp_path / ".out.png.part").write_bytes(b"")
    settings = Settings(tile=128 if change == "tile" else TILE, effort=0.0 if change == "effort" else 0.5)
    seen: list[int] = []
    key = ["b"] if change == "key" else ["a"]
    restore_large(
        tmp_path / "in.png", target, restorer, settings, key=key, on_tile=lambda done, _: seen.append(done)
    )
    assert seen[0] == 1


def test_a_damaged_file_leaves_nothing(restorer: Restorer, tmp_path: Path):
    write_picture(tmp_path / "in.png", Picture(colours()))
    content = (tmp_path / "in.png").read_bytes()
    (tmp_path / "in.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match=r"in\.png: damaged or cut off"):
        restore_large(tmp_path / "in.png", tmp_path / "out.png", restorer, Settings(tile=TILE))
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]


def test_a_disk_without_room_is_said_before_the_work(restorer: Restorer, tmp_path: Path, monkeypatch):
    write_picture(tmp_path / "in.png", Picture(colours()))
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("hfmoe.image.streaming.shutil.disk_usage", lambda _: usage)
    with pytest.raises(ImageError, match=r"out\.png: .* are more than the 0\.0 MiB on the disk"):
        restore_large(tmp_path / "in.png", tmp_path / "out.png", restorer, Settings(tile=TILE))
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]


def test_it_is_chosen_when_memory_does_not_hold_the_whole(restorer: Restorer, tmp_path: Path, monkeypatch):
    write_picture(tmp_path / "in.png", Picture(colours()))
    assert not goes_by_parts(tmp_path / "in.png", restorer, Settings())
    monkeypatch.setattr("hfmoe.infer.restorer.free_bytes", lambda _: 2**20)
    assert goes_by_parts(tmp_path / "in.png", restorer, Settings())
    assert not goes_by_parts(tmp_path / "in.png", restorer, Settings(stream="off"))
    assert not goes_by_parts(tmp_path / "in.png", restorer, Settings(ensemble=True))
    monkeypatch.setattr(large, "MAX_PIXELS", 100)
    assert goes_by_parts(tmp_path / "in.png", restorer, Settings(ensemble=True))
    with pytest.raises(ValueError, match="an ensemble turns the whole image"):
        restore_large(tmp_path / "in.png", tmp_path / "out.png", restorer, Settings(ensemble=True))


def test_a_small_file_that_claims_to_be_huge_is_refused_unless_it_is_asked_for(
    restorer: Restorer, tmp_path: Path
):
    pyvips.Image.black(20000, 20000).cast("uchar").pngsave(str(tmp_path / "flat.png"), bitdepth=1)
    with pytest.raises(ImageError, match="20000 x 20000 pixels in .* bytes look like a decompression bomb"):
        goes_by_parts(tmp_path / "flat.png", restorer, Settings())
    assert goes_by_parts(tmp_path / "flat.png", restorer, Settings(stream="on"))


def test_the_command_goes_by_parts_and_knows_them_again(tiny_weights: Path, tmp_path: Path, capsys):
    (tmp_path / "in").mkdir()
    write_picture(tmp_path / "in" / "a.png", Picture(colours()))
    command = ["restore", str(tmp_path / "in"), "--model", str(tiny_weights), "--stream"]
    assert run([*command, "on", "--tile", str(TILE)]) == 0
    assert "a-x2.png  280 x 300" in capsys.readouterr().out
    assert run([*command, "auto"]) == 0
    assert "1 of 1 were done before" in capsys.readouterr().out
    assert run([*command, "on", "--ensemble"]) == 2
    assert "--stream on: an ensemble needs the whole image" in capsys.readouterr().err
    assert run([*command, "maybe"]) == 2
    assert "--stream 'maybe' must be one of auto, on, off" in capsys.readouterr().err
