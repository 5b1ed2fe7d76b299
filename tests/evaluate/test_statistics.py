"""Intervals and tests against hand-computed values and scipy."""

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import stats

from hfmoe.evaluate.report import ImageScore, Report, compare
from hfmoe.evaluate.scores import Scores
from hfmoe.evaluate.statistics import bootstrap_mean, sign_flip, wilcoxon

SKEWED = np.random.default_rng(1).gamma(1, 1, 30).tolist()
DIFFERENCES = np.random.default_rng(2).normal(0.3, 1, 12).tolist()


def test_the_interval_is_scipys():
    ours = bootstrap_mean(SKEWED)
    theirs = stats.bootstrap((SKEWED,), np.mean, n_resamples=10_000, method="BCa", rng=3).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.03)


def test_the_interval_is_repeatable_and_narrows_with_less_certainty():
    assert bootstrap_mean(SKEWED) == bootstrap_mean(SKEWED)
    wide, narrow = bootstrap_mean(SKEWED, level=0.99), bootstrap_mean(SKEWED, level=0.5)
    assert wide.low < narrow.low < np.mean(SKEWED) < narrow.high < wide.high


def test_equal_values_or_one_have_no_width():
    assert bootstrap_mean([2.0]) == (2.0, 2.0)
    assert bootstrap_mean([3.0] * 5) == (3.0, 3.0)


def test_wilcoxon_is_scipys_exact_value_where_there_are_no_ties():
    theirs: Any = stats.wilcoxon(DIFFERENCES, method="exact")
    assert wilcoxon(DIFFERENCES) == pytest.approx(theirs.pvalue)


def test_wilcoxon_with_ties_and_zeros_is_what_all_sign_patterns_say():
    differences = np.array([1, 1, -1, 2, 2, 3, -3, 0, 4.0])
    kept = differences[differences != 0]
    ranks = stats.rankdata(np.abs(kept))
    observed = min(ranks[kept > 0].sum(), ranks[kept < 0].sum())
    sums = [ranks @ pattern for pattern in itertools.product([0, 1], repeat=len(kept))]
    assert wilcoxon(differences.tolist()) == pytest.approx(2 * np.mean(np.array(sums) <= observed))


def test_five_wins_of_five_have_a_chance_of_one_in_sixteen():
    wins = [0.1, 0.2, 0.3, 0.4, 0.5]
    assert wilcoxon(wins) == sign_flip(wins) == 2 / 32


def test_no_difference_is_no_evidence():
    assert wilcoxon([0.0, 0.0]) == 1
    assert sign_flip([0.0, 0.0]) == 1
    assert sign_flip([1.0, -1.0]) == 1


def test_sign_flips_are_scipys_permutations():
    exact = stats.permutation_test((DIFFERENCES,), np.mean, permutation_type="samples", n_resamples=2**12)
    assert sign_flip(DIFFERENCES) == pytest.approx(exact.pvalue)
    many = np.random.default_rng(4).normal(0.15, 1, 60)
    theirs = stats.permutation_test((many,), np.mean, permutation_type="samples", n_resamples=9999, rng=5)
    assert sign_flip(many.tolist()) == pytest.approx(theirs.pvalue, abs=0.03)


@pytest.mark.parametrize("function", [bootstrap_mean, wilcoxon, sign_flip])
def test_nothing_and_infinity_are_refused(function):
    with pytest.raises(ValueError, match="no values"):
        function([])
    with pytest.raises(ValueError, match="finite"):
        function([1.0, float("inf")])


def test_a_level_outside_its_range_is_named():
    with pytest.raises(ValueError, match="level 95"):
        bootstrap_mean([1.0, 2.0], level=95.0)


def report(values, *, lpips=None, protocol="p v1", names="abcdefgh"):
    scores = [Scores(value, 0.5, value, 0.5, lpips and lpips[i]) for i, value in enumerate(values)]
    rows = (ImageScore(name, 1.0, each) for name, each in zip(names, scores, strict=False))
    return Report(protocol, "photos", tuple(rows))


def test_a_comparison_counts_wins_by_what_is_better_for_each_score():
    first = report([30.0, 31.0, 32.0], lpips=[0.1, 0.1, 0.3])
    second = report([29.0, 30.5, 32.5], lpips=[0.2, 0.2, 0.2])
    found = {each.metric: each for each in compare(first, second)}
    psnr, lpips = found["psnr_y"], found["lpips"]
    assert psnr.difference == pytest.approx((1 + 0.5 - 0.5) / 3)
    assert (psnr.better, psnr.worse, psnr.images) == (2, 1, 3)
    assert (lpips.better, lpips.worse) == (2, 1)
    assert psnr.interval is not None
    assert psnr.interval.low <= psnr.difference <= psnr.interval.high


def test_a_model_against_itself_differs_by_nothing_even_where_it_is_perfect():
    perfect = report([float("inf"), 30.0])
    for each in compare(perfect, perfect):
        assert (each.difference, each.wilcoxon, each.better, each.worse) == (0, 1, 0, 0)


def test_an_infinite_difference_has_no_interval():
    psnr = compare(report([float("inf"), 30.0]), report([40.0, 30.0]))[0]
    assert psnr.interval is None
    assert psnr.to_dict()["difference"] == "inf"


def test_only_the_same_images_under_the_same_protocol_are_compared():
    with pytest.raises(ValueError, match="protocols 'p v1' and 'q v1'"):
        compare(report([1.0]), report([1.0], protocol="q v1"))
    with pytest.raises(ValueError, match="b stands in one alone"):
        compare(report([1.0]), report([1.0, 2.0]))
