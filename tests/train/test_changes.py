"""Going on with a changed recipe: only when that is said, and never without a record."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from hfmoe.models.presets import PRESETS
from hfmoe.models.weights import load_weights
from hfmoe.train import Recipe, RunError, make_recipe, train
from hfmoe.train.resume import Past, changes_between

Make = Callable[..., Recipe]

HELD = {"lr": 1e-3, "warmup": 0.0, "decay": 0.25}


def records(run: Path, kind: str) -> list[dict]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def state(run: Path) -> dict:
    return torch.load(run / "last.ckpt", weights_only=True)


@pytest.fixture
def stopped(make: Make) -> Recipe:
    """Give a run of 12 steps that was stopped after the first, its learning rate still held."""
    train(make(time_limit_minutes=1e-9, optimizer=HELD))
    return make(optimizer=HELD)


def test_a_run_is_extended_and_its_rate_holds_on(make: Make, stopped: Recipe):
    longer = make(steps=20, optimizer=HELD, log={"every": 1})
    with pytest.raises(RunError, match=r"steps \(12 before, 20 now\); give --change"):
        train(longer, resume=True)
    assert train(longer, resume=True, change=True).finished
    rates = [record["lr"] for record in records(longer.run, "train")]
    assert len(rates) == 20
    assert set(rates[:15]) == {1e-3}
    assert rates[-1] < 1e-5


def test_every_changed_field_is_recorded_with_its_step(make: Make, stopped: Recipe):
    changed = make(steps=14, optimizer={**HELD, "clip": None})
    train(changed, resume=True, change=True)
    expected = [
        {"step": 1, "field": "optimizer.clip", "before": 1.0, "after": None},
        {"step": 1, "field": "steps", "before": 12, "after": 14},
    ]
    lines = (changed.run / "changes.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == expected
    assert json.loads(state(changed.run)["changes"]) == expected
    assert load_weights(changed.run / "last.safetensors").facts.recipe["changes"] == expected
    (record,) = records(changed.run, "change")
    assert record["step"] == 1
    assert record["fields"]["steps"] == {"before": 12, "after": 14}
    assert "steps: 14" in (changed.run / "recipe.yaml").read_text()


def test_a_change_is_said_once_and_then_is_the_recipe(make: Make, stopped: Recipe):
    train(make(seed=5, optimizer=HELD, time_limit_minutes=1e-9), resume=True, change=True)
    with pytest.raises(RunError, match=r"seed \(5 before, 0 now\)"):
        train(stopped, resume=True)
    assert train(make(seed=5, optimizer=HELD), resume=True).finished
    assert len((stopped.run / "changes.jsonl").read_text().splitlines()) == 1


def test_changes_add_up(make: Make, stopped: Recipe):
    for seed in (5, 6):
        train(make(seed=seed, optimizer=HELD, time_limit_minutes=1e-9), resume=True, change=True)
    lines = (stopped.run / "changes.jsonl").read_text().splitlines()
    assert [(change["step"], change["after"]) for change in map(json.loads, lines)] == [(1, 5), (2, 6)]


def test_a_change_that_changes_nothing_leaves_the_bits_alone(make: Make, stopped: Recipe, tmp_path: Path):
    whole = make(optimizer=HELD, run=str(tmp_path / "whole"))
    train(whole)
    train(stopped, resume=True, change=True)
    one, other = (state(recipe.run)["network"] for recipe in (whole, stopped))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not (stopped.run / "changes.jsonl").exists()


def test_other_photos_are_taken_when_that_is_said(make: Make, photos: Path, tmp_path: Path):
    other = tmp_path / "photos"
    shutil.copytree(photos, other)
    train(make(train=str(other), time_limit_minutes=1e-9))
    (other / "0.png").unlink()
    with pytest.raises(RunError, match="other photos"):
        train(make(train=str(other)), resume=True)
    assert train(make(train=str(other)), resume=True, change=True).finished
    (record,) = records(make().run, "change")
    assert set(record["fields"]) == {"photos"}


def test_a_network_of_another_shape_is_refused_even_so(make: Make, data: dict, stopped: Recipe):
    wider = make(network={**data["network"], "texture_hidden": 16}, optimizer=HELD)
    with pytest.raises(RunError, match=r"another shape; it differs in network\.texture_hidden"):
        train(wider, resume=True, change=True)


def test_other_words_for_the_same_network_are_no_change(make: Make, data: dict, stopped: Recipe):
    wordy = {**data["network"], "residual_scale": stopped.config().residual_scale}
    assert wordy != data["network"]
    assert train(make(network=wordy, optimizer=HELD), resume=True).finished


def test_a_preset_that_changed_under_a_run_is_named_and_the_runs_own_recipe_goes_on(
    make: Make, data: dict, monkeypatch: pytest.MonkeyPatch
):
    fields = {"network": {name: data["network"][name] for name in data["network"] if name != "dim"}}
    monkeypatch.setitem(PRESETS, "nano-x2", replace(PRESETS["nano-x2"], dim=8))
    train(make(**fields, time_limit_minutes=1e-9))
    monkeypatch.setitem(PRESETS, "nano-x2", replace(PRESETS["nano-x2"], dim=16))
    recipe = make(**fields)
    with pytest.raises(RunError, match=r"differs in network\.dim \(8 before, 16 now\)"):
        train(recipe, resume=True)
    own = yaml.safe_load((recipe.run / "recipe.yaml").read_text())
    assert train(Recipe.model_validate({**own, "time_limit_minutes": None}), resume=True).finished


def test_a_run_of_a_version_that_kept_no_network_says_that_the_preset_changed(
    make: Make, data: dict, monkeypatch: pytest.MonkeyPatch
):
    fields = {"network": {name: data["network"][name] for name in data["network"] if name != "dim"}}
    monkeypatch.setitem(PRESETS, "nano-x2", replace(PRESETS["nano-x2"], dim=8))
    with monkeypatch.context() as older:
        older.setattr(Recipe, "resolved", lambda recipe: recipe)
        train(make(**fields, time_limit_minutes=1e-9))
    monkeypatch.setitem(PRESETS, "nano-x2", replace(PRESETS["nano-x2"], dim=16))
    with pytest.raises(RunError, match="a network that the preset nano-x2 no longer gives"):
        train(make(**fields), resume=True)


def test_fewer_steps_than_were_done_are_refused(make: Make):
    train(make())
    with pytest.raises(RunError, match="steps 5 must be at least 12"):
        train(make(steps=5), resume=True, change=True)


def test_a_score_of_other_photos_does_not_count_as_the_best(make: Make, photos: Path):
    scored = {"folder": str(photos), "every": 4}
    train(make(validation=scored))
    fields = {"steps": 14, "validation": {**scored, "images": 1}}
    best = train(make(**fields), resume=True, change=True).best
    assert best == records(make().run, "validation")[-1]["psnr_y"]


def test_a_score_of_other_pairs_does_not_count_as_the_best(make: Make, tmp_path: Path):
    folders = [{"degraded": str(tmp_path / name), "target": str(tmp_path / "clean")} for name in "ab"]
    before, after = (make(validation={"folder": pair}) for pair in folders)
    news = changes_between(before.as_data(), after, step=5)
    assert [change.field for change in news] == ["validation.folder.degraded"]
    state = {"step": 5, "best": 40.0, "latest": 40.0}
    assert Past(state, (), news).progress(after).best is None
    assert Past(state, (), ()).progress(after).best == 40.0


@pytest.mark.parametrize("kind", ["adam", "muon"])
def test_what_is_new_of_the_rule_is_what_the_weights_follow(make: Make, kind: str):
    fields = {"kind": kind, "betas": [0.8, 0.9], "weight_decay": 0.0}
    train(make(steps=6, optimizer=fields))
    changed = {"kind": kind, "betas": [0.7, 0.95], "weight_decay": 0.1}
    train(make(steps=8, optimizer=changed), resume=True, change=True)
    (group,) = state(make().run)["optimizer"]["param_groups"]
    assert (list(group["betas"]), group["weight_decay"]) == (changed["betas"], changed["weight_decay"])


def test_a_discriminator_goes_on_under_another_rule_and_not_in_another_width(make: Make):
    loss = [{"kind": "l1"}, {"kind": "adversarial"}]
    first, other, wider = (
        make(loss=loss, steps=steps, discriminator={"width": width, "optimizer": {"kind": kind}})
        for steps, width, kind in ((4, 4, "muon"), (6, 4, "adam"), (8, 8, "adam"))
    )
    train(first)
    assert train(other, resume=True, change=True).finished
    with pytest.raises(RunError, match=r"it differs in discriminator.width \(4 before, 8 now\)"):
        train(wider, resume=True, change=True)
    assert train(make(steps=8, loss=[{"kind": "l1"}]), resume=True, change=True).finished


def test_a_new_run_has_nothing_to_change(make: Make):
    with pytest.raises(ValueError, match="change must come with resume"):
        train(make(), change=True)


def test_fields_that_an_older_version_did_not_know_count_as_their_defaults(make: Make, stopped: Recipe):
    path = stopped.run / "last.ckpt"
    older = state(stopped.run)
    recipe = json.loads(older["recipe"])
    del recipe["hardware"]["accumulate"], recipe["optimizer"]["clip"], older["changes"], older["precision"]
    torch.save({**older, "recipe": json.dumps(recipe)}, path)
    assert train(stopped, resume=True).finished
    assert make_recipe(json.loads(state(stopped.run)["recipe"])).as_data() == stopped.resolved().as_data()


def test_a_state_with_a_network_field_that_is_no_more_names_it(make: Make, stopped: Recipe):
    path = stopped.run / "last.ckpt"
    older = state(stopped.run)
    recipe = json.loads(older["recipe"])
    recipe["network"]["spirals"] = 3
    torch.save({**older, "recipe": json.dumps(recipe)}, path)
    with pytest.raises(RunError, match=r"differs in network\.spirals \(3 before, None now\); .*recipe.yaml"):
        train(stopped, resume=True)


def test_an_unreadable_older_recipe_without_network_fields_can_go_on_with_a_change(
    make: Make, stopped: Recipe
):
    path = stopped.run / "last.ckpt"
    older = state(stopped.run)
    recipe = json.loads(older["recipe"]) | {"network": {}, "spirals": 3}
    torch.save({**older, "recipe": json.dumps(recipe)}, path)
    assert train(stopped, resume=True, change=True).finished
