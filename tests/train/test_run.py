"""Whole runs on a tiny network and drawn photos."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

import hfmoe
from hfmoe.data import DataError, Pair, PhotoSet
from hfmoe.image.files import read_picture, write_picture
from hfmoe.image.resize import resize
from hfmoe.models.weights import load_weights
from hfmoe.train import NonFiniteError, Recipe, RunError, TrainingInterrupted, batches, train
from hfmoe.train import loop as training_loop
from hfmoe.train.progress import Progress

Make = Callable[..., Recipe]


def records(run: Path, kind: str) -> list[dict]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_weights(run / "last.safetensors").network.state_dict()


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_training_lowers_the_loss_and_raises_psnr_and_leaves_weights_that_load(make: Make, photos: Path):
    recipe = make(
        steps=60,
        validation={"folder": str(photos), "every": 30},
        log={"every": 10},
        optimizer={"lr": 5e-3},
    )
    result = train(recipe)
    losses = [record["loss"]["l1"] for record in records(recipe.run, "train")]
    psnr = [record["psnr_y"] for record in records(recipe.run, "validation")]
    assert result.finished
    assert losses[-1] < 0.7 * losses[0]
    assert result.best == max(psnr) == psnr[-1]
    loaded = load_weights(recipe.run / "best.safetensors")
    assert loaded.facts.recipe["steps"] == 60
    assert loaded.facts.scores["validation psnr_y"] == psnr[-1]
    assert equal(loaded.network.state_dict(), weights(recipe.run))


def test_a_record_says_what_one_wants_to_see(make: Make):
    recipe = make()
    train(recipe)
    record = records(recipe.run, "train")[-1]
    assert record["step"] == 12
    assert set(record["loss"]) == {"total", "l1", "balance", "z"}
    assert [sum(shares) for shares in record["load"]] == [pytest.approx(1)]
    assert 0 <= record["waiting"] <= 1
    assert record["images_per_second"] > 0
    assert list((recipe.run / "tensorboard").iterdir())


def test_a_run_killed_and_resumed_ends_in_the_same_bits_as_one_that_was_not(
    make: Make, photos: Path, tmp_path: Path
):
    fields: dict[str, Any] = {
        "steps": 40,
        "log": {"every": 1},
        "checkpoint_minutes": 0,
        "patch": [[0, 16], [0.2, 32], [0.6, 16]],
        "loss": [{"kind": "l1", "until": 0.6}, {"kind": "mse", "start": 0.2}],
        "validation": {"folder": str(photos), "every": 6},
    }
    whole, killed = (make(**fields, run=str(tmp_path / name)) for name in ("whole", "killed"))
    train(whole)
    with start(killed, tmp_path) as process:
        try:
            wait_for_step(killed.run, 10, process)
        finally:
            process.kill()
    assert not (killed.run / "last.safetensors").exists()
    assert train(killed, resume=True).finished
    assert equal(weights(whole.run), weights(killed.run))
    assert [record["step"] for record in records(killed.run, "train")] == list(range(1, 41))
    for kind in ("validation", "train"):
        scores = [[record.get("psnr_y"), record.get("loss")] for record in records(killed.run, kind)]
        assert scores == [[record.get("psnr_y"), record.get("loss")] for record in records(whole.run, kind)]


def test_resuming_with_other_photos_is_refused(make: Make, photos: Path, tmp_path: Path):
    other = tmp_path / "photos"
    shutil.copytree(photos, other)
    recipe = make(train=str(other), time_limit_minutes=1e-9)
    train(recipe)
    (other / "0.png").rename(other / "9.png")
    with pytest.raises(RunError, match="other photos"):
        train(recipe, resume=True)
    (other / "9.png").rename(other / "0.png")
    assert train(make(train=str(other)), resume=True).finished


def test_a_recipe_file_that_is_no_mapping_is_named_on_resume(make: Make):
    recipe = make()
    recipe.run.mkdir()
    for text in ("- a list\n", "{broken", ""):
        (recipe.run / "recipe.yaml").write_text(text)
        with pytest.raises(RunError, match=r"recipe\.yaml"):
            train(recipe, resume=True)


def test_sigterm_saves_the_state_and_says_so_and_resuming_ends_in_the_same_bits(make: Make, tmp_path: Path):
    whole = make(run=str(tmp_path / "whole"))
    stopped = make(run=str(tmp_path / "stopped"))
    train(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_loop, "train_step", terminating_at(5, training_loop.train_step))
        with pytest.raises(TrainingInterrupted, match="after step 6") as caught:
            train(stopped)
    assert caught.value.signal == signal.SIGTERM
    assert train(stopped, resume=True).finished
    assert equal(weights(whole.run), weights(stopped.run))


def test_a_time_limit_ends_a_run_that_can_go_on_and_each_end_is_said(
    make: Make, capsys: pytest.CaptureFixture[str]
):
    result = train(make(time_limit_minutes=1e-9))
    assert (result.step, result.finished) == (1, False)
    assert capsys.readouterr().err.endswith("out of time after step 1; --resume goes on\n")
    assert train(make(), resume=True).finished
    assert capsys.readouterr().err.endswith(f"done: {result.run / 'last.safetensors'}\n")


def test_a_folder_that_holds_a_run_is_not_written_over(make: Make):
    recipe = make(steps=2)
    train(recipe)
    before = (recipe.run / "last.safetensors").read_bytes()
    with pytest.raises(RunError, match="already holds a run"):
        train(recipe)
    assert (recipe.run / "last.safetensors").read_bytes() == before


def test_resuming_with_another_recipe_names_the_fields_that_differ(make: Make):
    train(make(steps=2))
    with pytest.raises(RunError, match=r"optimizer\.lr .*0\.001 before, 0\.1 now.*, seed"):
        train(make(steps=2, seed=3, optimizer={"lr": 0.1}), resume=True)


def test_resuming_where_nothing_is_names_the_folder(make: Make, tmp_path: Path):
    with pytest.raises(RunError, match="nowhere holds no run"):
        train(make(run=str(tmp_path / "nowhere")), resume=True)


def test_a_patch_that_fits_no_photo_is_refused_before_the_first_step_whenever_it_comes(make: Make):
    with pytest.raises(DataError, match="room for a patch of 256 x 256"):
        train(make(patch=[[0, 16], [0.9, 256]]))
    assert not make().run.exists()


def test_a_failed_start_leaves_no_run_behind(make: Make, tmp_path: Path):
    with pytest.raises(ValueError, match="nowhere"):
        train(make(train=str(tmp_path / "nowhere")))
    assert not make().run.exists()


def test_a_loss_that_is_not_finite_stops_a_run_without_budget_and_spares_the_checkpoint(make: Make):
    recipe = make(checkpoint_minutes=0, faults={"skips": 0, "rollbacks": 0})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "batch", with_nan_at(7, batches.batch))
        with pytest.raises(NonFiniteError, match="step 8: l1 is not finite; the batch: target image"):
            train(recipe)
    assert torch.load(recipe.run / "last.ckpt", weights_only=True)["step"] == 7
    assert train(recipe, resume=True).finished


def test_another_scale_starts_from_the_weights_of_a_finished_run(make: Make, tmp_path: Path):
    first = make(steps=2)
    train(first)
    start = str(first.run / "last.safetensors")
    assert train(make(steps=1, preset="nano-x4", patch=16, init=start, run=str(tmp_path / "x4"))).finished


def terminating_at(last: int, step_of: Callable[..., object]) -> Callable[..., None]:
    """Wrap a step so that the process gets SIGTERM during step `last`."""

    def step_and_signal(trainer: object, progress: Progress, *rest: object) -> None:
        step_of(trainer, progress, *rest)
        if progress.step == last:
            os.kill(os.getpid(), signal.SIGTERM)

    return step_and_signal


def with_nan_at(bad: int, batch_of: Callable[..., Pair]) -> Callable[..., Pair]:
    """Wrap the source of batches so that the target of step `bad` is not a number."""

    def batch(photos: PhotoSet, *, step: int, **rest: int) -> Pair:
        pair = batch_of(photos, step=step, **rest)
        return pair._replace(target=pair.target * float("nan")) if step == bad else pair

    return batch


def start(recipe: Recipe, folder: Path) -> subprocess.Popen[bytes]:
    """Train in another process."""
    plain = folder / "recipe.json"
    plain.write_text(json.dumps(recipe.as_data()))
    code = "import sys; from hfmoe.train import load_recipe, train; train(load_recipe(sys.argv[1]))"
    source = str(Path(hfmoe.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-c", code, str(plain)],
        env={**os.environ, "PYTHONPATH": source},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for_step(run: Path, step: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the log of a run has reached a step."""
    log = run / "metrics.jsonl"
    for _ in range(30000):
        if log.exists() and len(log.read_text().splitlines()) >= step:
            return
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    raise TimeoutError(f"no step {step} in {log}")


