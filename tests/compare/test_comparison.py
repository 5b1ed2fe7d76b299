"""Two images side by side: what differs is found, scored, drawn and put on a page; the same is said."""

import json
import os
import re
from pathlib import Path

import pytest
import torch

from hfmoe.cli.app import run
from hfmoe.compare import Options, compare_files, compare_images, read_views
from hfmoe.compare.files import match
from hfmoe.compare.report import entry
from hfmoe.compare.views import make_views
from hfmoe.evaluate.scores import score_image
from hfmoe.image.encoded import data_address
from hfmoe.image.files import ImageError, Picture, read_picture, write_picture
from hfmoe.image.resize import resize


def scene(side: int = 64, seed: int = 0) -> torch.Tensor:
    """Smooth colours with a little noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(3, 8, 8, generator=generator)
    return (resize(coarse, size=(side, side)) + 0.02 * torch.randn(3, side, side, generator=generator)).clamp(
        0, 1
    )


def put(path: Path, colour: torch.Tensor, **more) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, Picture(colour, **more))
    return path


def spoilt(image: torch.Tensor, top: int, left: int) -> torch.Tensor:
    other = image.clone()
    other[:, top : top + 8, left : left + 8] = 1 - other[:, top : top + 8, left : left + 8]
    return other


def covers(place, top: int, left: int) -> bool:
    square = place.square
    inside = square.top <= top and top + 8 <= square.top + square.height
    return inside and square.left <= left and left + 8 <= square.left + square.width


def test_the_squares_are_where_the_errors_are(tmp_path: Path):
    truth = scene()
    paths = [put(tmp_path / "a.png", spoilt(truth, 4, 8)), put(tmp_path / "b.png", spoilt(truth, 44, 40))]
    found = compare_images(read_views(paths[0], paths[1], put(tmp_path / "t.png", truth)), Options(side=16))
    why = {reason: place for place in found.places for reason in place.why.split("; ")}
    assert covers(why["A is farthest from the truth"], 4, 8)
    assert covers(why["B is farthest from the truth"], 44, 40)
    assert covers(why["B is better than A by most"], 4, 8)
    assert covers(why["A is better than B by most"], 44, 40)


def test_without_a_truth_the_largest_differences_are_shown_apart(tmp_path: Path):
    image = scene()
    paths = put(tmp_path / "a.png", image), put(tmp_path / "b.png", spoilt(spoilt(image, 4, 8), 44, 40))
    found = compare_images(read_views(*paths), Options(side=16))
    assert len(found.places) == 2
    assert {covers(place, 4, 8) for place in found.places} == {True, False}
    assert list(found.scores) == ["B"]


def test_scores_are_those_of_evaluate(tmp_path: Path):
    truth, image = scene(), scene(seed=1)
    paths = put(tmp_path / "a.png", image), put(tmp_path / "b.png", truth), put(tmp_path / "t.png", truth)
    found = compare_images(read_views(*paths), Options(border=2))
    read, target = (read_picture(path).colour[None] for path in (paths[0], paths[2]))
    assert found.scores["A"] == score_image(read, target, border=2).present()
    assert found.scores["B"]["psnr_rgb"] == float("inf")
    assert "B and truth are the same image: every sample is equal." in found.notes


def test_the_difference_is_in_levels(tmp_path: Path):
    a, b = torch.full((3, 16, 16), 100 / 255), torch.full((3, 16, 16), 100 / 255)
    b[:, :4] += 4 / 255
    found = compare_images(read_views(put(tmp_path / "a.png", a), put(tmp_path / "b.png", b)))
    values = found.difference
    assert (values.mean, values.largest, values.changed) == pytest.approx((1, 4, 0.25), abs=1e-4)
    assert values.brighter == pytest.approx(219 / 255, abs=1e-3)


def test_energy_tells_the_blurred_from_the_sharp(tmp_path: Path):
    sharp = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    soft = resize(resize(sharp, size=(32, 32)), size=(64, 64)).clamp(0, 1)
    found = compare_images(read_views(put(tmp_path / "a.png", sharp), put(tmp_path / "b.png", soft)))
    assert found.reference == "A"
    coarse, _, fine = found.bands()["B"]
    assert 0.5 < coarse < 1.5
    assert fine < 0.1


def test_a_smaller_image_is_enlarged_and_said_so(tmp_path: Path):
    whole = scene()
    small = put(tmp_path / "small.png", resize(whole, size=(16, 16)).clamp(0, 1))
    views = read_views(small, put(tmp_path / "whole.png", whole))
    assert views.first.image.shape == (3, 64, 64)
    assert "A: small.png, enlarged x4 by bicubic." in views.notes


@pytest.mark.parametrize("size", [(63, 64), (32, 64), (128, 128), (16, 32)])
def test_sizes_that_do_not_fit_the_truth_are_one_error(tmp_path: Path, size: tuple[int, int]):
    a, b = put(tmp_path / "a.png", torch.rand(3, *size)), put(tmp_path / "b.png", scene())
    with pytest.raises(ImageError, match=r"a\.png: \d+ x \d+ pixels must be those of t\.png, 64 x 64"):
        read_views(a, b, put(tmp_path / "t.png", scene()))


def test_the_same_image_is_said_to_be_the_same(tmp_path: Path, capsys):
    a, b = put(tmp_path / "a.png", scene()), put(tmp_path / "b.tif", scene())
    assert run(["compare", str(a), str(b), "--output", str(tmp_path / "out")]) == 0
    assert "A and B are the same image" in capsys.readouterr().out
    assert "A and B are the same image" in (tmp_path / "out/comparison.html").read_text()
    assert json.loads((tmp_path / "out/comparison.json").read_text())["images"][0]["same"]


def test_what_differs_below_8_bits_alone_is_not_the_same(tmp_path: Path):
    image = torch.full((3, 16, 16), 0.5)
    paths = put(tmp_path / "a.png", image, bits=16), put(tmp_path / "b.png", image + 1e-4, bits=16)
    views = read_views(*paths)
    assert not views.same
    assert "equal in 8 bits; in their files they differ by up to" in views.notes[0]


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (12, 3)])
def test_an_image_too_small_for_ssim_is_compared_without_it(tmp_path: Path, size: tuple[int, int]):
    paths = [put(tmp_path / f"{name}.png", torch.rand(3, *size)) for name in "abt"]
    done = compare_files(*paths, output=tmp_path / "out")
    assert set(done.rows[0].scores["A"]) == {"psnr_y", "psnr_rgb"}
    assert read_picture(tmp_path / "out/comparison.png").colour.std() > 0.05


def test_gray_alpha_and_colour_are_compared(tmp_path: Path):
    gray = put(tmp_path / "a.png", scene()[:1], alpha=torch.full((1, 64, 64), 0.5))
    found = compare_images(read_views(gray, put(tmp_path / "b.png", scene())))
    assert found.views.first.image.shape == (3, 64, 64)
    assert "Laid over white, for transparency: A." in found.notes


def test_a_gray_truth_weighs_energy_as_a_coloured_one(tmp_path: Path):
    gray = scene()[:1]
    paths = put(tmp_path / "a.png", scene(seed=1)), put(tmp_path / "b.png", gray.expand(3, 64, 64))
    found = compare_images(read_views(*paths, put(tmp_path / "t.png", gray)))
    assert found.bands()["B"] == pytest.approx((1, 1, 1))


def test_a_gray_profile_does_not_spoil_the_page():
    head = (128).to_bytes(4, "big") + bytes(12) + b"GRAY" + bytes(16) + b"acsp" + bytes(88)
    pictures = {"A": Picture(scene()[:1], icc=head), "B": Picture(scene(seed=1))}
    found = compare_images(make_views(pictures, names={"A": "a", "B": "b"}))
    assert "The colour profiles differ; samples are compared as they are stored." in found.notes
    assert "data:image/webp" in entry(found, "a")


def test_a_name_that_is_no_text_is_compared(tmp_path: Path, capsys):
    odd = tmp_path / os.fsdecode(b"\xff.png")
    put(tmp_path / "x.png", scene()).rename(odd)
    assert run(["compare", str(odd), str(put(tmp_path / "b.png", scene(seed=1)))]) == 0
    assert "\\xff.png" in (tmp_path / "b-comparison/comparison.html").read_text()


def test_names_have_the_folders_that_tell_them_apart(tmp_path: Path):
    paths = [put(tmp_path / folder / "sub/x.png", scene(16)) for folder in ("one", "two")]
    views = read_views(paths[0], paths[1])
    assert [view.name for view in views.all()] == ["one/sub/x.png", "two/sub/x.png"]
    assert read_views(paths[0], paths[0]).second.name == "x.png"


def test_the_page_loads_nothing_and_holds_the_images_to_the_bit(tmp_path: Path):
    paths = put(tmp_path / "a.png", scene()), put(tmp_path / "b<i>.png", scene(seed=1))
    compare_files(*paths, output=tmp_path / "out")
    text = (tmp_path / "out/comparison.html").read_text()
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(|https?://|@import|fetch\(""", text)
    assert "<i>.png" not in text
    for path in paths:
        assert data_address(Picture(read_picture(path).colour)) in text


