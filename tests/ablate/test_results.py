"""Differences are paired by seed and image; what is inside the noise is said; the page loads nothing."""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hfmoe.ablate.plan import plan
from hfmoe.ablate.report import COLOURS, cells, columns, page
from hfmoe.ablate.results import Point, Results, RunOutcome, compare_runs, make_row, verdict_of
from hfmoe.ablate.study import Study
from hfmoe.evaluate.report import ImageScore, Report
from hfmoe.evaluate.scores import Scores
from hfmoe.evaluate.statistics import bootstrap_crossed, bootstrap_mean
from hfmoe.report.svg import standalone
from hfmoe.runtime.machine import machine

Make = Callable[..., Study]


def report(values: Sequence[float], name: str = "drawn") -> Report:
    scores = [
        ImageScore(f"{place}.png", 0.1, Scores(float(value), 0.9, float(value), 0.9))
        for place, value in enumerate(values)
    ]
    return Report("classical-sr-x2 v1", name, tuple(scores))


def outcomes(
    study: Study, variant: str, by_seed: dict[int, Sequence[float] | None]
) -> tuple[RunOutcome, ...]:
    found = []
    for run in plan(study):
        values = by_seed.get(run.recipe.seed)
        if run.variant != variant:
            continue
        if values is None:
            found.append(RunOutcome(run, "diverged", "loss <l1> is not finite"))
        else:
            curve = (Point(2, 1.0, 20.0), Point(4, 2.0, 21.0))
            found.append(
                RunOutcome(run, "done", "", {"drawn": report(values)}, "psnr_y", 4, 2.0, curve=curve)
            )
    return tuple(found)


def test_a_better_variant_has_a_positive_difference_and_a_worse_one_a_negative(make: Make):
    study = make()
    base = outcomes(study, "full", {0: [30, 25, 35], 1: [30.4, 25.4, 35.4]})
    up = outcomes(study, "slow", {0: [30.1, 25.1, 35.11], 1: [30.5, 25.5, 35.51]})
    better, worse = (compare_runs(*pair, "psnr_y", ("drawn",)) for pair in ((up, base), (base, up)))
    assert better and worse and better.interval and worse.interval
    assert better.mean == pytest.approx(-worse.mean) and better.mean == pytest.approx(0.1033, abs=1e-3)
    assert verdict_of(better, "psnr_y") == "better" == verdict_of(worse, "lpips")
    assert verdict_of(worse, "psnr_y") == "worse" == verdict_of(better, "lpips")


def test_pairing_leaves_out_what_seeds_and_images_have_in_common(make: Make):
    study = make()
    base = outcomes(study, "full", {0: [20, 30, 40], 1: [25, 35, 45]})
    other = outcomes(study, "slow", {0: [20.1, 30.1, 40.1], 1: [25.1, 35.1, 45.1]})
    found = compare_runs(other, base, "psnr_y", ("drawn",))
    assert found and found.interval
    assert found.interval.high - found.interval.low < 1e-9 < found.interval.low


def test_seeds_that_disagree_are_noise_whatever_their_mean(make: Make):
    study = make()
    base = outcomes(study, "full", {0: [30.0] * 3, 1: [30.0] * 3})
    other = outcomes(study, "slow", {0: [31.0] * 3, 1: [29.99] * 3})
    found = compare_runs(other, base, "psnr_y", ("drawn",))
    assert verdict_of(found, "psnr_y") == "inside the noise"


def test_of_one_seed_a_difference_is_shown_and_no_verdict_given(make: Make):
    study = make(seeds=[0])
    base, other = (
        outcomes(study, name, {0: values}) for name, values in (("full", [30, 31]), ("slow", [31, 32]))
    )
    found = Results(
        study,
        tuple(make_row(study, own[0].run.variant, own, base, "psnr_y", None) for own in (base, other)),
        "psnr_y",
        (),
    )
    row = dict(zip(columns(found), cells(found)[1], strict=True))
    assert row["minus base [95 %]"] == "+1.000 [+1.000 +1.000]" and row[""] == "one seed"
    assert COLOURS["one seed"] == COLOURS["inside the noise"]
    text = page(found, machine(), origin="hfmoe ablate")
    assert "nothing has two seeds yet" in text and "better</td>" not in text


