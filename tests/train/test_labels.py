"""Labels of a teacher, and training that is held against them."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from hfmoe.cli.app import run
from hfmoe.data import DataError, Pair, batch, read_photos
from hfmoe.models.external import import_spandrel
from hfmoe.models.header import ModelFacts
from hfmoe.models.network import HFMoE, Restored
from hfmoe.models.weights import load_weights, save_weights
from hfmoe.train import Recipe, train
from hfmoe.train.labels import LabelError, Labels, write_labels
from hfmoe.train.objective import ActiveLoss, PixelTerm, build_losses, objective_at
from hfmoe.train.teacher import load_teacher

Make = Callable[..., Recipe]
TASKS = [{"kind": "jpeg", "quality": [30, 60]}, {"kind": "camera", "sigma": [0, 10], "quality": [60, 90]}]


@pytest.fixture
def teacher(make: Make, tmp_path: Path) -> Path:
    path = tmp_path / "teacher.safetensors"
    torch.manual_seed(1)
    save_weights(path, HFMoE(make().config()), ModelFacts(name="wise", licence="CC0"))
    return path


@pytest.fixture
def labelled(make: Make, teacher: Path, tmp_path: Path) -> Path:
    output = tmp_path / "labels"
    write_labels(make(tasks=TASKS, patch=16), teacher, Labels(output, count=12, shard=5, batch=2))
    return output


def test_a_label_is_what_the_teacher_makes_of_the_degraded_side(labelled: Path, teacher: Path):
    photos = read_photos([labelled / "*.tar"], scale=2)
    network = load_weights(teacher).network.eval()
    assert len(photos.photos) == 12 and set(photos.tasks) == {"jpeg", "camera"}
    for photo in photos.photos:
        assert photo.teacher is not None and photo.teacher.shape == photo.target.shape == (32, 32, 3)
        with torch.inference_mode():
            due = network(torch.from_numpy(photo.degraded / 255).float().permute(2, 0, 1)[None]).image
        found = torch.from_numpy(photo.teacher / 255).float().permute(2, 0, 1)
        assert (due[0].clamp(0, 1) - found).abs().max() <= 0.51 / 255
    assert photos.teachers["wise"]["licence"] == "CC0" and photos.teachers["wise"]["share"] == 1


def test_labels_go_on_where_they_were_interrupted_and_do_not_depend_on_how_they_are_made(
    labelled: Path, make: Make, teacher: Path, tmp_path: Path
):
    again = tmp_path / "again"
    counts: list[int] = []
    recipe = make(tasks=TASKS, patch=16)
    write_labels(recipe, teacher, Labels(again, count=12, shard=5, batch=3))
    (again / "labels-00001.tar").unlink()
    write_labels(recipe, teacher, Labels(again, count=12, shard=5), watch=counts.append)
    assert counts[0] == 7 and sum(counts) == 12
    for path in sorted(labelled.iterdir()):
        with tarfile.open(path) as one, tarfile.open(again / path.name) as other:
            assert one.getnames() == other.getnames()
            for entry in one.getmembers():
                if not entry.name.endswith(".teacher.png"):  # a batch's size may change the last bits
                    assert one.extractfile(entry).read() == other.extractfile(entry.name).read()  # type: ignore[union-attr]


def test_labels_serve_a_smaller_scale_by_shrinking_both_sides_alike(labelled: Path):
    whole, half = (read_photos([labelled / "*.tar"], scale=scale) for scale in (2, 1))
    for large, small in zip(whole.photos, half.photos, strict=True):
        assert small.teacher is not None and small.teacher.shape == small.target.shape == (16, 16, 3)
        assert abs(large.target.mean() - small.target.mean()) < 1.5
        assert abs(large.teacher.mean() - small.teacher.mean()) < 1.5  # type: ignore[union-attr]


def test_a_teacher_of_another_scale_or_without_a_licence_is_refused(
    make: Make, teacher: Path, tmp_path: Path
):
    labels = Labels(tmp_path / "out", count=4)
    with pytest.raises(LabelError, match="enlarges x2, recipe drawn x1"):
        write_labels(make(tasks=TASKS, network={**make().network, "scale": 1}), teacher, labels)
    bare = tmp_path / "bare.safetensors"
    save_weights(bare, HFMoE(make().config()), ModelFacts(name="bare"))
    with pytest.raises(ValueError, match="licence"):
        write_labels(make(tasks=TASKS), bare, labels)
    with pytest.raises(LabelError, match="count 0"):
        Labels(tmp_path, count=0)


def test_terms_are_held_against_what_they_say_with_the_weights_of_tasks():
    truth, taught = torch.zeros(3, 3, 8, 8), torch.ones(3, 3, 8, 8)
    pair = Pair(truth, truth, taught, ("jpeg", "sr", "sr"))
    restored = Restored(torch.full((3, 3, 8, 8), 0.25), ())
    terms = (
        PixelTerm(kind="l1", against="teacher", tasks={"sr": 0}),
        PixelTerm(kind="l1", tasks={"jpeg": 0}, weight=2),
    )
    losses = build_losses(terms, device=torch.device("cpu"), discriminate=None)
    values = objective_at(0.0, terms, losses)(restored, pair)
    assert values["l1_teacher"].item() == pytest.approx(0.75) and values["l1"].item() == pytest.approx(0.25)
    assert values["total"].item() == pytest.approx(0.75 / 3 + 2 * 0.25 * 2 / 3)


def test_a_crop_moves_over_the_whole_image_and_is_the_same_for_both_sides():
    seen: list[tuple[float, float]] = []

    def corner(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
        seen.append((float(ours[0, 0, 0, 0]), float(ours.numel())))
        assert torch.equal(ours, theirs)
        return ours.mean()

    image = torch.arange(64.0).reshape(1, 1, 8, 8)
    term = PixelTerm(kind="l1", crop=3)
    generator = torch.Generator().manual_seed(0)
    objective = objective_at(0.0, [term], [corner], generator=generator)
    assert objective.losses == (ActiveLoss(term, corner),)
    for _ in range(300):
        objective(Restored(image, ()), Pair(image, image))
    assert len({place for place, _ in seen}) == 36 and {size for _, size in seen} == {9.0}


def test_training_against_a_teacher_learns_from_it_and_says_so(labelled: Path, make: Make, tmp_path: Path):
    fields: dict[str, Any] = {"train": str(labelled / "*.tar"), "tasks": TASKS, "patch": 16, "batch": 2}
    result = train(make(**fields, loss=[{"kind": "l1", "against": "teacher"}, {"kind": "mse"}], steps=3))
    records = (result.run / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in records if '"kind": "train"' in line]
    assert {"l1_teacher", "mse"} <= losses[-1].keys()
    assert load_weights(result.run / "last.safetensors").facts.teachers["wise"]["share"] == 1


def test_a_loss_against_a_teacher_without_labels_is_refused(make: Make):
    with pytest.raises(DataError, match="hfmoe label"):
        train(make(loss=[{"kind": "l1", "against": "teacher"}]))


def test_photos_without_a_label_are_held_against_the_truth(labelled: Path, photos: Path):
    both = read_photos([labelled / "*.tar", photos], scale=2)
    pair = batch(both, seed=0, step=0, size=64, patch=8)
    assert pair.teacher is not None
    same = [bool(torch.equal(ours, theirs)) for ours, theirs in zip(pair.target, pair.teacher, strict=True)]
    assert same == [task == "given" for task in pair.tasks] and any(same) and not all(same)


def test_the_command_labels_photos_and_names_what_is_wrong(
    make: Make, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps(make(tasks=TASKS, patch=16).as_data()))
    order = ["label", str(recipe), "--teacher", str(teacher), "--output", str(tmp_path / "out")]
    assert run([*order, "--count", "3"]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["labels-00000.tar"]
    assert run([*order, "--count", "0"]) == 1
    assert "count 0 must be at least 1" in capsys.readouterr().err
    assert run([*order[:3], str(tmp_path / "no.safetensors"), *order[4:], "--count", "3"]) == 1
    assert "no.safetensors: no such weights file" in capsys.readouterr().err


@pytest.mark.slow
def test_a_community_network_teaches_through_torch_and_openvino_alike(make: Make, tmp_path: Path):
    pytest.importorskip("openvino")
    import_spandrel()
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact

    torch.manual_seed(0)
    path = tmp_path / "compact.safetensors"
    save_file(SRVGGNetCompact(num_feat=8, num_conv=2, upscale=2).state_dict(), path)
    image = torch.rand(2, 3, 16, 16)
    through = [load_teacher(path, licence="CC0", engine=engine) for engine in ("torch", "openvino")]
    one, other = (teacher.restore(image) for teacher in through)
    assert one.shape == (2, 3, 32, 32) and (one - other).abs().max() < 0.02
    assert through[0].facts["name"] == "compact" and through[0].scale == 2