def test_bfloat16_trains_and_keeps_float32_weights(make: Make):
    recipe = make(steps=2, hardware={"precision": "bf16-mixed", "accelerator": "cpu"})
    train(recipe)
    assert all(
        tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in weights(recipe.run).values()
    )


def test_float16_trains_keeps_its_loss_scale_and_goes_on_with_it(make: Make, tmp_path: Path):
    hardware = {"precision": "16-mixed", "accelerator": "cpu", "threads": 1}
    whole, halved = (make(steps=4, hardware=hardware, run=str(tmp_path / name)) for name in ("a", "b"))
    train(whole)
    assert all(
        tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in weights(whole.run).values()
    )
    states = [torch.load(whole.run / "last.ckpt", weights_only=True)]
    assert states[0]["precision"]["_growth_tracker"] == 4
    train(make(steps=4, hardware=hardware, run=str(halved.run), time_limit_minutes=1e-9))
    train(halved, resume=True)
    states.append(torch.load(halved.run / "last.ckpt", weights_only=True))
    assert states[0]["precision"] == states[1]["precision"]
    assert equal(weights(whole.run), weights(halved.run))


def test_gradients_that_overflow_float16_leave_the_weights_alone_and_halve_the_scale(make: Make):
    recipe = make(
        steps=1,
        hardware={"precision": "16-mixed", "accelerator": "cpu"},
        loss=[{"kind": "l1", "weight": 1e30}],
    )
    train(recipe)
    state = torch.load(recipe.run / "last.ckpt", weights_only=True)
    assert state["precision"]["scale"] == 2.0**15
    assert not state["optimizer"]["state"]
    assert records(recipe.run, "train")[0]["gradient_norm"] == 0


