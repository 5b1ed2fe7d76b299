"""Tasks of a recipe: how they are mixed and hardened over a run, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hfmoe.data import PairedFolders
from hfmoe.data.degradations import BSRGAN, REAL_ESRGAN
from hfmoe.data.degradations.noise import DenoiseTask
from hfmoe.data.degradations.photo import PhotoTask
from hfmoe.data.fields import Ramp
from hfmoe.train import Recipe, RecipeError, make_recipe
from hfmoe.train.schedule import described, mixture_at, phase_at, phase_begins, task_facts
from hfmoe.train.validation import read_examples, trials

Make = Callable[..., Recipe]

GROWING = [
    {"kind": "denoise", "sigma": {"from": [0, 10], "to": [0, 50], "until": 0.5}},
    {
        "kind": "photo",
        "strength": {"from": 0, "to": 1},
        "weight": {"from": 0, "to": 3, "start": 0.2},
        "start": 0.2,
    },
    {"kind": "jpeg", "quality": [10, 90], "until": 0.4},
]


@pytest.fixture
def degrading(make: Make) -> Make:
    """Give a recipe of scale 1 with tasks."""
    return lambda **fields: make(
        **{"preset": "nano-x1", "network": {}, "patch": 64, "tasks": GROWING, **fields}
    )


def complaint(make: Make, **fields: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        make(**fields)
    return str(caught.value)


spans = st.tuples(st.floats(0, 50), st.floats(0, 50)).map(sorted)


@given(first=spans, last=spans, start=st.floats(0, 1), length=st.floats(0, 1), share=st.floats(0, 1))
def test_a_range_goes_straight_from_one_place_to_another_and_stays(
    first: list[float], last: list[float], start: float, length: float, share: float
):
    until = min(1.0, start + length)
    ramp = Ramp.model_validate({"from": first, "to": last, "start": start, "until": until})
    assert ramp.at(0.0) == pytest.approx(tuple(first if until > 0 else last))
    assert ramp.at(1.0) == pytest.approx(tuple(last))
    low, high = ramp.at(share)
    assert low <= high + 1e-9
    ends = sorted((ramp.at(share)[1], ramp.at(min(1.0, share + 0.1))[1]))
    assert ends == [ramp.at(share)[1], ramp.at(min(1.0, share + 0.1))[1]] or first[1] >= last[1]


def test_a_mixture_hardens_and_shifts_over_the_run(degrading: Make):
    tasks = degrading().tasks
    sigmas, shares = [], []
    for step in range(0, 100, 5):
        mixture = mixture_at(tasks, step / 100)
        assert mixture is not None
        denoise = mixture.tasks[0]
        assert isinstance(denoise, DenoiseTask)
        sigmas.append(denoise.sigma.at(mixture.share)[1])
        shares.append(task_facts(tasks, step / 100).get("photo", {}).get("share", 0))
    assert sigmas == sorted(sigmas)
    assert (sigmas[0], sigmas[5], sigmas[-1]) == pytest.approx((10, 30, 50))
    assert shares == sorted(shares)
    assert shares[4] == 0 and shares[-1] > 0.7


def test_facts_of_a_step_are_numbers_that_the_log_can_hold(degrading: Make):
    facts = task_facts(degrading().tasks, 0.25)
    assert json.loads(json.dumps(facts)) == facts
    assert facts["denoise"] == {"share": pytest.approx(0.4571, abs=1e-3), "sigma": [0, 30]}
    assert facts["photo"]["strength"] == 0.25
    assert described(facts).startswith("denoise 46% (sigma 0 to 30), photo 9% (strength 0.25, second 1)")


def test_phases_begin_where_tasks_or_their_changes_begin_and_end(degrading: Make):
    tasks = degrading().tasks
    begins = [phase_begins(tasks, step / 20, (step - 1) / 20 if step else None) for step in range(20)]
    assert [step for step in range(20) if begins[step]] == [0, 5, 8, 10]
    assert phase_at(tasks, 0.0).tasks == ("denoise", "jpeg")
    assert "denoise.sigma" in phase_at(tasks, 0.3).moving
    assert phase_at(tasks, 0.9) == (("denoise", "photo"), ("photo.weight", "photo.strength"))


def test_classical_tasks_need_no_mixture(make: Make):
    recipe = make()
    assert mixture_at(recipe.tasks, 0.5) is None
    assert recipe.task() == "sr"


def test_full_strength_is_the_published_chain(degrading: Make):
    for chain, published in (("real-esrgan", REAL_ESRGAN), ("bsrgan", BSRGAN)):
        mixture = mixture_at(degrading(tasks=[{"kind": "photo", "chain": chain}]).tasks, 0.3)
        assert mixture is not None
        (task,) = mixture.tasks
        assert isinstance(task, PhotoTask)
        assert task.chain_at(0.3) == published


@pytest.mark.parametrize(
    ("tasks", "task"),
    [
        ([{"kind": "denoise"}], "denoise"),
        ([{"kind": "jpeg"}, {"kind": "jpeg", "webp": 1}], "jpeg"),
        ([{"kind": "jpeg"}, {"kind": "denoise"}], "photo"),
        ([{"kind": "deblur"}], "photo"),
        ([{"kind": "photo"}], "photo"),
    ],
)
def test_weights_say_what_they_are_for(degrading: Make, tasks: list[dict], task: str):
    assert degrading(tasks=tasks).task() == task


def test_tasks_survive_being_written_and_read(degrading: Make):
    recipe = degrading(train=["a", {"degraded": "b", "target": "c"}, "d/*.tar"])
    assert recipe.train == (Path("a"), PairedFolders(Path("b"), Path("c")), Path("d/*.tar"))
    assert make_recipe(json.loads(json.dumps(recipe.as_data()))) == recipe


def test_wrong_tasks_are_named(degrading: Make):
    assert "start 0.6 must be below until 0.2" in complaint(
        degrading, tasks=[{"kind": "denoise"}, {"kind": "jpeg", "start": 0.6, "until": 0.2}]
    )
    assert "unknown field tasks.0.sgima; did you mean tasks.0.sigma?" in complaint(
        degrading, tasks=[{"kind": "denoise", "sgima": 3}]
    )
    assert "tasks.0.kind: 'denoize' must be one of" in complaint(degrading, tasks=[{"kind": "denoize"}])
    assert "[55, 3] must go upward" in complaint(degrading, tasks=[{"kind": "denoise", "sigma": [55, 3]}])
    assert "tasks.0.sigma.from" in complaint(
        degrading, tasks=[{"kind": "denoise", "sigma": {"from": "low", "to": [0, 5]}}]
    )
    assert "tasks.0.sigma.to is missing" in complaint(
        degrading, tasks=[{"kind": "denoise", "sigma": {"from": [0, 5]}}]
    )
    assert "quality [0, 50] must lie in [1, 100]" in complaint(
        degrading, tasks=[{"kind": "jpeg", "quality": [0, 50]}]
    )
    assert "quality [0, 50] must lie in [1, 100]" in complaint(
        degrading, tasks=[{"kind": "camera", "quality": [0, 50]}]
    )
    assert "strength must lie in [0, 1]" in complaint(degrading, tasks=[{"kind": "photo", "strength": 2}])


def test_a_part_of_the_run_without_a_task_is_refused(degrading: Make):
    for fields in (
        {"until": 0.5},
        {"start": 0.1},
        {"weight": 0},
        {"weight": {"from": 1, "to": 0, "until": 0.5}},
    ):
        assert "without any task at share" in complaint(degrading, tasks=[{"kind": "jpeg", **fields}])


def test_a_place_that_is_no_place_is_refused(make: Make):
    for place in (
        3,
        {"degraded": "a"},
        {"degraded": "a", "target": "b", "more": "c"},
        {"degraded": 1, "target": "b"},
    ):
        message = complaint(make, train=[place])
        assert "field train.0" in message and (
            "must be a folder" in message or "degraded and target" in message
        )


def test_validation_names_every_task_at_its_hardest(degrading: Make, photos: Path):
    tasks = degrading(tasks=[*GROWING, {"kind": "deblur"}, {"kind": "denoise", "sigma": 5}]).tasks
    names = [trial.name for trial in trials(tasks)]
    assert names == [
        "denoise 15",
        "denoise 25",
        "denoise 50",
        "jpeg 10",
        "jpeg 40",
        "deblur",
        "denoise-2 5",
        "photo",
    ]
    recipe = degrading(validation={"folder": str(photos), "images": 2, "crop": 48})
    examples = read_examples(recipe)
    assert len(examples) == 2 * 6
    again = read_examples(recipe)
    for one, other in zip(examples, again, strict=True):
        assert one.degraded.shape == one.target.shape == (1, 3, 48, 48)
        assert torch.equal(one.degraded, other.degraded)
    assert [example.task for example in examples[:6]] == [*names[:5], "photo"]
    noise = examples[1].degraded - examples[1].target
    assert (examples[1].task, examples[1].name) == ("denoise 25", "0-denoise-25.png")
    assert (noise.std() * 255).item() == pytest.approx(25, rel=0.03)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_validation_photos_have_the_size_of_the_scale(make: Make, photos: Path, scale: int, channels: int):
    recipe = make(
        preset=f"nano-x{scale}",
        network={"channels": channels},
        tasks=[{"kind": kind} for kind in ("sr", "denoise", "deblur", "jpeg", "photo")],
        validation={"folder": str(photos), "images": 1, "crop": 49},
    )
    examples = read_examples(recipe)
    assert len({example.task for example in examples}) == 8 - (scale == 1)
    for example in examples:
        assert example.degraded.shape[:2] == (1, channels)
        assert [scale * side for side in example.degraded.shape[2:]] == list(example.target.shape[2:])
