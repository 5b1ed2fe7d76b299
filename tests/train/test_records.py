"""What a run records: mean loads, sessions, samples, TensorBoard tags, the live line."""

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console

from hfmoe.image.files import read_picture
from hfmoe.nn.routing import LayerRouting
from hfmoe.runtime.machine import commit, processor
from hfmoe.train import Recipe, train
from hfmoe.train import screen as screens
from hfmoe.train.monitor import Meter, evenness
from hfmoe.train.progress import Progress
from hfmoe.train.run_log import read_records
from hfmoe.train.sample_grids import (
    KEPT_STEPS,
    LARGEST,
    file_names,
    keep_samples,
    sample_steps,
    samples_due,
    thin,
)
from hfmoe.train.validation import Example

Make = Callable[..., Recipe]


def routing(*loads: list[float]) -> tuple[LayerRouting, ...]:
    empty = torch.zeros(1, 1, 1, 1)
    return tuple(
        LayerRouting(empty.long(), empty, torch.tensor(load), torch.zeros(()), torch.zeros(()))
        for load in loads
    )


def note(meter: Meter, step: int, *loads: list[float]) -> None:
    losses = {"total": torch.tensor(1.0)}
    meter.note(step, losses, norm=torch.tensor(1.0), routing=routing(*loads), images=1, seconds=0.1)


def test_the_recorded_load_is_the_mean_over_the_interval():
    meter = Meter()
    note(meter, 0, [1.0, 0.0], [0.5, 0.5])
    note(meter, 1, [0.5, 0.5], [0.25, 0.75])
    note(meter, 2, [0.0, 1.0], [0.0, 1.0])
    record = meter.read()
    assert record["load"] == [pytest.approx([0.5, 0.5]), pytest.approx([0.25, 0.75])]
    assert record["evenness"] == pytest.approx([1.0, evenness([0.25, 0.75])])
    note(meter, 3, [0.125, 0.875], [1.0, 0.0])
    assert meter.read()["load"] == [[0.125, 0.875], [1.0, 0.0]]


def test_the_meter_leaves_the_loads_it_is_given_alone():
    meter, given = Meter(), routing([1.0, 0.0])
    for step in range(3):
        losses = {"total": torch.tensor(1.0)}
        meter.note(step, losses, norm=torch.tensor(1.0), routing=given, images=1, seconds=0.1)
    assert given[0].load.tolist() == [1.0, 0.0]


def test_noting_a_step_never_reads_a_tensor(monkeypatch: pytest.MonkeyPatch):
    meter, waits = Meter(), []
    for name in ("tolist", "item", "cpu", "numpy", "__bool__", "__float__"):
        monkeypatch.setattr(torch.Tensor, name, lambda self, name=name: waits.append(name))
    for step in range(3):
        note(meter, step, [1.0, 0.0])
    assert waits == []