TASKS = [
    {"kind": "denoise", "sigma": {"from": [5, 10], "to": [5, 40], "until": 0.5}},
    {"kind": "photo", "strength": {"from": 0, "to": 0.5}, "start": 0.3},
    {"kind": "jpeg", "until": 0.6},
]


def test_a_run_with_tasks_shows_how_they_change_and_scores_each(
    make: Make, photos: Path, capsys: pytest.CaptureFixture[str]
):
    recipe = make(
        preset="nano-x1",
        tasks=TASKS,
        steps=10,
        log={"every": 5},
        validation={"folder": str(photos), "every": 5, "images": 1},
    )
    train(recipe)
    shown = records(recipe.run, "tasks")
    assert [record["step"] for record in shown if "changing" in record] == [1, 4, 6, 7]
    assert [record["step"] for record in shown if "changing" not in record] == [5, 10]
    assert next(record for record in shown if record["step"] == 5)["denoise"]["sigma"] == [5, 34]
    scores = records(recipe.run, "validation")[-1]
    assert list(scores["tasks"]) == ["denoise 15", "denoise 25", "jpeg 10", "jpeg 40", "photo"]
    assert scores["psnr"] == pytest.approx(sum(scores["tasks"].values()) / 5)
    said = capsys.readouterr().err
    assert "from step 4: denoise 33% (sigma 5 to 28), photo 33% (strength 0.15, second 1), jpeg 33%" in said
    facts = load_weights(recipe.run / "best.safetensors").facts
    assert facts.task == "photo"
    assert "validation denoise 25 psnr" in facts.scores


