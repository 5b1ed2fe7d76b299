"""Recipes: what they refuse and how they say it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hfmoe.train import Recipe, RecipeError, load_recipe, make_recipe
from hfmoe.train.loading import apply
from hfmoe.train.objective import fullest_share
from hfmoe.train.progress import Progress
from hfmoe.train.schedule import learning_rate

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
    of_another_size = "texture_blocks" in recipe.network
    assert path.stem.startswith(f"{size}-") or of_another_size
    said = re.search(r"-(x\d)", path.stem)
    assert scale == (said[1] if said else "x1")


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
    assert "known here: kind, lr, final_lr" in complaint(data, optimizer={"zzz": 1})


def test_a_mistyped_value_names_field_value_and_rule(data: dict[str, Any]):
    message = complaint(data, steps="many")
    assert message.startswith("field steps: 'many' is wrong: input should be a valid integer")
    assert "field optimizer.warmup: 500 is wrong: input should be less than or equal to 1" in complaint(
        data, optimizer={"warmup": 500}
    )


TERMS = [
    ({"kind": "perceptua"}, r"loss.0.kind: 'perceptua' must be one of l1, .*; did you mean perceptual\?"),
    ({"weight": 1}, r"field loss.0.kind is missing$"),
    ({"kind": "perceptual"}, r"field loss.0.weights is missing$"),
    ({"kind": "perceptual", "weights": "a", "netwrok": "vgg16"}, r"did you mean loss.0.network\?$"),
    ({"kind": "perceptual", "weights": "a", "layers": {"conv9_1": 1}}, r"loss.0: layer 'conv9_1' must be"),
    (
        {"kind": "perceptual", "weights": "a", "layers": {"conv1_1": -1}},
        r"loss.0.layers.conv1_1: -1 is wrong",
    ),
    (
        {"kind": "l1", "levels": 3},
        r"unknown field loss.0.levels; known here: start, until, kind, weight, against, tasks, crop$",
    ),
    ({"kind": "charbonnier", "epsilon": 0}, r"loss.0.epsilon: 0 is wrong: .* greater than 0$"),
    (
        {"kind": "adversarial", "form": "wgan"},
        r"loss.0.form: 'wgan' is wrong: .*'vanilla' or ",
    ),
    ({"kind": "l1", "start": 0.5, "until": 0.5}, r"loss.0: start 0.5 must be below until 0.5$"),
    (
        {"kind": "laplacian", "levels": 9},
        r"laplacian needs patches of at least 129 target pixels, not 64$",
    ),
    ("l1", r"field loss.0: 'l1' is wrong"),
]


@pytest.mark.parametrize(("term", "rule"), TERMS)
def test_a_wrong_loss_term_is_named_as_a_user_writes_it(data: dict[str, Any], term: Any, rule: str):
    message = complaint(data, loss=[term])
    assert re.search(rule, message), message
    assert ";" not in message or "known" in message or "did you mean" in message


def test_two_terms_of_a_kind_may_follow_each_other_but_not_overlap(make: Callable[..., Recipe]):
    make(loss=[{"kind": "l1", "until": 0.5}, {"kind": "l1", "weight": 2, "start": 0.5}])
    with pytest.raises(RecipeError, match="loss terms of kind l1 overlap"):
        make(loss=[{"kind": "l1", "until": 0.6}, {"kind": "l1", "weight": 2, "start": 0.5}])


def test_the_fullest_share_is_where_most_terms_are_active(make: Callable[..., Recipe]):
    terms = [{"kind": "l1"}, {"kind": "mse", "until": 0.6}, {"kind": "fft", "start": 0.5}]
    assert fullest_share(make(loss=terms[:1]).loss) == 0
    assert fullest_share(make(loss=terms).loss) == 0.5


def test_patches_must_be_large_enough_for_the_deepest_features(make: Callable[..., Recipe]):
    term = {"kind": "perceptual", "weights": "a"}
    assert make(patch=8, loss=[term])
    with pytest.raises(RecipeError, match="perceptual needs patches of at least 16 target pixels, not 14"):
        make(patch=[[0, 32], [0.5, 7]], loss=[term])
    assert make(patch=7, loss=[{**term, "layers": {"conv4_1": 1}}])


def test_the_discriminators_fields_are_checked_like_others(data: dict[str, Any]):
    message = complaint(data, discriminator={"optimizer": {"lrr": 1}})
    assert message == "unknown field discriminator.optimizer.lrr; did you mean discriminator.optimizer.lr?"


def test_the_discriminators_rate_holds_by_default(make: Callable[..., Recipe]):
    optimizer = make(discriminator={"optimizer": {"lr": 3e-5}}).discriminator.optimizer
    assert {learning_rate(Progress(9, step=step), optimizer=optimizer) for step in range(9)} == {3e-5}


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


def test_softness_that_nothing_would_use_or_that_is_upside_down_is_refused(data: dict[str, Any]):
    assert "softness needs tasks that degrade" in complaint(data, softness={"share": 0.5})
    tasks = [{"kind": "denoise", "sigma": [0, 50]}]
    assert "must go from low to high" in complaint(data, tasks=tasks, softness={"sigma": [1.0, 0.3]})
    assert make_recipe({**data, "tasks": tasks, "softness": {}}).softness is not None


def test_found_photos_upside_down_or_out_of_range_are_refused(data: dict[str, Any]):
    assert "found.quality [90, 80] must go from low to high" in complaint(data, found={"quality": [90, 80]})
    assert "found.sharpening" in complaint(data, found={"sharpening": [1.0, 0.4]})
    assert "found.quality.1" in complaint(data, found={"quality": [90, 101]})
    assert "found.share" in complaint(data, found={"share": 1.5})
    pairs = {"degraded": "photos/noisy", "target": "photos/clean"}
    assert "found changes clean photos" in complaint(data, train=pairs, found={})
    assert make_recipe(data).found is None
    assert make_recipe({**data, "found": {}}).found is not None


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
    with pytest.raises(RecipeError, match="lists no tasks; give the whole list: --tasks"):
        apply({"steps": 3}, {"tasks.0.weight": "1"})


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
