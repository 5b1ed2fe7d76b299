"""The probe's pure parts, and the probe on a tiny network."""

from collections.abc import Callable

import pytest

from hfmoe.train import Recipe
from hfmoe.train.probe import MemoryFit, ProbeError, Trial, candidates, choose, probe

MIB = 2**20


def test_memory_is_a_line_over_the_pixels_of_a_step():
    trials = [
        Trial(batch, patch, 1.0, 100 * MIB + 500 * batch * patch**2) for batch, patch in ((1, 32), (4, 64))
    ]
    fit = MemoryFit.of(trials)
    assert fit.peak(16, 48) == pytest.approx(100 * MIB + 500 * 16 * 48**2)
    assert fit.largest_batch(32, 100 * MIB + 500 * 32**2 * 10 + 1) == 10
    assert fit.largest_batch(32, 50 * MIB) == 0


def test_the_proposal_has_the_most_pixels_a_second_of_those_that_fit():
    slow, fast, huge = Trial(1, 32, 1.0, 10), Trial(4, 32, 1.0, 20), Trial(64, 64, 1.0, 1000)
    assert choose([slow, fast, huge], limit=100) == fast
    assert choose([slow, fast, huge], limit=5) is None


def test_of_equally_fast_trials_the_one_with_the_larger_step_is_proposed():
    trials = [Trial(4, 32, 1.0, 1), Trial(16, 32, 4.1, 1)]
    assert choose(trials, limit=1) == trials[1]


def test_candidates_grow_hold_the_recipe_and_stay_within_the_photos():
    found = candidates(batch=12, patch=96, multiple=32, room=None)
    sizes = [batch * patch**2 for batch, patch in found]
    assert sizes == sorted(sizes) and (12, 96) in found and found[0] == (1, 32)
    assert max(patch for _, patch in candidates(batch=12, patch=96, multiple=32, room=70)) == 64
    assert candidates(batch=1, patch=32, multiple=32, room=3)


def test_the_probe_measures_steps_and_proposes(make: Callable[..., Recipe]):
    found = probe(make(), limit=None, seconds=5.0)
    assert found.proposal in found.trials and found.proposal is not None
    assert all(trial.seconds > 0 and trial.peak > 50 * MIB for trial in found.trials)
    small = found.trials[0].peak + 2 * MIB
    tight = probe(make(batch=64), limit=small, seconds=5.0)
    assert tight.proposal is None or tight.proposal.peak <= small
    assert tight.stopped and len(tight.trials) < len(candidates(batch=64, patch=32, multiple=32, room=None))


def test_no_proposal_where_nothing_fits(make: Callable[..., Recipe]):
    found = probe(make(), limit=10 * MIB, seconds=5.0)
    assert found.proposal is None and len(found.trials) <= 2


def test_a_probe_that_cannot_start_names_the_reason(make: Callable[..., Recipe], monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(ProbeError, match="status 1"):
        probe(make(), limit=None, seconds=1.0)
