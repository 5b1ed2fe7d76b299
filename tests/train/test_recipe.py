"""Recipes: what they refuse and how they say it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from hfmoe.train import RecipeError, load_recipe, make_recipe
from hfmoe.train.loading import apply

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


def complaint(data: dict[str, Any], **fields: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        make_recipe({**data, **fields})
    return str(caught.value)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_the_project_loads_and_is_named_after_its_file(path: Path):
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    size, scale = recipe.preset.split("-")
    assert path.stem.startswith(f"{size}-")
    assert scale == (path.stem[-2:] if path.stem[-2] == "x" else "x1")


def test_an_unknown_field_is_named_with_the_nearest_right_one(data: dict[str, Any]):
    assert complaint(data, stepps=5) == "unknown field stepps; did you mean steps?"
    assert "unknown field optimizer.lrr; did you mean optimizer.lr?" in complaint(data, optimizer={"lrr": 1})
    assert "unknown field loss.0.wieght; did you mean loss.0.weight?" in complaint(
        data, loss=[{"kind": "l1", "wieght": 1}]
    )
    assert "unknown field network.chanels; did you mean network.channels?" in complaint(
        data, network={"chanels": 3}
    )


def test_a_field_put_in_the_wrong_place_is_told_where_it_belongs(data: dict[str, Any]):
    assert "did you mean optimizer.lr?" in complaint(data, lr=1e-3)


def test_an_unknown_field_without_a_near_one_lists_those_that_are_known(data: dict[str, Any]):
    assert "known here: lr, final_lr" in complaint(data, optimizer={"zzz": 1})


def test_a_mistyped_value_names_field_value_and_rule(data: dict[str, Any]):
    message = complaint(data, steps="many")
    assert message.startswith("field steps: 'many' is wrong: input should be a valid integer")
    assert "field optimizer.warmup: 500 is wrong: input should be less than or equal to 1" in complaint(
        data, optimizer={"warmup": 500}
    )


def test_all_wrong_fields_are_named_at_once(data: dict[str, Any]):
    message = complaint(data, stepps=5, batch=-1, network={"chanels": 1})
    assert all(name in message for name in ("stepps", "batch", "network.chanels"))


def test_a_missing_field_is_named(data: dict[str, Any]):
    del data["run"]
    assert complaint(data) == "field run is missing"


def test_an_unknown_preset_lists_those_that_exist(data: dict[str, Any]):
    assert "nano-x2" in complaint(data, preset="nano-x9")


def test_a_network_value_that_breaks_its_rule_is_refused(data: dict[str, Any]):
    assert "scale 7 must be" in complaint(data, network={"scale": 7})


def test_a_run_with_a_part_without_loss_is_refused(data: dict[str, Any]):
    assert "without any loss" in complaint(data, loss=[{"kind": "l1", "until": 0.5}])


def test_scale_one_has_nothing_to_learn_from_clean_photos(data: dict[str, Any]):
    assert "scale 1" in complaint(data, preset="nano-x1", network={})


def test_overrides_reach_dotted_fields_and_are_read_as_yaml(tmp_path: Path, data: dict[str, Any]):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**data, "loss": [{"kind": "l1"}]}))
    overrides = {
        "steps": "2000",
        "optimizer.lr": "1e-3",
        "train": "[a, b]",
        "loss.0.weight": "0.5",
        "patch": "[[0, 32], [0.5, 64]]",
        "init": "null",
    }
    recipe = load_recipe(path, overrides)
    assert recipe.steps == 2000
    assert recipe.optimizer.lr == 1e-3
    assert recipe.train == (Path("a"), Path("b"))
    assert recipe.loss[0].weight == 0.5
    assert recipe.patch == ((0, 32), (0.5, 64))
    assert recipe.init is None


def test_applying_overrides_leaves_the_given_data_alone():
    before = {"optimizer": {"lr": 1}, "loss": [{"kind": "l1"}]}
    assert apply(before, {"optimizer.lr": "2", "loss.0.kind": "mse"}) == {
        "optimizer": {"lr": 2},
        "loss": [{"kind": "mse"}],
    }
    assert before == {"optimizer": {"lr": 1}, "loss": [{"kind": "l1"}]}


def test_an_override_into_a_single_value_or_beyond_a_list_is_refused():
    with pytest.raises(RecipeError, match="steps is a single value"):
        apply({"steps": 3}, {"steps.lr": "1"})
    with pytest.raises(RecipeError, match=r"'4' must be a position in \[0, 1\)"):
        apply({"loss": [{"kind": "l1"}]}, {"loss.4.weight": "1"})


@pytest.mark.parametrize(
    ("text", "rule"),
    [("- a\n", "must be a mapping"), ("a: [1\n", "is not YAML"), (None, "cannot read recipe")],
)
def test_a_file_that_is_no_recipe_is_named(tmp_path: Path, text: str | None, rule: str):
    path = tmp_path / "odd.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RecipeError, match=rule) as caught:
        load_recipe(path)
    assert "odd.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_survives_being_written_and_read(data: dict[str, Any]):
    recipe = make_recipe(data)
    assert make_recipe(recipe.as_data()) == recipe
