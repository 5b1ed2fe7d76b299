"""Paired folders and tar shards."""

import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hfmoe.data import DataError, PairedFolders, PhotoSet, read_photos
from hfmoe.image.files import ImageError, Picture, write_picture


def same(one: PhotoSet, other: PhotoSet) -> bool:
    sides = zip(one.photos, other.photos, strict=True)
    return all(np.array_equal(a, b) for pair in sides for a, b in zip(pair[0][:2], pair[1][:2], strict=True))


def shard(path: Path, members: dict[str, bytes], *, mode: str = "w") -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


@pytest.fixture
def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def pairs(folder: Path, tmp_path: Path) -> PairedFolders:
    """The drawn photos as targets, and their shrunk sides in another format's files."""
    (tmp_path / "small").mkdir()
    for path, photo in zip(sorted(folder.iterdir()), read_photos([folder], scale=2).photos, strict=True):
        degraded = np.ascontiguousarray(photo.degraded.transpose(2, 0, 1)) / np.float32(255)
        cropped = np.ascontiguousarray(photo.target.transpose(2, 0, 1)) / np.float32(255)
        import torch

        write_picture(tmp_path / "small" / f"{path.stem}.tif", Picture(torch.from_numpy(degraded)))
        write_picture(path, Picture(torch.from_numpy(cropped)))
    return PairedFolders(tmp_path / "small", folder)


def test_pairs_of_folders_are_matched_by_name_and_taken_as_they_are(pairs: PairedFolders, tmp_path: Path):
    given = read_photos([pairs], scale=2)
    clean = read_photos([pairs.target], scale=2)
    assert same(given, clean)
    assert given.given == (True,) * 3
    assert clean.given == (False,) * 3
    assert same(given, read_photos([pairs], scale=2, cache=tmp_path / "cache"))
    again = read_photos([pairs], scale=2, cache=tmp_path / "cache")
    assert same(given, again) and again.given == given.given and again.names == ("0.png", "1.png", "2.png")


def test_folders_and_shards_take_other_formats_and_name_what_they_leave_out(
    folder: Path, tmp_path: Path, caplog
):
    (tmp_path / "other").mkdir()
    for path, suffix in zip(sorted(folder.iterdir()), (".bmp", ".tga", ".ppm"), strict=True):
        Image.open(path).convert("RGB").save(tmp_path / "other" / f"{path.stem}{suffix}")
    tga = tmp_path / "other" / "1.tga"
    tga.write_bytes(tga.read_bytes().removesuffix(b"\0" * 8 + b"TRUEVISION-XFILE.\0"))
    members = {path.name: path.read_bytes() for path in sorted((tmp_path / "other").iterdir())}
    shard(tmp_path / "a.tar", members | {"3.psd": b"8BPS", "3.txt": b"words"})
    given = read_photos([folder], scale=2)
    assert same(given, read_photos([tmp_path / "other"], scale=2))
    assert same(given, read_photos([tmp_path / "a.tar"], scale=2))
    assert "a.tar: not taken, though images by their content: 3.psd (a PSD)" in caplog.text


def test_a_pair_of_sizes_that_do_not_fit_is_named_with_both(pairs: PairedFolders):
    with pytest.raises(DataError, match=r"0\.tif is 48 x 32 pixels and .*0\.png is 96 x 64; .* 4 times"):
        read_photos([pairs], scale=4)


def test_an_image_without_its_pair_is_named(pairs: PairedFolders):
    (pairs.target / "1.png").unlink()
    with pytest.raises(DataError, match=r"1\.tif has no image of its name in .*photos"):
        read_photos([pairs], scale=2)
    shutil.copy(pairs.target / "0.png", pairs.target / "7.png")
    (pairs.degraded / "1.tif").unlink()
    with pytest.raises(DataError, match=r"7\.png has no image of its name in .*small"):
        read_photos([pairs], scale=2)


def test_two_images_of_one_name_are_refused(pairs: PairedFolders):
    shutil.copy(pairs.target / "0.png", pairs.target / "0.webp")
    with pytest.raises(DataError, match="several images of one name"):
        read_photos([pairs], scale=2)


