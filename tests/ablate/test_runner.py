"""A study goes on where it stopped: done runs stay, changed ones are refused, failing ones are told."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hfmoe.ablate import worker
from hfmoe.ablate.costs import measure
from hfmoe.ablate.plan import plan
from hfmoe.ablate.ray_runner import Room, check_room, leave_stop_file, needs_of
from hfmoe.ablate.report import write_results
from hfmoe.ablate.results import Results
from hfmoe.ablate.run_state import next_action, state_of
from hfmoe.ablate.runner import do_study, make_executor, recipes_of
from hfmoe.ablate.study import Study, StudyError, Timing
from hfmoe.data.sources import DataError
from hfmoe.image.files import Picture, write_picture
from hfmoe.models.header import WeightsError
from hfmoe.models.presets import PRESETS
from hfmoe.models.weights import load_weights
from hfmoe.runtime.files import BusyError, locked, write_json
from hfmoe.runtime.machine import machine
from hfmoe.train import train

Make = Callable[..., Study]
Here = Any
DIVERGING = {
    "loss": [{"kind": "l1", "weight": 1e30}, {"kind": "mse", "weight": 1e38}],
    "faults": {"skips": 0, "rollbacks": 0},
}
PEER = {"network": "hfmoe.ablate.peers:PlainNetwork", "arguments": {"dim": 4, "blocks": 1, "scale": 2}}
done = pytest.mark.usefixtures("done")


def do(study: Study, *, anew: bool = False) -> Results:
    return do_study(study, executor=make_executor(), anew=anew, notify=lambda *_: None)


@done
def test_done_runs_are_not_run_again_and_new_variants_and_seeds_are_added(make: Make, here: Here):
    shutil.rmtree(make().folder / "peer")
    weights = {path: path.stat().st_mtime_ns for path in make().folder.rglob("*.safetensors")}
    assert weights
    found = do(make())
    assert not here.done and [row.steps for row in found.rows] == [4, 4]
    variants = {"full": {}, "slow": {"optimizer.lr": 1e-5}, "peer": PEER}
    found = do(make(variants=variants, seeds=[0]))
    assert here.done == ["peer, seed 0"] and not found.failed
    assert all(path.stat().st_mtime_ns == before for path, before in weights.items())


@done
def test_a_run_whose_own_settings_changed_is_refused_or_made_anew_and_others_stay(make: Make, here: Here):
    changed = make(seeds=[0], variants={"full": {}, "slow": {"optimizer.lr": 2e-5}})
    with pytest.raises(StudyError, match=r"slow/seed-0 .*optimizer.lr \(1e-05 before, 2e-05 now\).*--anew"):
        do(changed)
    assert not here.done
    do(changed, anew=True)
    assert here.done == ["slow, seed 0"]


@done
def test_runs_of_a_version_without_some_fields_are_not_run_again(make: Make, here: Here):
    study = make(seeds=[0], variants={"full": {}, "peer": PEER})
    for path in study.folder.rglob("settings.json"):
        settings = json.loads(path.read_text())
        del settings["recipe"]["perturb"]["random_expert"]
        settings["config"].pop("residual_scale", None)
        path.write_text(json.dumps(settings))
    assert not do(study).failed and not here.done


@pytest.mark.parametrize("spoil", ["younger", "unknown", "none", "list"])
def test_settings_that_lack_what_the_run_has_or_say_nothing_are_changed(make: Make, spoil: str):
    study = make(seeds=[0], variants={"full": {"perturb.random_expert": 0.25}})
    (run,) = plan(study)
    settings = run.settings()
    if spoil == "younger":
        del settings["recipe"]["perturb"]["random_expert"]
    elif spoil == "unknown":
        settings["recipe"]["network"] = {"no_such_field": 3}
    else:
        settings = {"recipe": None, "config": []} if spoil == "list" else {"recipe": None, "config": None}
    write_json(_made(run.folder) / "settings.json", settings)
    assert state_of(run, study.evaluate).state == "changed"


@done
def test_a_preset_that_changed_concerns_no_network_that_is_not_ours(
    make: Make, here: Here, monkeypatch: pytest.MonkeyPatch
):
    study = make(seeds=[0], variants={"full": {}, "peer": PEER})
    monkeypatch.setitem(PRESETS, "nano-x2", replace(PRESETS["nano-x2"], residual_scale=0.5))
    with pytest.raises(StudyError, match=r"full/seed-0 .*residual_scale"):
        do(study)
    do(study, anew=True)
    assert here.done == ["full, seed 0"]


@done
def test_another_way_to_score_trains_nothing_again(make: Make, here: Here, photos: Path):
    first = do(make(seeds=[0]))
    trained = [path.read_bytes() for path in sorted(make().folder.rglob("trained.json"))]
    second = do(make(seeds=[0], evaluate={"sets": {"other": str(photos)}, "metric": "ssim_y"}))
    assert [path.read_bytes() for path in sorted(make().folder.rglob("trained.json"))] == trained
    assert first.metric == "psnr_y" and second.metric == "ssim_y" and not second.failed


@done
def test_runs_are_scored_again_where_the_images_of_a_set_are_others(
    make: Make, here: Here, photos: Path, tmp_path: Path
):
    shown = tmp_path / "shown"
    shutil.copytree(photos, shown)
    fields = {"seeds": [0], "evaluate": {"sets": {"shown": str(shown)}}}
    do(make(**fields))
    trained = [path.read_bytes() for path in sorted(make().folder.rglob("trained.json"))]
    shutil.copy(shown / "a.png", shown / "c.png")
    assert not do(make(**fields)).failed
    assert [path.read_bytes() for path in sorted(make().folder.rglob("trained.json"))] == trained
    scores = [json.loads((run.folder / "scores.json").read_text()) for run in plan(make(**fields))]
    assert {len(each["sets"]["shown"]["images"]) for each in scores} == {3}


def test_a_diverging_variant_is_told_and_the_rest_go_on(make: Make, here: Here):
    study = make(seeds=[0], variants={"full": {}, "diverging": DIVERGING, "peer": PEER})
    found = do(study)
    assert [row.verdict for row in found.rows][:2] == ["base", "unknown"]
    assert [(each.run.variant, each.state) for each in found.failed] == [("diverging", "diverged")]
    assert "not finite" in found.failed[0].reason
    here.done.clear()
    do(study)
    assert not here.done, "a run that diverged has ended"
    do(study, anew=True)
    assert here.done == ["diverging, seed 0"]


def test_a_failing_run_is_tried_again(make: Make, here: Here, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(worker, "score_run", lambda *_: 1 / 0)
        found = do(make(seeds=[0], variants={"full": {}}))
    assert (
        found.failed[0].reason == "ZeroDivisionError: division by zero" and found.failed[0].state == "failed"
    )
    assert not do(make(seeds=[0], variants={"full": {}})).failed


def test_our_own_errors_are_told_without_their_class():
    assert worker.reason_of(DataError("no images in x")) == "no images in x"
    assert worker.reason_of(KeyError("x")) == "KeyError: 'x'"
    assert worker.reason_of(RuntimeError()) == "RuntimeError"


def test_all_variants_spend_the_same_budget_of_processor_time(make: Make, here: Here):
    study = make(seeds=[0], budget={"processor_seconds": 0.3}, variants={"full": {}, "peer": PEER})
    full, peer = do(study).rows
    assert full.seconds and peer.seconds and full.steps and peer.steps
    assert 0.3 <= full.seconds < 1 and 0.3 <= peer.seconds < 1
    assert peer.steps > full.steps


@done
def test_a_half_run_goes_on_and_ends_as_one_that_was_never_stopped(make: Make, here: Here):
    study = make(seeds=[0], variants={"full": {}})
    whole = plan(study)[0].folder / "last.safetensors"
    other = make(seeds=[0], variants={"full": {}}, run=str(study.folder.parent / "other"))
    (run,) = plan(other)
    assert next_action(run) == "begins"
    write_json(_made(run.folder) / "settings.json", run.settings())
    stopped = train(run.recipe.model_copy(update={"time_limit_minutes": 1e-9}))
    assert not stopped.finished and next_action(run) == f"goes on from step {stopped.step}"
    do(other)
    assert next_action(run) == "trained, is scored"
    one, two = (load_weights(path).network.state_dict() for path in (whole, run.folder / "last.safetensors"))
    assert all(one[name].equal(two[name]) for name in one)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def test_two_works_on_one_study_do_not_meet(make: Make, here: Here):
    study = make(seeds=[0])
    study.folder.mkdir()
    with locked(study.folder / ".lock"), pytest.raises(BusyError, match="another process"):
        do(study)


@pytest.mark.parametrize(
    ("sets", "said"), [({}, "names no folder"), ({"x": "nowhere"}, "nowhere is no folder")]
)
def test_a_study_without_a_folder_to_score_on_is_refused(make: Make, here: Here, sets: Any, said: str):
    with pytest.raises(StudyError, match=said):
        do(make(evaluate={"sets": sets}))


@pytest.mark.parametrize("place", ["train", "validation", "evaluate"])
def test_a_folder_without_photos_is_refused_before_anything_trains(
    make: Make, here: Here, tmp_path: Path, place: str
):
    empty = str(_made(tmp_path / "empty"))
    with pytest.raises(
        StudyError, match=rf"^{place}(\.sets\.x)?: .*(empty.*holds no images|no images in .*empty)"
    ):
        do(make(**{place: {"sets": {"x": empty}} if place == "evaluate" else empty}))
    assert not here.done


def test_an_image_that_cannot_be_scored_is_refused_before_anything_trains(
    make: Make, here: Here, tmp_path: Path
):
    folder = _made(tmp_path / "mixed")
    write_picture(folder / "good.png", Picture(torch.zeros(3, 64, 64)))
    write_picture(folder / "tiny.png", Picture(torch.zeros(3, 1, 1)))
    with pytest.raises(StudyError, match=r"tiny\.png: 1 x 1 pixels"):
        do(make(evaluate={"sets": {"x": str(folder)}}))
    assert not here.done


@done
def test_what_a_study_leaves_is_whole_and_names_its_command(make: Make, here: Here):
    study = make(seeds=[0], variants={"full": {}, "peer": PEER})
    path = write_results(do(study), where=machine(), command="hfmoe ablate mine.yaml")
    found = json.loads((study.folder / "results.json").read_text())
    assert [row["variant"] for row in found["variants"]] == ["full", "peer"]
    assert found["variants"][1]["difference"]["seeds"] and found["command"] == "hfmoe ablate mine.yaml"
    text = (study.folder / "results.md").read_text()
    assert "hfmoe ablate mine.yaml" in text and "| peer |" in text and "differences.svg" in text
    for name in ("differences", "score-training", "curves"):
        assert (study.folder / f"{name}.svg").read_text().startswith("<svg xmlns")
        assert f"![{name}]({name}.svg)" in text
    curves = (study.folder / "curves.svg").read_text()
    assert ">full</text>" in curves and ">peer</text>" in curves
    page = path.read_text()
    assert "http" not in page and "hfmoe ablate mine.yaml" in page


def test_a_run_that_a_cluster_has_not_begun_can_be_asked_to_stop(make: Make):
    (run,) = plan(make(seeds=[0], variants={"full": {}}))
    assert not run.folder.exists()
    leave_stop_file(run)
    assert (run.folder / "stop").exists()
    assert state_of(run, make().evaluate).state == "new"


@done
def test_weights_of_a_peer_are_no_model_of_ours(make: Make, here: Here):
    study = make(seeds=[0], variants={"peer": PEER})
    path = plan(study)[0].folder / "last.safetensors"
    with pytest.raises(WeightsError, match="a network that is not ours"):
        load_weights(path)


@pytest.mark.parametrize(
    ("hardware", "machines", "gpus"),
    [
        ({"threads": 2}, [Room(2, 0)], 0),
        ({"threads": 2}, [Room(2, 1)], 1),
        ({"threads": 16}, [Room(4, 1), Room(64, 0)], 0),
        ({"threads": 2, "accelerator": "cpu"}, [Room(2, 1)], 0),
        ({"threads": 4}, [Room(2, 1)], None),
        ({"threads": 2, "accelerator": "cuda"}, [Room(64, 0)], None),
    ],
)
def test_a_run_takes_what_a_machine_has_or_is_refused(make: Make, hardware: Any, machines: Any, gpus: Any):
    fields = {f"hardware.{name}": value for name, value in ({"accelerator": "auto"} | hardware).items()}
    (run,) = plan(make(seeds=[0], variants={"full": {}}, fields=fields))
    if gpus is None:
        with pytest.raises(ValueError, match="full, seed 0: no machine of the cluster has"):
            check_room([run], machines)
    else:
        check_room([run], machines)
        assert needs_of(run, machines) == Room(hardware["threads"], gpus)


@pytest.mark.slow
def test_a_network_that_prints_is_measured(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "loud.py").write_text(
        "from hfmoe.ablate.peers import PlainNetwork\n"
        "class Loud(PlainNetwork):\n"
        "    def forward(self, image):\n"
        "        print('hello')\n"
        "        return super().forward(image)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.syspath_prepend(tmp_path)
    study = make(variants={"full": {}, "loud": {**PEER, "network": "loud:Loud"}})
    costs = measure(recipes_of(study), Timing(size=32, seconds=0.1), base="full")
    assert costs["loud"].parameters > 0