def test_only_seeds_that_both_have_are_compared(make: Make):
    study = make()
    base = outcomes(study, "full", {0: [30.0, 20.0], 1: None})
    other = outcomes(study, "slow", {0: [31.0, 21.0], 1: [99.0, 99.0]})
    found = compare_runs(other, base, "psnr_y", ("drawn",))
    assert found and found.seeds == (1.0,)
    assert compare_runs(outcomes(study, "slow", {0: None, 1: [1.0]}), base, "psnr_y", ("drawn",)) is None


def test_an_infinite_score_on_one_side_leaves_no_interval_and_no_verdict(make: Make):
    study = make()
    base = outcomes(study, "full", {0: [30.0, math.inf], 1: [30.0, math.inf]})
    other = outcomes(study, "slow", {0: [31.0, 40.0], 1: [31.0, 40.0]})
    found = compare_runs(other, base, "psnr_y", ("drawn",))
    assert found and found.interval is None and verdict_of(found, "psnr_y") == "unknown"


def test_an_interval_over_seeds_and_images_is_wider_than_one_that_takes_all_values_for_independent():
    table = [[1.0 + 0.01 * image for image in range(50)], [0.0 + 0.01 * image for image in range(50)]]
    crossed = bootstrap_crossed(table, resamples=2000)
    pooled = bootstrap_mean([value for row in table for value in row], resamples=2000)
    assert crossed.high - crossed.low > 2 * (pooled.high - pooled.low)
    assert bootstrap_crossed([[0.5, 0.5], [0.5, 0.5]]) == pytest.approx((0.5, 0.5))
    with pytest.raises(ValueError, match="finite"):
        bootstrap_crossed([[math.nan]])


def results(study: Study) -> Results:
    base = outcomes(study, "full", {0: [30.0, 31.0], 1: [30.2, 31.2]})
    rows = [
        make_row(study, name, own, base, "psnr_y", None)
        for name, own in (("full", base), ("slow", outcomes(study, "slow", {0: [29.0, 30.0], 1: None})))
    ]
    return Results(study, tuple(rows), "psnr_y", ("A note.",))


def test_a_failing_variant_stands_in_the_table_with_what_it_has(make: Make):
    found = results(make())
    table = [dict(zip(columns(found), row, strict=True)) for row in cells(found)]
    assert table[0]["PSNR Y, dB"] == "30.600 ± 0.141" and table[0][""] == "base"
    assert table[1]["PSNR Y, dB"] == "29.500" and "1 of 2 diverged" in table[1][""]
    assert [outcome.run.label for outcome in found.failed] == ["slow, seed 1"]


def test_the_page_loads_nothing_and_escapes_what_others_wrote(make: Make):
    text = page(results(make(about="<b>bold</b> & more")), machine(), origin="hfmoe ablate <i>x</i>")
    assert "http" not in text and "<link" not in text and not re.search(r'(src|href)="(?!#)', text)
    assert "&lt;b&gt;bold" in text and "<b>bold" not in text and "loss &lt;l1&gt; is not finite" in text
    for title in ("Results", "Figures", "Validation curves", "Runs", "Settings"):
        assert f"<h2>{title}</h2>" in text
    assert text.count("<svg") >= 4


def test_drawings_stand_alone_in_the_page_s_colours(tmp_path: Path):
    svg = standalone(
        '<svg viewBox="0 0 1 1"><text style="font: 8px var(--font); fill: var(--ink)">a</text></svg>'
    )
    assert "var(" not in svg and "xmlns" in svg and "#1b1f24" in svg
