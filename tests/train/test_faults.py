"""Numbers that are not finite: named, left out, returned from, or the end; the same after a kill."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

import hfmoe
from hfmoe.cli.app import run as command
from hfmoe.data import DataError, Pair, PhotoSet
from hfmoe.train import NonFiniteError, Recipe, TrainingInterrupted, batches, train
from hfmoe.train import loop as training_loop
from hfmoe.train.faults import decide
from hfmoe.train.fields import Faults
from hfmoe.train.progress import Progress
from hfmoe.train.trainer import Trainer

Make = Callable[..., Recipe]
Step = Callable[[Trainer, Progress, Pair], Any]

NAN = float("nan")
EVERY_STEP: dict[str, Any] = {"checkpoint_minutes": 0, "log": {"every": 1}}


def faults(run: Path) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == "fault"]


def state(run: Path, name: str = "last.ckpt") -> dict[str, Any]:
    return torch.load(run / name, weights_only=True)


def learned(run: Path, name: str = "last.ckpt") -> dict[str, Any]:
    kept = state(run, name)
    return {part: kept[part] for part in ("network", "average", "optimizer", "precision")}


def equal(one: Any, other: Any) -> bool:
    """Tell whether two nested states hold the same bits."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


@contextmanager
def bad_batches(*steps: int, side: str = "target") -> Iterator[None]:
    """Put one number that is none into the batches of steps, counted from 1."""
    batch_of = batches.batch

    def batch(photos: PhotoSet, *, step: int, **rest: Any) -> Pair:
        pair = batch_of(photos, step=step, **rest)
        if step + 1 in steps:
            getattr(pair, side)[1, 0, 5, 7] = NAN
        return pair

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "batch", batch)
        yield


@contextmanager
def before_step(number: int, harm: Callable[[Trainer], Callable[[], None] | None]) -> Iterator[None]:
    """Do something to a run right before a step, counted from 1; what it gives is called before the next."""
    step_of: Step = training_loop.train_step
    undo: list[Callable[[], None]] = []

    def step(trainer: Trainer, progress: Progress, pair: Pair) -> Any:
        while undo:
            undo.pop()()
        if progress.step + 1 == number and (repair := harm(trainer)):
            undo.append(repair)
        return step_of(trainer, progress, pair)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_loop, "train_step", step)
        yield


@contextmanager
def stopped_after(number: int) -> Iterator[None]:
    """End the run after a step, as SIGTERM does."""
    with before_step(number, lambda _: os.kill(os.getpid(), 15)), pytest.raises(TrainingInterrupted):
        yield


def test_a_batch_that_is_not_finite_is_named_and_kept_and_its_step_left_out(make: Make):
    recipe = make(**EVERY_STEP)
    with bad_batches(5):
        assert train(recipe).finished
    (fault,) = faults(recipe.run)
    assert fault["step"] == 5
    assert fault["what"] == "the batch: target image 2 of 2 is not finite"
    assert (fault["term"], fault["module"], fault["action"]) == ("l1", None, "skipped")
    with safe_open(recipe.run / fault["batch"], framework="pt") as file:
        assert file.get_tensor("target").isnan().sum() == 1
        assert file.get_tensor("degraded").shape == (2, 3, 32, 32)
        facts = file.metadata()
    assert facts["step"] == "5"
    assert facts["recipe"] == recipe.digest()
    assert {crop["photo"] for crop in json.loads(facts["samples"])} <= {"0.png", "1.png", "2.png"}
    records = map(json.loads, (recipe.run / "metrics.jsonl").read_text().splitlines())
    steps = [record["step"] for record in records if record["kind"] == "train"]
    assert steps == [step for step in range(1, 13) if step != 5]


def test_a_step_left_out_changes_no_bit_of_what_learns(make: Make, tmp_path: Path):
    four, five = (make(**EVERY_STEP, run=str(tmp_path / name)) for name in ("four", "five"))
    with stopped_after(4):
        train(four)
    with bad_batches(5), stopped_after(5):
        train(five)
    assert equal(learned(four.run), learned(five.run))
    assert (state(four.run)["step"], state(five.run)["step"]) == (4, 5)
    assert state(five.run)["skipped"] == (5,)


def test_a_layer_that_breaks_is_named_with_the_terms_it_spoils(make: Make):
    def spoil(trainer: Trainer) -> Callable[[], None]:
        layer = trainer.learner.network.get_submodule("texture.0")
        return layer.register_forward_hook(lambda *seen: NAN * seen[-1]).remove

    recipe = make()
    with before_step(6, spoil):
        assert train(recipe).finished
    (fault,) = faults(recipe.run)
    assert (fault["step"], fault["module"], fault["term"]) == (6, "texture.0", "l1")
    assert fault["action"] == "skipped"


def test_a_gradient_that_breaks_alone_is_named_by_the_first_module_going_backward(make: Make):
    def spoil(trainer: Trainer) -> Callable[[], None]:
        layer = trainer.learner.network.get_submodule("filter")
        handle = layer.register_forward_hook(
            lambda module, given, output: output.register_hook(lambda gradient: gradient * NAN) and None
        )
        return handle.remove

    recipe = make()
    with before_step(6, spoil):
        assert train(recipe).finished
    (fault,) = faults(recipe.run)
    assert fault["term"] == "gradient norm"
    assert fault["module"].startswith("filter.")
    assert "gradient of filter." in fault["what"]