def test_evenness_is_0_for_one_expert_and_1_for_all_the_same():
    assert evenness([1.0, 0.0, 0.0]) == 0
    assert evenness([0.25] * 4) == pytest.approx(1)
    assert evenness([0.5, 0.5, 0.0, 0.0]) == pytest.approx(0.5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_has_a_named_curve_for_everything(make: Make, photos: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = make(validation={"folder": str(photos), "every": 6}, log={"every": 4, "samples_every": 6})
    train(recipe)
    board = EventAccumulator(str(recipe.run / "tensorboard"))
    board.Reload()
    tags = board.Tags()
    wanted = {
        *(f"train/loss/{term}" for term in ("total", "l1", "balance", "z")),
        *("train/lr", "train/gradient_norm", "train/temperature", "train/images_per_second", "train/waiting"),
        *("load/layer_1/expert_1", "load/layer_1/expert_2", "load/layer_1/evenness"),
        *("validation/psnr_y", "validation/best"),
    }
    assert wanted <= set(tags["scalars"])
    assert not [tag for tag in tags["scalars"] if "session" in tag or "time" in tag.split("/")]
    assert set(tags["images"]) == {"0.png", "1.png", "2.png"}
    records = [record for record in read_records(recipe.run / "metrics.jsonl").records if "load" in record]
    drawn = [event.value for event in board.Scalars("load/layer_1/expert_2")]
    assert drawn == pytest.approx([record["load"][0][1] for record in records])


def test_a_session_says_where_it_runs_and_a_resumed_run_has_one_more(make: Make, photos: Path):
    recipe = make(time_limit_minutes=1e-9)
    train(recipe)
    train(make(), resume=True)
    text = (recipe.run / "metrics.jsonl").read_text()
    sessions = [record for record in map(json.loads, text.splitlines()) if record["kind"] == "session"]
    assert [(record["step"], record["resumed"]) for record in sessions] == [(0, False), (1, True)]
    for record in sessions:
        assert record["photos"] == 3 and record["processes"] == 1 and record["threads"] == 1
        assert record["torch"] == torch.__version__ and record["precision"] == "32-true"
        assert record["cpu"] and record["cores"] >= 1 and record["memory_gib"] > 0 and record["gpus"] == []
        assert len(record["code"]) == 64
    assert str(Path.home()) not in text.replace(str(recipe.run), "")


def test_a_session_that_began_beyond_the_checkpoint_is_forgotten_with_its_steps(make: Make):
    recipe = make(time_limit_minutes=1e-9)
    train(recipe)
    with (recipe.run / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "session", "step": 7}\n{"kind": "train", "step": 8}\n5\n{"half')
    train(make(), resume=True)
    found = read_records(recipe.run / "metrics.jsonl")
    assert found.damaged == 0
    assert [record["step"] for record in found.records if record["kind"] == "session"] == [0, 1]


def test_the_commit_is_that_of_a_checkout_that_tracks_the_package(tmp_path: Path):
    def git(*arguments: str) -> str:
        names = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        command = ("git", "-C", str(tmp_path), *names, *arguments)
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    source = tmp_path / "module.py"
    source.write_text("1\n")
    assert commit(source) is None
    git("init", "-q")
    assert commit(source) is None
    git("add", "module.py")
    git("commit", "-q", "-m", "one")
    assert commit(source) == git("rev-parse", "HEAD")
    source.write_text("2\n")
    assert commit(source) == git("rev-parse", "HEAD") + "+"
    (tmp_path / "other.py").write_text("")
    assert commit(tmp_path / "other.py") is None


def test_the_processor_has_a_name_on_every_system(tmp_path: Path):
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: Abacus 3\n")
    assert processor(file) == "Abacus 3"
    assert processor(tmp_path / "none")


def example(name: str, *, side: int) -> Example:
    generator = torch.Generator().manual_seed(len(name))
    target = torch.rand(1, 3, side, side, generator=generator)
    return Example(name, target[..., ::2, ::2], target)


def test_samples_are_degraded_restored_target_in_8_bits(tmp_path: Path):
    photo = example("a.jpg", side=32)
    restored = torch.full((1, 3, 32, 32), 1.5)
    keep_samples(tmp_path, [photo], [restored], step=40, scale=2)
    kept = read_picture(tmp_path / "step-000040" / "a.png").colour
    assert kept.shape == (3, 32, 96)
    assert torch.allclose(kept[..., :32:2][:, ::2], photo.degraded[0], atol=0.5 / 255 + 1e-6)
    assert (kept[..., 32:64] == 1).all()
    assert torch.allclose(kept[..., 64:], photo.target[0], atol=0.5 / 255 + 1e-6)
    assert [path.name for path in (tmp_path / "step-000040").iterdir()] == ["a.png"]


def test_samples_are_bounded_in_size_and_number(tmp_path: Path):
    photo = example("a.png", side=LARGEST + 80)
    keep_samples(tmp_path / "large", [photo], [photo.target], step=1, scale=2)
    kept = read_picture(tmp_path / "large" / "step-000001" / "a.png").colour
    assert kept.shape == (3, LARGEST, 3 * LARGEST)
    small = example("a.png", side=16)
    for step in range(100, 6100, 100):
        keep_samples(tmp_path / "many", [small], [small.target], step=step, scale=2)
    steps = [step for step, _ in sample_steps(tmp_path / "many")]
    assert len(steps) == KEPT_STEPS
    assert (steps[0], steps[-1]) == (100, 6000)
    gaps = [after - before for before, after in zip(steps, steps[1:], strict=False)]
    assert max(gaps) <= 4 * min(gaps)


def test_two_photos_of_one_name_keep_their_own_files():
    photos = [example(name, side=16) for name in ("a.png", "a.jpg", "b.png")]
    assert file_names(photos) == ["a.png", "a.jpg", "b"]


def test_other_folders_among_the_samples_are_left_alone(tmp_path: Path):
    for name in ("step-000001", "step-000002", "step-000003", "mine", "step-x"):
        (tmp_path / name).mkdir()
    thin(tmp_path, kept=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "mine",
        "step-000001",
        "step-000003",
        "step-x",
    ]


def test_samples_come_with_the_first_validation_after_they_are_due(make: Make):
    recipe = make(steps=100, validation={"every": 20}, log={"samples_every": 30})
    assert [step for step in range(20, 101, 20) if samples_due(step, recipe, last=step == 100)] == [
        40,
        60,
        100,
    ]


def test_a_run_keeps_samples_and_forgets_those_beyond_the_step_it_goes_on_from(make: Make, photos: Path):
    fields = {"validation": {"folder": str(photos), "every": 4}, "log": {"samples_every": 4, "samples": 2}}
    recipe = make(**fields, time_limit_minutes=1e-9)
    train(recipe)
    later = recipe.run / "samples" / "step-000009"
    later.mkdir(parents=True)
    train(make(**fields), resume=True)
    found = dict(sample_steps(recipe.run / "samples"))
    assert list(found) == [4, 8, 12]
    assert sorted(path.name for path in found[12].iterdir()) == ["0.png", "1.png"]


def test_a_folder_that_takes_no_samples_does_not_end_the_run(
    make: Make, photos: Path, capsys: pytest.CaptureFixture[str]
):
    recipe = make(validation={"folder": str(photos), "every": 6})
    recipe.run.mkdir()
    (recipe.run / "samples").write_text("in the way")
    assert train(recipe).finished
    assert "no sample pictures of step 12" in capsys.readouterr().err


def test_the_live_line_moves_between_records(monkeypatch: pytest.MonkeyPatch):
    file = io.StringIO()
    monkeypatch.setattr(
        screens,
        "Console",
        lambda **_: Console(file=file, force_terminal=True, width=160, legacy_windows=False),
    )
    with screens.Screen(name="mine", progress=Progress(1000)) as screen:
        screen.tick(Progress(1000, step=7))
        screen.tick(Progress(1000, step=8))
        assert "7/1000" in file.getvalue() and "8/1000" not in file.getvalue()
        screen.tick(Progress(1000, step=10))
        record = {"kind": "train", "step": 10, "loss": {"total": 0.5}, "load": [[0.25, 0.75]], "lr": 1e-3}
        screen.show({**record, "images_per_second": 12.0, "waiting": 0.01, "gradient_norm": 0.1})
    for shown in ("10/1000", "loss 0.50000", "experts 0.25/0.75", "12.0 images/s", "left"):
        assert shown in file.getvalue()