def test_folders_are_matched_by_name_and_a_bad_image_stops_no_other(tmp_path: Path, capsys):
    for name in ("one", "sub/two", "bad"):
        put(tmp_path / f"a/{name}.png", scene())
        put(tmp_path / f"b/{name}.tif", scene(seed=1))
    put(tmp_path / "a/lone.png", scene())
    (tmp_path / "a/bad.png").write_bytes((tmp_path / "a/bad.png").read_bytes()[:300])
    out = tmp_path / "out"
    assert run(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--output", str(out)]) == 1
    said = capsys.readouterr()
    assert "bad.png" in said.err
    assert "lone.png not in every folder, left out" in said.out
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == {
        "one.png", "sub/two.png", "comparison.html", "comparison.json",
    }  # fmt: skip
    facts = json.loads((out / "comparison.json").read_text())
    assert [image["name"] for image in facts["images"]] == ["one", "sub/two"]
    assert len(facts["failed"]) == 1
    assert (out / "comparison.html").read_text().count('class="entry"') == 2


def test_results_are_matched_with_their_sources_by_the_names_that_restore_gives(tmp_path: Path):
    for name in ("one", "sub/two", "twice-x2", "twice-x4", "twice"):
        put(tmp_path / f"truth/{name}.png", scene())
    for name in ("one-x4", "sub/two-x4", "twice-x2", "twice-x4", "three-x4", "three-x2"):
        put(tmp_path / f"a/{name}.png", scene(seed=1))
    put(tmp_path / "truth/three.png", scene())
    found = match(tmp_path / "a", tmp_path / "a", tmp_path / "truth", but=tmp_path / "out")
    paths = [(trio.name, trio.first.stem, trio.truth and trio.truth.stem) for trio in found.trios]
    assert paths == [
        ("one", "one-x4", "one"),
        ("sub/two", "two-x4", "two"),
        ("twice-x2", "twice-x2", "twice-x2"),
        ("twice-x4", "twice-x4", "twice-x4"),
    ]
    assert "three-x2.png, three-x4.png not in every folder" in found.alone[0]


def test_results_that_keep_the_whole_name_of_their_source_are_found(tmp_path: Path):
    for name in ("in/IMG_1.jpg", "in/img_1.png", "out/IMG_1.jpg-x2.png", "out/img_1.png-x2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_picture(tmp_path / name, Picture(torch.zeros(3, 4, 4)))
    found = match(tmp_path / "in", tmp_path / "out", None, but=tmp_path / "here")
    assert not found.alone
    assert [(trio.first.name, trio.second.name) for trio in found.trios] == [
        ("IMG_1.jpg", "IMG_1.jpg-x2.png"),
        ("img_1.png", "img_1.png-x2.png"),
    ]


def test_beyond_its_room_a_page_keeps_the_squares(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("hfmoe.compare.files.MOST_BYTES", 1)
    for name in ("one", "two"):
        put(tmp_path / f"a/{name}.png", scene())
        put(tmp_path / f"b/{name}.png", scene(seed=1))
    compare_files(tmp_path / "a", tmp_path / "b", output=tmp_path / "out")
    text = (tmp_path / "out/comparison.html").read_text()
    assert text.count('class="viewer"') == 1
    assert text.count("The page holds no more whole images") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "rule"),
    [
        (["a.png", "none.png"], 2, "none.png: no such file or folder"),
        (["a.png", "folder"], 1, "a.png is a file and folder a folder"),
        (["a.png", "b.png", "--output", "a.png"], 2, "--output a.png is a file"),
        (["a.png", "b.png", "--side", "0"], 2, "--side 0 must be at least 1"),
        (["a.png", "b.png", "--border", "32"], 1, "border 32 must be in [0, 32)"),
        (["a.png", "text.png"], 1, "text.png"),
        (["folder", "folder", "--output", "folder"], 1, "is an image to compare"),
        (["folder", "empty"], 1, "no image has the same name"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing(
    arguments: list[str], status: int, rule: str, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    put(Path("a.png"), scene())
    put(Path("b.png"), scene(seed=1))
    put(Path("folder/a.png"), scene())
    Path("empty").mkdir()
    Path("text.png").write_text("no image")
    before = sorted(tmp_path.rglob("*"))
    assert run(["compare", *arguments]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert rule in line
    assert sorted(tmp_path.rglob("*")) == before


def test_models_are_compared_by_what_they_make_of_an_input(tiny_weights: Path, tmp_path: Path):
    photo = put(tmp_path / "photo.png", scene(24))
    call = ["compare", "nano-x2", str(tiny_weights), "--input", str(photo)]
    assert run(call) == 0
    place = tmp_path / "photo-comparison"
    assert (place / "comparison.html").is_file()
    made = sorted(place.glob("*/*.png"))
    assert [path.parent.name[0] for path in made] == ["A", "B"]
    (facts,) = json.loads((place / "comparison.json").read_text())["images"]
    assert facts["name"] == made[1].name
    assert read_picture(made[0]).colour.shape == read_picture(made[1]).colour.shape == (3, 48, 48)


def test_a_folder_of_inputs_is_compared_with_a_models_results(tiny_weights: Path, tmp_path: Path):
    for name in ("a", "b"):
        put(tmp_path / "photos" / f"{name}.png", scene(24, seed=ord(name)))
    folder = str(tmp_path / "photos")
    assert (
        run(["compare", folder, str(tiny_weights), "--input", folder, "--output", str(tmp_path / "out")]) == 0
    )
    facts = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [each["name"] for each in facts["images"]] == ["a", "b"]
    assert run(["compare", "no-such", str(tiny_weights), "--input", folder]) == 1
