"""A whole inspection of folders: nothing stops it, and what it says is what is there."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data as pictures

from hfmoe.data import PairedFolders
from hfmoe.doctor import Inspection, Sources, images, inspect, to_json
from hfmoe.image.files import read_facts, read_luma_table


def photo(size: int = 160, *, seed: int = 0) -> Image.Image:
    """Waves and noise that look like nothing else."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    soft = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32)
    return Image.fromarray((soft + generator.normal(0, 2, soft.shape)).clip(0, 255).astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "photos"
    place.mkdir()
    for seed in range(3):
        photo(seed=seed).save(place / f"{seed}.png")
    return place


def kinds(inspection: Inspection) -> set[str]:
    return {finding.kind for finding in inspection.findings}


def seen(**sources) -> Inspection:
    return inspect(Sources(**sources), threads=2)


def files_of(inspection: Inspection, kind: str) -> list[tuple[str, ...]]:
    found = [finding.files for finding in inspection.findings if finding.kind == kind]
    return [tuple(Path(file).name for file in files) for files in found]


def test_clean_photos_have_no_findings(folder: Path):
    inspection = seen(photos=(folder,))
    assert inspection.findings == () and inspection.summary.images == 3
    assert inspection.files == inspection.looked_at == 3


def test_the_scan_goes_on_past_files_that_cannot_be_read(folder: Path):
    whole = (folder / "0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "a text.jpg").write_text("not an image")
    (folder / "empty.webp").touch()
    frames = [photo(64, seed=seed) for seed in (4, 5)]
    frames[0].save(folder / "moving.webp", save_all=True, append_images=frames[1:])
    inspection = seen(photos=(folder,))
    names = {names[0] for names in files_of(inspection, "unreadable")}
    assert names == {"cut.png", "a text.jpg", "empty.webp", "moving.webp"}
    assert inspection.summary.images == 3 and inspection.looked_at == 7


def test_a_file_without_permission_is_a_finding(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(path: Path):
        if path.name == "1.png":
            raise PermissionError(13, "Permission denied", str(path))
        return read_facts(path)

    monkeypatch.setattr(images, "read_facts", refuse)
    inspection = seen(photos=(folder,))
    assert files_of(inspection, "unreadable") == [("1.png",)] and inspection.summary.images == 2


def test_sizes_channels_depths_alpha_and_one_pixel_are_told(folder: Path):
    Image.new("RGB", (1, 1), "red").save(folder / "dot.png")
    photo(seed=7).convert("L").save(folder / "gray.png")
    clear = photo(seed=8)
    clear.putalpha(200)
    clear.save(folder / "clear.png")
    deep = np.random.default_rng(0).integers(0, 2**16, (80, 80), dtype=np.uint16)
    Image.fromarray(deep).save(folder / "deep.png")
    inspection = seen(photos=(folder,))
    assert files_of(inspection, "small") == [("dot.png",)]
    assert files_of(inspection, "mixed-depth") == [("deep.png",)]
    assert files_of(inspection, "mixed-channels") == [("deep.png", "gray.png")]
    assert files_of(inspection, "alpha") == [("clear.png",)]
    assert not files_of(inspection, "unreadable")


def test_a_patch_larger_than_photos_is_a_warning_and_than_all_an_error(folder: Path):
    photo(100, seed=9).save(folder / "small.png")
    inspection = seen(photos=(folder,), room=128)
    assert files_of(inspection, "small") == [("small.png",)] and "no-room" not in kinds(inspection)
    assert "no-room" in kinds(seen(photos=(folder,), room=161))


def test_twins_and_near_twins_are_grouped(folder: Path):
    first = Image.open(folder / "0.png")
    first.save(folder / "0 again.webp", lossless=True)
    first.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "0 mirrored.png")
    inspection = seen(photos=(folder,))
    assert files_of(inspection, "duplicate") == [("0 again.webp", "0.png")]
    assert files_of(inspection, "near-duplicate") == [("0 again.webp", "0 mirrored.png")]


def test_validation_photos_that_are_trained_on_are_leaks(folder: Path, tmp_path: Path):
    held = tmp_path / "held"
    held.mkdir()
    Image.open(folder / "1.png").save(held / "same.png")
    Image.open(folder / "2.png").save(held / "nearly.jpg", quality=95)
    photo(seed=20).save(held / "other.png")
    inspection = seen(photos=(folder,), validation=held)
    assert files_of(inspection, "leak") == [("same.png", "1.png")]
    assert files_of(inspection, "near-leak") == [("nearly.jpg", "2.png")]


def test_compressed_and_enlarged_files_are_told_with_their_numbers(folder: Path):
    shipped = Image.fromarray(pictures.astronaut())
    half = shipped.resize((256, 256), Image.Resampling.BOX)
    half.save(folder / "stored.jpg", quality=40)
    Image.open(folder / "stored.jpg").transpose(Image.Transpose.ROTATE_180).save(folder / "resaved.png")
    other = Image.fromarray(pictures.coffee()).resize((300, 200), Image.Resampling.BOX)
    other.resize((600, 400), Image.Resampling.BICUBIC).save(folder / "enlarged.png")
    inspection = seen(photos=(folder,))
    numbers = {f.files[0].rpartition("/")[2]: f.number for f in inspection.findings if f.kind == "jpeg"}
    assert numbers == {"stored.jpg": 40, "resaved.png": pytest.approx(40, abs=2)}
    assert files_of(inspection, "enlarged") == [("enlarged.png",)]
    assert read_luma_table(folder / "0.png") is None


def pair_folders(tmp_path: Path, scale: int = 2) -> PairedFolders:
    folders = PairedFolders(tmp_path / "degraded", tmp_path / "target")
    for side in folders:
        side.mkdir()
    for seed in range(3):
        target = photo(160, seed=seed + 30)
        target.save(folders.target / f"{seed}.png")
        size = (160 // scale, 160 // scale)
        target.resize(size, Image.Resampling.BICUBIC).save(folders.degraded / f"{seed}.png")
    return folders


def test_pairs_that_fit_have_no_findings(tmp_path: Path):
    assert seen(pairs=(pair_folders(tmp_path),), scale=2).findings == ()


def test_pairs_that_do_not_fit_are_told_apart(tmp_path: Path):
    folders = pair_folders(tmp_path)
    target = Image.open(folders.target / "0.png")
    target.resize((53, 53)).save(folders.degraded / "0.png")
    moved = Image.open(folders.degraded / "1.png")
    Image.fromarray(np.roll(np.asarray(moved), 2, axis=1)).save(folders.degraded / "1.png")
    Image.open(folders.degraded / "2.png").point(lambda x: int(x * 0.8)).save(folders.degraded / "2.png")
    photo(80, seed=50).save(folders.degraded / "alone.png")
    for seed in (60, 61):
        photo(80 * (seed - 59), seed=seed).save(folders[seed - 60] / "two things.png")
    inspection = seen(pairs=(folders,), scale=2)
    assert files_of(inspection, "wrong-scale") == [("0.png", "0.png")]
    assert files_of(inspection, "misaligned") == [("1.png", "1.png")]
    assert files_of(inspection, "brightness") == [("2.png", "2.png")]
    assert files_of(inspection, "missing-partner") == [("alone.png",)]
    assert files_of(inspection, "mismatched") == [("two things.png", "two things.png")]
    (shift,) = (finding.number for finding in inspection.findings if finding.kind == "misaligned")
    assert shift == pytest.approx(2, abs=0.1)


def test_a_broken_target_is_named_once(tmp_path: Path):
    folders = pair_folders(tmp_path)
    (folders.target / "0.png").write_bytes(b"broken")
    (folders.degraded / "1.png").write_bytes(b"broken")
    inspection = seen(pairs=(folders,), scale=2)
    assert sorted(files_of(inspection, "unreadable")) == [("0.png",), ("1.png",)]


def test_folders_without_images_and_what_else_lies_there(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "below").mkdir()
    inspection = seen(photos=(tmp_path,))
    assert kinds(inspection) == {"empty", "other-files", "subfolders"}
    assert [finding.severity for finding in inspection.findings] == ["error", "note", "note"]


def test_an_interrupted_scan_reports_what_it_saw(folder: Path):
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    inspection = inspect(Sources((folder,)), on_file=stop, threads=1)
    assert (inspection.looked_at, inspection.files) == (2, 3)
    assert inspection.as_data()["complete"] is False


def test_the_report_is_plain_json(folder: Path):
    (folder / "bad.png").write_text("x")
    data = json.loads(to_json(seen(photos=(folder,)).as_data()))
    assert data["counts"] == {"error": 1, "warning": 0, "note": 0}
    assert {"kind", "severity", "files", "detail", "number", "rule", "advice"} == set(data["findings"][0])