def test_a_damaged_optimiser_is_named_and_the_run_returns_to_the_good_state(make: Make):
    def spoil(trainer: Trainer) -> None:
        means = next(iter(trainer.learner.optimizer.state.values()))
        means["exp_avg"].fill_(NAN)

    recipe = make(faults={"keep_every": 4})
    with before_step(6, spoil):
        assert train(recipe).finished
    (fault,) = faults(recipe.run)
    assert "exp_avg of stem." in fault["what"]
    assert "in the optimiser is not finite" in fault["what"]
    assert (fault["step"], fault["action"], fault["to"]) == (7, "rolled back", 4)
    assert all(value.isfinite().all() for value in state(recipe.run)["network"].values())
    assert state(recipe.run)["rollbacks"] == 1


def test_a_state_that_is_not_finite_is_never_saved(make: Make):
    def spoil(trainer: Trainer) -> None:
        with torch.no_grad():
            next(iter(trainer.learner.average.network.parameters())).fill_(NAN)

    recipe = make(**EVERY_STEP, faults={"keep_every": 4})
    with before_step(6, spoil):
        assert train(recipe).finished
    (fault,) = faults(recipe.run)
    assert fault["what"].startswith("the weight average of stem.")
    assert (fault["step"], fault["to"]) == (6, 4)


def test_a_return_takes_the_weights_back_and_lets_the_steps_go_on(make: Make):
    recipe = make(**EVERY_STEP, faults={"keep_every": 4, "skips": 1})
    with bad_batches(6, 7), stopped_after(7):
        train(recipe)
    assert [(fault["step"], fault["action"]) for fault in faults(recipe.run)] == [
        (6, "skipped"),
        (7, "rolled back"),
    ]
    assert equal(learned(recipe.run), learned(recipe.run, "good.ckpt"))
    assert (state(recipe.run)["step"], state(recipe.run, "good.ckpt")["step"]) == (7, 4)


def test_a_used_up_budget_ends_the_run_and_says_where_and_why(make: Make):
    recipe = make(faults={"skips": 1, "rollbacks": 1})
    with (
        bad_batches(*range(5, 12), side="degraded"),
        pytest.raises(
            NonFiniteError, match=r"step 8: .*degraded image 2.*step-000008\.safetensors.*last\.ckpt"
        ),
    ):
        train(recipe)
    assert [fault["action"] for fault in faults(recipe.run)] == [
        "skipped",
        "rolled back",
        "skipped",
        "stopped",
    ]
    assert len(list((recipe.run / "faults").iterdir())) == 3
    assert train(recipe, resume=True).finished


def test_a_run_that_could_keep_no_state_ends_where_it_would_return(make: Make):
    def lose(trainer: Trainer) -> None:
        trainer.folder.good.unlink()

    with (
        bad_batches(6),
        before_step(6, lose),
        pytest.raises(NonFiniteError, match="step 6: l1 .* no good state was kept"),
    ):
        train(make(faults={"skips": 0}))


