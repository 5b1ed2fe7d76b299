"""Where results go: beside their sources, never over them."""

from pathlib import Path

import pytest

from hfmoe.cli.errors import UsageError
from hfmoe.cli.outputs import Job, plan_jobs


def files(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return paths


def test_a_file_goes_beside_its_source(tmp_path: Path):
    [source] = files(tmp_path, "photo.jpg")
    assert plan_jobs([source], None, suffix="-x4") == [Job(source, tmp_path / "photo-x4.png")]


def test_one_input_can_name_its_output_file(tmp_path: Path):
    [source] = files(tmp_path, "photo.jpg")
    target = tmp_path / "large.webp"
    assert plan_jobs([source], str(target), suffix="-x4") == [Job(source, target)]


def test_an_output_without_an_image_suffix_is_a_folder(tmp_path: Path):
    [source] = files(tmp_path, "photo.jpg")
    assert plan_jobs([source], str(tmp_path / "out"), suffix="-x4")[0].target == tmp_path / "out/photo-x4.png"
    assert plan_jobs([source], f"{tmp_path}/v1.2/", suffix="-x4")[0].target == tmp_path / "v1.2/photo-x4.png"


def test_several_inputs_are_not_written_into_a_folder_named_like_a_file(tmp_path: Path):
    with pytest.raises(UsageError, match=r"both\.png is named like a file"):
        plan_jobs(files(tmp_path, "a.png", "b.png"), str(tmp_path / "both.png"), suffix="-x2")


def test_a_folder_goes_to_a_folder_of_its_own(tmp_path: Path):
    a, b, _ = files(tmp_path / "in", "a.jpg", "b.png", "notes.txt")
    jobs = plan_jobs([tmp_path / "in"], None, suffix="-x2")
    assert jobs == [Job(a, tmp_path / "in-x2/a-x2.png"), Job(b, tmp_path / "in-x2/b-x2.png")]


def test_running_a_folder_again_takes_up_no_results(tmp_path: Path):
    files(tmp_path / "in", "a.jpg")
    first = plan_jobs([tmp_path / "in"], None, suffix="-x2")
    files(first[0].target.parent, first[0].target.name)
    assert plan_jobs([tmp_path / "in"], None, suffix="-x2") == first


def test_sources_of_one_stem_do_not_overwrite_each_other(tmp_path: Path):
    files(tmp_path / "in", "a.jpg", "a.png")
    targets = [job.target.name for job in plan_jobs([tmp_path / "in"], None, suffix="-x2")]
    assert targets == ["a.jpg-x2.png", "a.png-x2.png"]


def test_a_source_given_twice_is_restored_once(tmp_path: Path):
    [source] = files(tmp_path, "a.jpg")
    assert len(plan_jobs([source, source], str(tmp_path / "out"), suffix="-x2")) == 1


def test_an_input_is_never_an_output(tmp_path: Path):
    source, other = files(tmp_path, "a.png", "a-x2.png")
    with pytest.raises(UsageError, match="is an input"):
        plan_jobs([source], str(source), suffix="-x2")
    with pytest.raises(UsageError, match="is an input"):
        plan_jobs([source, other], None, suffix="-x2")


def test_outputs_that_cannot_be_are_refused(tmp_path: Path):
    a, b, same, text = files(tmp_path, "a.png", "b.png", "sub/a.png", "out.txt")
    with pytest.raises(UsageError, match="suffix must be one of"):
        plan_jobs([a], str(text), suffix="-x2")
    with pytest.raises(UsageError, match="is a file; several inputs need a folder"):
        plan_jobs([a, b], str(text), suffix="-x2")
    with pytest.raises(UsageError, match="several inputs would be written"):
        plan_jobs([a, same], str(tmp_path / "out"), suffix="-x2")
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="holds no images"):
        plan_jobs([tmp_path / "none"], None, suffix="-x2")
