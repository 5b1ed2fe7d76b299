"""Where results go: beside their sources, never over them."""

from pathlib import Path

import pytest
from PIL import Image

from hfmoe.batch.manifest import MANIFEST, Manifest, identify
from hfmoe.batch.planning import Job, plan_jobs
from hfmoe.batch.settings import Naming, PlanError, Selection


def files(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return paths


def test_a_file_goes_beside_its_source(tmp_path: Path):
    [source] = files(tmp_path, "photo.jpg")
    assert plan_jobs([source], None, naming=Naming("-x4")) == [Job(source, tmp_path / "photo-x4.png")]


def test_one_input_can_name_its_output_file(tmp_path: Path):
    [source] = files(tmp_path, "photo.jpg")
    target = tmp_path / "large.webp"
    assert plan_jobs([source], str(target), naming=Naming("-x4")) == [Job(source, target)]


def test_an_output_without_an_image_suffix_is_a_folder(tmp_path: Path):
    [source] = files(tmp_path, "photo.jpg")
    assert (
        plan_jobs([source], str(tmp_path / "out"), naming=Naming("-x4"))[0].target
        == tmp_path / "out/photo-x4.png"
    )
    assert (
        plan_jobs([source], f"{tmp_path}/v1.2/", naming=Naming("-x4"))[0].target
        == tmp_path / "v1.2/photo-x4.png"
    )


def test_several_inputs_are_not_written_into_a_folder_named_like_a_file(tmp_path: Path):
    with pytest.raises(PlanError, match=r"both\.png is named like a file"):
        plan_jobs(files(tmp_path, "a.png", "b.png"), str(tmp_path / "both.png"), naming=Naming("-x2"))


def test_a_folder_goes_to_a_folder_of_its_own(tmp_path: Path):
    a, b, _ = files(tmp_path / "in", "a.jpg", "b.png", "notes.txt")
    jobs = plan_jobs([tmp_path / "in"], None, naming=Naming("-x2"))
    root = tmp_path / "in-x2"
    assert jobs == [Job(a, root / "a-x2.png", root), Job(b, root / "b-x2.png", root)]


def test_running_a_folder_again_takes_up_no_results(tmp_path: Path):
    files(tmp_path / "in", "a.jpg")
    first = plan_jobs([tmp_path / "in"], None, naming=Naming("-x2"))
    target = Path(first[0].target)
    files(target.parent, target.name)
    assert plan_jobs([tmp_path / "in"], None, naming=Naming("-x2")) == first


def test_sources_of_one_stem_do_not_overwrite_each_other(tmp_path: Path):
    files(tmp_path / "in", "a.jpg", "a.png")
    targets = [Path(job.target).name for job in plan_jobs([tmp_path / "in"], None, naming=Naming("-x2"))]
    assert targets == ["a.jpg-x2.png", "a.png-x2.png"]


def test_stems_that_differ_in_capital_letters_alone_share_no_result_on_any_disk(tmp_path: Path):
    files(tmp_path / "in", "IMG_1.jpg", "img_1.png")
    targets = [Path(job.target).name for job in plan_jobs([tmp_path / "in"], None, naming=Naming("-x2"))]
    assert len({target.casefold() for target in targets}) == 2


def test_folders_are_searched_for_all_that_is_read(tmp_path: Path):
    names = ["a.jpg", "b.JFIF", "c.jpe", "d.heic", "e.HEIF"]
    files(tmp_path / "in", *names, "f.txt")
    jobs = plan_jobs([tmp_path / "in"], None, naming=Naming("-x2"))
    assert [Path(job.source).name for job in jobs] == names
    with pytest.raises(PlanError, match="suffix must be one of"):
        plan_jobs([tmp_path / "in" / "a.jpg"], str(tmp_path / "a.heic"), naming=Naming("-x2"))


def test_a_source_given_twice_is_restored_once(tmp_path: Path):
    [source] = files(tmp_path, "a.jpg")
    assert len(plan_jobs([source, source], str(tmp_path / "out"), naming=Naming("-x2"))) == 1


def test_an_input_is_never_an_output(tmp_path: Path):
    source, other = files(tmp_path, "a.png", "a-x2.png")
    with pytest.raises(PlanError, match="is an input"):
        plan_jobs([source], str(source), naming=Naming("-x2"))
    with pytest.raises(PlanError, match="is an input"):
        plan_jobs([source, other], None, naming=Naming("-x2"))


def test_outputs_that_cannot_be_are_refused(tmp_path: Path):
    a, b, same, text = files(tmp_path, "a.png", "b.png", "sub/a.png", "out.txt")
    with pytest.raises(PlanError, match="suffix must be one of"):
        plan_jobs([a], str(text), naming=Naming("-x2"))
    with pytest.raises(PlanError, match="is a file; several inputs need a folder"):
        plan_jobs([a, b], str(text), naming=Naming("-x2"))
    with pytest.raises(PlanError, match="several inputs would be written"):
        plan_jobs([a, same], str(tmp_path / "out"), naming=Naming("-x2"))
    (tmp_path / "none").mkdir()
    with pytest.raises(PlanError, match="holds no images"):
        plan_jobs([tmp_path / "none"], None, naming=Naming("-x2"))


def targets(jobs: list[Job], root: Path) -> list[str]:
    return [Path(job.target).relative_to(root).as_posix() for job in jobs]


def test_the_tree_of_a_folder_is_kept_and_can_be_left_alone(tmp_path: Path):
    files(tmp_path / "in", "a.jpg", "b/a.jpg", "b/c/d.png", ".hidden/e.png")
    jobs = plan_jobs([tmp_path / "in"], None, naming=Naming("-x2"))
    assert targets(jobs, tmp_path / "in-x2") == ["a-x2.png", "b/a-x2.png", "b/c/d-x2.png"]
    flat = plan_jobs([tmp_path / "in"], None, naming=Naming("-x2"), selection=Selection(recursive=False))
    assert targets(flat, tmp_path / "in-x2") == ["a-x2.png"]


def test_results_inside_the_folder_are_not_taken_up_again(tmp_path: Path):
    source, _, result, _ = files(
        tmp_path, "a.jpg", "out/a-x2.png", "earlier/deep/a-x4.png", "earlier/deep/b.jpg"
    )
    with Manifest(tmp_path / "earlier" / MANIFEST, {}) as manifest:
        manifest.add(source, result, read=identify(source), seconds=0.0)
    jobs = plan_jobs([tmp_path], str(tmp_path / "out"), naming=Naming("-x2"))
    assert targets(jobs, tmp_path / "out") == ["a-x2.png", "earlier/deep/b-x2.png"]
    again = plan_jobs([tmp_path / "earlier"], str(tmp_path / "out"), naming=Naming("-x2"))
    assert targets(again, tmp_path / "out") == ["deep/a-x4-x2.png", "deep/b-x2.png"]


def test_a_folder_that_takes_its_own_results_does_not_enlarge_them_again(tmp_path: Path):
    source, result = files(tmp_path, "a.jpg", "a-x2.png")
    with Manifest(tmp_path / MANIFEST, {}) as manifest:
        manifest.add(source, result, read=identify(source), seconds=0.0)
    jobs = plan_jobs([tmp_path], str(tmp_path), naming=Naming("-x2"))
    assert targets(jobs, tmp_path) == ["a-x2.png"]


def test_patterns_find_files_and_keep_the_tree_below_their_fixed_part(tmp_path: Path):
    files(tmp_path, "in/a.jpg", "in/b/c.jpg", "in/b/d.png", "in/b/e.txt")
    jobs = plan_jobs([tmp_path / "in/**/*.jpg"], str(tmp_path / "out"), naming=Naming("-x2"))
    assert targets(jobs, tmp_path / "out") == ["a-x2.png", "b/c-x2.png"]
    beside = plan_jobs([tmp_path / "in/b/*"], None, naming=Naming("-x2"))
    assert targets(beside, tmp_path) == ["in/b/c-x2.png", "in/b/d-x2.png"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path):
    [source] = files(tmp_path, "a[1].png")
    assert plan_jobs([source], None, naming=Naming("-x2"))[0].target == tmp_path / "a[1]-x2.png"


@pytest.mark.parametrize(
    ("include", "exclude", "wanted"),
    [
        (["*.jpg"], [], ["a", "b/c"]),
        ([], ["*.jpg"], ["b/thumbs/e", "d"]),
        (["b"], ["thumbs"], ["b/c"]),
        (["b/*"], [], ["b/c", "b/thumbs/e"]),
        (["D.PNG"], [], ["d"]),
    ],
)
def test_patterns_take_and_leave_out(
    tmp_path: Path, include: list[str], exclude: list[str], wanted: list[str]
):
    files(tmp_path / "in", "a.JPG", "b/c.jpg", "b/thumbs/e.png", "d.png")
    jobs = plan_jobs([tmp_path / "in"], None, naming=Naming("-x2"), selection=Selection(include, exclude))
    assert sorted(targets(jobs, tmp_path / "in-x2")) == [f"{name}-x2.png" for name in wanted]


def test_nothing_that_is_wanted_is_said(tmp_path: Path):
    a, b = files(tmp_path / "in", "a.jpg", "b.jpg")
    unwanted = Selection(exclude=["*.jpg"])
    with pytest.raises(PlanError, match="holds no images that are wanted"):
        plan_jobs([tmp_path / "in"], None, naming=Naming("-x2"), selection=unwanted)
    with pytest.raises(PlanError, match="none of the inputs is wanted"):
        plan_jobs([a, b], None, naming=Naming("-x2"), selection=unwanted)
    with pytest.raises(PlanError, match="holds no images"):
        plan_jobs([tmp_path / "in/*.tif"], None, naming=Naming("-x2"))


def test_a_pattern_names_the_results(tmp_path: Path):
    [source] = files(tmp_path, "a.b.jpg")
    naming = Naming("-x2", ".webp", "{model}_{stem}_x{scale}_{name}{suffix}", 2, "nano")
    assert Path(plan_jobs([source], None, naming=naming)[0].target).name == "nano_a.b_x2_a.b.jpg.webp"


def test_two_sources_of_one_result_are_refused_before_any_work(tmp_path: Path):
    files(tmp_path / "in", "a.jpg", "a.png")
    with pytest.raises(PlanError, match=r"a_x2\.png: .*a\.jpg and .*a\.png; restore them apart"):
        plan_jobs([tmp_path / "in"], None, naming=Naming("-x2", pattern="{stem}_x2.png"))
    with pytest.raises(PlanError, match="restore them apart"):
        plan_jobs([tmp_path / "in"], None, naming=Naming("-x2", pattern="same.png"))


@pytest.mark.parametrize(
    ("pattern", "rule"),
    [
        ("{stem.__class__}.png", "must be one of {stem}"),
        ("{}.png", "must be one of"),
        ("{stem!r}.png", "must be one of"),
        ("{stem", "expected '}'"),
        ("../{stem}.png", "without folders"),
        ("{stem}", "must end in {suffix}"),
        ("{stem}.txt", "must end in {suffix}"),
    ],
)
def test_wrong_patterns_are_refused(pattern: str, rule: str):
    with pytest.raises(PlanError) as caught:
        Naming("-x2", pattern=pattern)
    assert rule in str(caught.value)


def small(path: Path, side: int) -> None:
    Image.new("RGB", (side, side)).save(path)


@pytest.mark.parametrize("name", ["a-x2.png", "a-x4.webp", "a-restored.png", "a.png-x2.png"])
def test_results_beside_their_sources_are_left_out_and_told(tmp_path: Path, name: str):
    [source, result] = files(tmp_path, "a.png", name)
    left_out: list = []
    jobs = plan_jobs([tmp_path], str(tmp_path / "out"), naming=Naming("-x2"), left_out=left_out)
    assert ([job.source for job in jobs], left_out) == ([source], [result])
    pattern = plan_jobs([tmp_path / "*.*"], str(tmp_path / "out"), naming=Naming("-x2"))
    assert [job.source for job in pattern] == [source]


def test_results_of_a_naming_pattern_are_left_out_too(tmp_path: Path):
    [source, _] = files(tmp_path, "a.png", "big_a.png")
    naming = Naming("-x2", pattern="big_{stem}.png")
    assert [job.source for job in plan_jobs([tmp_path], str(tmp_path / "out"), naming=naming)] == [source]


def test_a_photo_that_is_only_called_like_a_result_is_taken(tmp_path: Path):
    small(tmp_path / "a.png", 8)
    small(tmp_path / "a-x2.png", 9)
    small(tmp_path / "b-x2.png", 9)
    jobs = plan_jobs([tmp_path], str(tmp_path / "out"), naming=Naming("-x2"))
    assert [Path(job.source).name for job in jobs] == ["a-x2.png", "a.png", "b-x2.png"]
    small(tmp_path / "a-x2.png", 16)
    jobs = plan_jobs([tmp_path], str(tmp_path / "out"), naming=Naming("-x2"))
    assert [Path(job.source).name for job in jobs] == ["a.png", "b-x2.png"]


def test_results_that_are_asked_for_are_taken(tmp_path: Path):
    [_, result] = files(tmp_path, "a.png", "a-x2.png")
    for places in ([result], [tmp_path / "*-x2.png"]):
        jobs = plan_jobs(places, str(tmp_path / "out"), naming=Naming("-x2"))
        assert [job.source for job in jobs] == [result]