def test_a_run_ended_by_faults_has_an_exit_status_of_its_own(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    recipe = make(faults={"skips": 0, "rollbacks": 0})
    plain = tmp_path / "recipe.json"
    plain.write_text(json.dumps(recipe.as_data()))
    with bad_batches(3):
        assert command(["train", str(plain)]) == 3
    assert "hfmoe: step 3: l1 is not finite" in capsys.readouterr().err


def test_a_run_with_faults_stopped_and_resumed_ends_in_the_same_bits(make: Make, tmp_path: Path):
    fields = {"faults": {"keep_every": 4, "skips": 1}, "steps": 14}
    whole = make(**fields, run=str(tmp_path / "whole"))
    with bad_batches(6, 8, 9):
        train(whole)
        for step in (5, 6, 7, 8, 9):
            stopped = make(**fields, run=str(tmp_path / f"stopped-{step}"))
            with stopped_after(step):
                train(stopped)
            assert train(stopped, resume=True).finished
            assert equal(learned(whole.run), learned(stopped.run))
            one, other = (faults(run) for run in (whole.run, stopped.run))
            assert [(fault["step"], fault["action"]) for fault in one] == [
                (fault["step"], fault["action"]) for fault in other
            ]


def test_only_the_newest_batches_are_kept(make: Make):
    recipe = make(faults={"saved_batches": 2})
    with bad_batches(3, 4, 5):
        assert train(recipe).finished
    assert sorted(path.name for path in (recipe.run / "faults").iterdir()) == [
        "step-000004.safetensors",
        "step-000005.safetensors",
    ]


def test_the_window_of_skips_moves_with_the_run():
    budget = Faults(skips=2, window=10)
    progress = Progress(100)
    for step in (5, 9, 16, 20, 27):
        action, progress = decide(Progress(100, step=step, skipped=progress.skipped), budget, lasting=False)
        assert action == "skipped"
    action, progress = decide(Progress(100, step=28, skipped=progress.skipped), budget, lasting=False)
    assert (action, progress.skipped, progress.rollbacks) == ("rolled back", (), 1)


def test_overflows_of_float16_are_no_faults(make: Make):
    recipe = make(
        steps=3,
        hardware={"precision": "16-mixed", "accelerator": "cpu"},
        loss=[{"kind": "l1", "weight": 1e30}],
    )
    assert train(recipe).finished
    assert faults(recipe.run) == []


def test_a_batch_that_is_not_finite_leaves_the_scale_of_float16_alone(make: Make):
    recipe = make(steps=3, hardware={"precision": "16-mixed", "accelerator": "cpu"})
    with bad_batches(2):
        assert train(recipe).finished
    assert [fault["step"] for fault in faults(recipe.run)] == [2]
    assert state(recipe.run)["precision"]["scale"] == 2.0**16
    assert state(recipe.run)["precision"]["_growth_tracker"] == 2


@pytest.mark.slow
def test_two_processes_leave_out_the_same_step(make: Make, tmp_path: Path):
    recipe = make(batch=4, hardware={"accelerator": "cpu", "threads": 1, "devices": 2})
    plain = tmp_path / "recipe.json"
    plain.write_text(json.dumps(recipe.as_data()))
    code = """
import sys
from hfmoe.train import batches, load_recipe, train
batch_of = batches.batch
def batch(photos, *, step, part, **rest):
    pair = batch_of(photos, step=step, part=part, **rest)
    if step == 4 and part == 1:
        pair.target[0, 0, 0, 0] = float("nan")
    return pair
batches.batch = batch
train(load_recipe(sys.argv[1]))
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script), str(plain)],
        env={**os.environ, "PYTHONPATH": str(Path(hfmoe.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (fault,) = faults(recipe.run)
    assert (fault["step"], fault["term"], fault["action"]) == (5, "l1", "skipped")
    assert fault["what"].startswith("the batch: target image 1 of 2")
    with safe_open(recipe.run / fault["batch"], framework="pt") as file:
        assert file.get_tensor("target")[:, 0, 0, 0].isnan().tolist() == [False, True, False, False]


def test_a_batch_that_cannot_be_made_names_its_step_and_photos(make: Make, monkeypatch: pytest.MonkeyPatch):
    batch_of = batches.batch

    def batch(photos: PhotoSet, *, step: int, **rest: Any) -> Pair:
        if step == 4:
            raise OSError(5, "Input/output error")
        return batch_of(photos, step=step, **rest)

    monkeypatch.setattr(batches, "batch", batch)
    recipe = make(checkpoint_minutes=0)
    with pytest.raises(DataError, match=r"step 5: no batch could be made of .*\.png: .*Input/output error"):
        train(recipe)
    assert state(recipe.run)["step"] in (3, 4)


GAN: dict[str, Any] = {"loss": [{"kind": "l1"}, {"kind": "adversarial"}], "discriminator": {"width": 4}}


def test_a_discriminator_that_breaks_in_its_step_is_named_and_stays_as_it_was(make: Make, tmp_path: Path):
    def spoil(trainer: Trainer) -> Callable[[], None]:
        assert trainer.learner.discriminator
        layer = trainer.learner.discriminator.network.get_submodule("leave")
        weight = next(layer.parameters())
        return layer.register_forward_hook(
            lambda *seen: NAN * seen[-1] if weight.requires_grad else None
        ).remove

    recipe = make(**EVERY_STEP, **GAN)
    with stopped_after(4):
        train(recipe)
    before = state(recipe.run)["adversary"]
    with before_step(5, spoil), stopped_after(5):
        train(recipe, resume=True)
    (fault,) = faults(recipe.run)
    assert fault["module"] == "discriminator.leave"
    assert fault["term"] == "discriminator, logit_restored, logit_target"
    assert equal(state(recipe.run)["adversary"], before)
    assert train(recipe, resume=True).finished


def test_a_damaged_optimiser_of_the_discriminator_is_named(make: Make):
    def spoil(trainer: Trainer) -> None:
        assert trainer.learner.discriminator
        next(iter(trainer.learner.discriminator.optimizer.state.values()))["exp_avg_sq"].fill_(NAN)

    recipe = make(**GAN, faults={"keep_every": 4})
    with before_step(6, spoil):
        assert train(recipe).finished
    (fault,) = faults(recipe.run)
    assert "exp_avg_sq of discriminator." in fault["what"]
    assert (fault["step"], fault["action"], fault["to"]) == (7, "rolled back", 4)


def test_a_batch_that_is_not_finite_touches_no_discriminator(make: Make, tmp_path: Path):
    four, five = (make(**EVERY_STEP, **GAN, run=str(tmp_path / name)) for name in ("four", "five"))
    with stopped_after(4):
        train(four)
    with bad_batches(5), stopped_after(5):
        train(five)
    assert equal(state(four.run)["adversary"], state(five.run)["adversary"])
    assert equal(learned(four.run), learned(five.run))
