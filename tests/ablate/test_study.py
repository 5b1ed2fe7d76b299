"""Reading a study: what is wrong is named before anything is loaded; variants become recipes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hfmoe.ablate.plan import merged, plan
from hfmoe.ablate.runner import recipes_of
from hfmoe.ablate.study import Study, StudyError, load_study, make_study, peer_variants
from hfmoe.models.presets import ABLATIONS

Make = Callable[..., Study]
STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_that_ships_builds_all_its_networks_with_three_seeds_or_says_why(path: Path):
    study = load_study(path)
    assert recipes_of(study).keys() == study.variants.keys()
    assert len(study.seeds) == (1 if study.name == "peer-rates" else 3)
    assert study.name == path.stem


def test_all_studies_that_ship_fit_into_twelve_hours_of_two_cores():
    studies = [load_study(path) for path in STUDIES]
    second = 5  # steps of nano-x4 on a slow core
    spent = [
        len(plan(study)) * (study.budget.processor_seconds or (study.budget.steps or 0) / second)
        for study in studies
    ]
    assert min(spent) > 0 and sum(spent) <= 12 * 3600 * 2


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"budgt": {"steps": 3}}, "unknown field budgt; did you mean budget?"),
        ({"budget": {"step": 3}}, "did you mean budget.steps?"),
        ({"budget": {}}, "either steps or processor_seconds"),
        ({"budget": {"steps": 3, "processor_seconds": 1.0}}, "either steps or processor_seconds"),
        ({"base": "none"}, "base 'none' must be one of full, slow"),
        ({"seeds": [1, 1]}, "must be different"),
        ({"variants": {"../up": {}}}, "must be a name that a folder can have"),
        ({"evaluate": {"metric": "lpips"}}, "needs its weights"),
        ({"evaluate": {"protocol": "classic"}}, "must be one of classical-sr"),
    ],
)
def test_a_wrong_field_of_a_study_is_named_with_its_rule(data: dict[str, Any], fields: Any, said: str):
    with pytest.raises(StudyError, match=said.replace("?", r"\?").replace("../", "")):
        make_study({**data, **fields})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"optimzer.lr": 1}, "did you mean optimizer"),
        ({"optimizer.lr": -1}, "field optimizer.lr: -1"),
        ({"network.topk": 2}, "did you mean network.top_k?"),
        ({"network": {"topk": 2}}, "did you mean network.top_k?"),
        ("dense-fnn", "did you mean dense-ffn?"),
        ({"ablation": 3}, "must be a name or a list of names"),
        ({"ablation": "fixed-windows"}, "ablation fixed-windows changes nothing"),
        ({"ablation": "dense-ffn", "network.experts": [0.5, 1.0]}, "ablation dense-ffn changes nothing"),
        ({"seed": 3}, "the same for all variants"),
        ({"validation": {"folder": "x"}}, "the same for all variants"),
        ({"network.scale": 3}, "scale 3 must be 2"),
        ({"arguments": {"dim": 3}}, "needs network: package.module:Class"),
        ({"network": "nowhere.at_all:Net"}, "cannot import nowhere.at_all"),
        ({"network": "hfmoe.ablate.peers:Plain"}, "hfmoe.ablate.peers has no Plain"),
        ({"network": "hfmoe.models.presets:PRESETS"}, "must be a class of torch.nn.Module"),
        ({"network": "PlainNetwork"}, "must be package.module:Class"),
        ({"loss.1.weight": 2}, "there are 1 items"),
        ({"batch.more": 2}, "1 is a single value and has no fields"),
        ({"network": "hfmoe.ablate.peers:PlainNetwork", "network.dim": 3}, "network.dim has no effect"),
    ],
)
def test_a_wrong_field_of_a_variant_is_named_with_the_variant(make: Make, change: Any, said: str):
    study = make(variants={"full": {}, "odd": change}, fields={"loss": [{"kind": "l1"}]})
    with pytest.raises(StudyError, match=said.replace("?", r"\?")) as caught:
        plan(study)
    assert "variant odd" in str(caught.value)


@pytest.mark.parametrize("fields", [{"optimzer.lr": 1}, {"optimizer.lr": -1}, {"seed": 3}, {"batch.more": 2}])
def test_a_wrong_field_of_all_runs_is_no_variant_s_fault(make: Make, data: dict[str, Any], fields: Any):
    with pytest.raises(StudyError, match=r"^fields: .*(optimi?zer|seed|batch)"):
        plan(make(fields=fields))
    with pytest.raises(StudyError, match=r"^recipe: unknown field pach; did you mean patch"):
        plan(make(recipe={**data["recipe"], "pach": 3}, fields={"batch": 2}))


def test_a_peer_that_refuses_its_arguments_is_named_before_anything_runs(make: Make):
    peer = {"network": "hfmoe.ablate.peers:PlainNetwork", "arguments": {"width": 3}}
    with pytest.raises(StudyError, match=r"variant odd: .*PlainNetwork cannot be built: .*'width'"):
        recipes_of(make(variants={"full": {}, "odd": peer}))


def test_a_run_of_several_processes_is_refused(make: Make):
    with pytest.raises(StudyError, match=r"variant full: hardware.devices x nodes = 2 must be 1"):
        plan(make(fields={"hardware.devices": 2, "batch": 2}, variants={"full": {}}))


def test_an_ablation_is_judged_by_the_variant_s_own_network(make: Make):
    variants = {
        "full": {},
        "other": {"preset": "small-x2", "ablation": "fixed-windows"},
        "needed": {"ablation": "four-experts", "network.top_k": 4},
    }
    assert len(plan(make(variants=variants, seeds=[0]))) == 3


def test_an_ablation_of_a_network_that_is_not_ours_is_refused(make: Make):
    peer = {"network": "hfmoe.ablate.peers:PlainNetwork"}
    with pytest.raises(StudyError, match="variant odd: ablation plain-head changes nothing"):
        plan(make(fields={"peer": peer}, variants={"full": {}, "odd": "plain-head"}))


def test_a_variant_changes_what_it_names_and_nothing_else(make: Make):
    variants = {
        "full": {},
        "dotted": {"optimizer.lr": 0.5, "loss.0.weight": 3},
        "nested": {"optimizer": {"lr": 0.5}, "loss": [{"kind": "l1", "weight": 3}]},
        "ablation": {"ablation": ["dense-ffn", "plain-head"], "network.top_k": 1},
    }
    study = make(variants=variants, fields={"loss": [{"kind": "l1"}]}, seeds=[5])
    full, dotted, nested, ablation = (run.recipe for run in plan(study))
    same = {"name": "", "run": full.run}
    assert dotted.model_copy(update=same) == nested.model_copy(update=same) != full.model_copy(update=same)
    assert (dotted.optimizer.lr, dotted.loss[0].weight, dotted.optimizer.betas) == (
        0.5,
        3,
        full.optimizer.betas,
    )
    assert ablation.config().experts == ABLATIONS["dense-ffn"]["experts"] and not ablation.config().reparam
    assert all(recipe.seed == 5 and recipe.steps == 4 for recipe in (full, dotted, nested, ablation))


def test_merging_leaves_what_it_is_given_alone():
    data = {"a": {"b": 1}, "l": [{"c": 1}]}
    assert merged(data, {"a.b": 2, "l.0.c": 3, "new.deep": 4}) == {
        "a": {"b": 2}, "l": [{"c": 3}], "new": {"deep": 4}
    }  # fmt: skip
    assert data == {"a": {"b": 1}, "l": [{"c": 1}]}


def test_the_recipe_of_a_study_is_looked_for_beside_it_and_networks_can_be_added(
    data: dict[str, Any], tmp_path: Path
):
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(data["recipe"]))
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump({**data, "recipe": "recipe.yaml"}))
    peers = peer_variants(["hfmoe.ablate.peers:PlainNetwork"], ["{dim: 4, blocks: 1, scale: 2}"])
    study = load_study(path, {"seeds": "[7]"}, peers=peers)
    assert [run.label for run in plan(study)] == ["full, seed 7", "slow, seed 7", "PlainNetwork, seed 7"]
    with pytest.raises(StudyError, match="cannot read recipe .*missing.yaml"):
        path.write_text(yaml.safe_dump({**data, "recipe": "missing.yaml"}))
        load_study(path)
    with pytest.raises(StudyError, match="arguments 'dim' must be a mapping"):
        peer_variants(["a:B"], ["dim"])