def test_a_shard_gives_the_photos_of_its_folder(folder: Path, files: dict[str, bytes], tmp_path: Path):
    extra = {"0.json": b"{}", "0.txt": b"a caption", "readme": b""}
    path = shard(tmp_path / "shards" / "a-000.tar", {**files, **extra})
    whole = read_photos([path], scale=2)
    assert same(whole, read_photos([folder], scale=2))
    assert whole.given == (False,) * 3
    assert same(whole, read_photos([path], scale=2, cache=tmp_path / "cache"))
    assert same(read_photos([path], scale=2, channels=1), read_photos([folder], scale=2, channels=1))


def test_a_pattern_reads_its_shards_in_order_beside_folders(
    folder: Path, files: dict[str, bytes], tmp_path: Path
):
    for number, (name, data) in enumerate(files.items()):
        shard(tmp_path / "shards" / f"a-{number:03d}.tar", {name: data})
    photos = read_photos([tmp_path / "shards" / "a-*.tar", folder], scale=2)
    assert same(photos, read_photos([folder, folder], scale=2))


@pytest.mark.parametrize("names", [("lq", "hq"), ("degraded", "target"), ("LR", "HR"), ("noisy", "gt")])
def test_pairs_in_a_shard_are_told_by_what_stands_before_their_suffix(
    pairs: PairedFolders, tmp_path: Path, names: tuple[str, str]
):
    members = {}
    for name, folder in zip(names, pairs, strict=True):
        for path in folder.iterdir():
            members[f"deep/{path.stem}.{name}{path.suffix}"] = path.read_bytes()
    read = read_photos([shard(tmp_path / "pairs.tar", dict(sorted(members.items())))], scale=2)
    assert same(read, read_photos([pairs], scale=2))
    assert read.given == (True,) * 3


def test_members_that_are_no_pair_are_named(files: dict[str, bytes], tmp_path: Path):
    path = shard(tmp_path / "odd.tar", {"a.one.png": files["0.png"], "a.two.png": files["1.png"]})
    with pytest.raises(
        DataError, match=r"odd\.tar: a holds a\.one\.png, a\.two\.png; it must be one image, or"
    ):
        read_photos([path], scale=2)


def test_a_broken_member_is_named_with_its_shard(files: dict[str, bytes], tmp_path: Path):
    path = shard(tmp_path / "a.tar", {**files, "x.png": files["0.png"][:200], "y.png": b""})
    with pytest.raises(ImageError, match=r"a\.tar:x\.png"):
        read_photos([path], scale=2)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("missing.tar", "No such file"),
        ("missing-*.tar", "no tar files match"),
        ("empty.tar", "no images in"),
        ("zipped.tar", "no uncompressed tar file"),
        ("cut.tar", "cut off|damaged"),
    ],
)
def test_shards_that_cannot_be_read_are_named(files: dict[str, bytes], tmp_path: Path, name: str, rule: str):
    shard(tmp_path / "empty.tar", {"a.txt": b"nothing"})
    shard(tmp_path / "zipped.tar", files, mode="w:gz")
    whole = shard(tmp_path / "cut.tar", files).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: len(files["0.png"]) + 900])
    with pytest.raises(DataError, match=rule) as caught:
        read_photos([tmp_path / name], scale=2)
    assert name in str(caught.value)


def test_sets_with_other_pairs_have_another_identity(pairs: PairedFolders):
    alone = read_photos([pairs.target], scale=2).identity
    assert alone != read_photos([pairs], scale=2).identity
    assert alone == read_photos([pairs.target], scale=4).identity


def test_photos_at_scale_one_lie_in_memory_and_in_the_cache_once(folder: Path, tmp_path: Path):
    cache = tmp_path / "cache"
    for photos in (read_photos([folder], scale=1), read_photos([folder], scale=1, cache=cache)):
        assert all(np.shares_memory(photo.degraded, photo.target) for photo in photos.photos)
    pixels = sum(photo.target.size for photo in read_photos([folder], scale=1).photos)
    assert next(cache.glob("*.u8")).stat().st_size == pixels