def test_a_run_with_tasks_that_was_stopped_ends_in_the_same_bits(make: Make, tmp_path: Path):
    fields: dict[str, Any] = {"preset": "nano-x1", "tasks": TASKS, "steps": 10, "log": {"every": 1}}
    whole, stopped = (make(**fields, run=str(tmp_path / name)) for name in ("whole", "stopped"))
    train(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_loop, "train_step", terminating_at(4, training_loop.train_step))
        with pytest.raises(TrainingInterrupted):
            train(stopped)
    assert train(stopped, resume=True).finished
    assert equal(weights(whole.run), weights(stopped.run))
    shown = [[{**record, "time": 0} for record in records(run.run, "tasks")] for run in (whole, stopped)]
    assert shown[0] == shown[1]
    losses = [[record["loss"] for record in records(run.run, "train")] for run in (whole, stopped)]
    assert losses[0] == losses[1]


def test_a_run_of_before_there_were_tasks_can_go_on(make: Make):
    recipe = make(time_limit_minutes=1e-9)
    train(recipe)
    state = torch.load(recipe.run / "last.ckpt", weights_only=True)
    before = json.loads(state["recipe"])
    del before["tasks"]
    torch.save({**state, "recipe": json.dumps(before)}, recipe.run / "last.ckpt")
    assert train(make(), resume=True).finished


def test_pairs_are_trained_on_and_scored_as_they_are(make: Make, photos: Path, tmp_path: Path):
    pairs = {"degraded": str(photos), "target": str(photos)}
    recipe = make(preset="nano-x1", train=[pairs], steps=3, validation={"folder": pairs, "every": 3})
    train(recipe)
    assert list(records(recipe.run, "validation")[0]["tasks"]) == ["given"]


@pytest.mark.parametrize("preset", ["nano-x1", "nano-x2"])
def test_a_crop_as_large_as_the_pairs_leaves_their_score_alone(
    make: Make, photos: Path, tmp_path: Path, preset: str
):
    small = tmp_path / "small"
    small.mkdir()
    scale = 2 if preset == "nano-x2" else 1
    for path in photos.iterdir():
        picture = read_picture(path)
        colour = resize(picture.colour, scale=Fraction(1, scale)) if scale > 1 else picture.colour * 0.9
        write_picture(small / path.name, replace(picture, colour=colour.clamp(0, 1)))
    pairs = {"degraded": str(small), "target": str(photos)}
    scores = []
    for name, crop in (("whole", None), ("cropped", 96)):
        fields = {"folder": pairs, "every": 3, "crop": crop}
        recipe = make(preset=preset, train=[pairs], steps=3, validation=fields, run=str(tmp_path / name))
        train(recipe)
        scores.append(records(recipe.run, "validation")[0]["tasks"])
        assert "validation psnr" in load_weights(recipe.run / "best.safetensors").facts.scores
    assert scores[0] == scores[1] and list(scores[0]) == ["given"]


def test_a_network_of_scale_one_without_tasks_is_validated_on_pairs_or_not_at_all(make: Make, photos: Path):
    pairs = {"degraded": str(photos), "target": str(photos)}
    with pytest.raises(ValueError, match=r"validation\.folder .* must be pairs"):
        make(preset="nano-x1", train=[pairs], validation={"folder": str(photos)})


def test_clean_photos_at_scale_one_without_a_task_are_named(make: Make, photos: Path):
    pairs = {"degraded": str(photos), "target": str(photos)}
    with pytest.raises(ValueError, match=r"0\.png has no degraded side"):
        train(make(preset="nano-x1", train=[pairs, str(photos)]))
