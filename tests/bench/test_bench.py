"""Benchmarks: fits recover what is known, rounds are fair, and what cannot be measured is said."""

import math
import time
from dataclasses import replace

import pytest
import torch

from hfmoe.bench import benchmark as reporting
from hfmoe.bench.benchmark import Plan, bench, choose_cases, fit_power
from hfmoe.bench.forms import FORMS, Case, ModelForm
from hfmoe.bench.inputs import photo_of_size, pink_image
from hfmoe.bench.timing import CLOCKS, Rounds, interleave, ratio, seconds_of, spread
from hfmoe.bench.worker import TimingJob, run_job
from hfmoe.image.files import Picture, write_picture
from hfmoe.models.cost import count_work, multiply_adds
from hfmoe.models.presets import PRESETS

SIZES = [128**2, 256**2, 512**2, 1024**2]
PLAN = Plan("nano-x2", sizes=(64, 128), efforts=(0.0, 0.5), forms=("eager",), threads=1)


@pytest.mark.parametrize("exponent", [0.9, 1.0, 1.3])
def test_a_fit_recovers_a_known_power(exponent):
    fit = fit_power(SIZES, [3e-6 * pixels**exponent for pixels in SIZES])
    assert fit.a == pytest.approx(3e-6)
    assert fit.b == pytest.approx(exponent)
    assert fit.steepest == pytest.approx(exponent)
    assert fit.error == pytest.approx(0, abs=1e-7)


def test_noise_shows_in_the_fits_error_and_its_steepest_step():
    costs = [pixels * factor for pixels, factor in zip(SIZES, (1.0, 1.2, 1.0, 1.2), strict=True)]
    fit = fit_power(SIZES, costs)
    assert fit.error is not None and 0.02 < fit.error < 0.1
    assert fit.steepest == pytest.approx(1 + math.log(1.2) / math.log(4))


def test_two_points_say_nothing_of_a_fits_error():
    assert fit_power(SIZES[:2], [1.0, 3.0]).error is None


@pytest.mark.parametrize(("pixels", "costs"), [([4], [1.0]), ([4, 4], [1.0, 2.0]), ([4, 9], [1.0])])
def test_a_fit_needs_two_sizes(pixels, costs):
    with pytest.raises(ValueError, match="two sizes"):
        fit_power(pixels, costs)


def test_a_fit_refuses_a_cost_of_nothing():
    with pytest.raises(ValueError, match="above 0"):
        fit_power([4, 9], [1.0, 0.0])


def test_rounds_run_every_case_once_in_changing_order():
    calls = []
    runs = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    found = interleave(runs, rounds=6, budget=10.0, warm_up=1)
    rounds = [tuple(calls[start : start + 3]) for start in range(3, len(calls), 3)]
    assert len(rounds) == 6
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds)
    assert len(set(rounds)) > 1
    assert all(len(each.runs()) == 6 for each in found.values())


def test_the_processor_clock_does_not_count_waiting():
    def wait():
        time.sleep(0.05)

    runs = interleave({"wait": wait}, rounds=3, budget=1.0, clock=CLOCKS["cpu"])["wait"].runs()
    assert max(runs) < 0.04 < 0.05 <= seconds_of(wait)


def test_a_slow_case_sits_rounds_out_but_runs_three_times():
    now = iter(range(10**6))
    slow = {"slow": lambda: [next(now) for _ in range(20_000)], "quick": lambda: None}
    found = interleave(slow, rounds=9, budget=1e-4)
    assert len(found["slow"].runs()) == 3
    assert len(found["quick"].runs()) == 9
    assert len(found["slow"].seconds) == 9


def test_ratios_are_formed_inside_a_round():
    """A machine that becomes ten times as slow half way changes no ratio."""
    pace = [1.0, 1.0, 10.0, 10.0]
    a, b = Rounds(tuple(2 * p for p in pace)), Rounds(tuple(pace))
    assert ratio(a, b) == (2, 2, 2)
    assert ratio(Rounds((1.0, math.nan)), Rounds((math.nan, 1.0))) is None


def test_a_spread_is_median_and_quartiles():
    assert spread([3.0, 1.0, 2.0, 5.0, 4.0]) == (2, 3, 4)
    assert spread([7.0]) == (7, 7, 7)


def test_the_drawn_input_has_the_spectrum_of_photos():
    image = pink_image(64, 64, channels=1)
    assert torch.equal(image, pink_image(64, 64, channels=1))
    assert image.mean().item() == pytest.approx(0.5, abs=0.05)
    energy = torch.fft.fft2(image[0, 0].double() - 0.5).abs().square()
    assert energy[0, 2:4].mean() > 20 * energy[0, 16:24].mean()


def test_a_photo_is_cut_or_mirrored_to_the_size(tmp_path):
    pixels = torch.arange(12.0).view(1, 3, 4) / 12
    write_picture(tmp_path / "p.png", Picture(pixels))
    small = photo_of_size(tmp_path / "p.png", 1, 2, channels=3)
    assert small.shape == (1, 3, 1, 2)
    torch.testing.assert_close(small[0, 0, 0], pixels[0, 1, 1:3], atol=0.003, rtol=0)
    large = photo_of_size(tmp_path / "p.png", 9, 12, channels=1)[0, 0]
    torch.testing.assert_close(large[3:6, 4:8], pixels[0], atol=0.003, rtol=0)
    torch.testing.assert_close(large[:3], large[3:6].flip(0))


def test_work_follows_the_experts_that_ran():
    config = PRESETS["nano-x4"]
    work = count_work(config, 64, 64)
    none, cheap, heavy = (work.at([cost] * len(work.heaviest)) for cost in (0.0, 0.25, 1.0))
    assert heavy == multiply_adds(config, 64, 64).dense
    assert cheap < multiply_adds(config, 64, 64).expected < heavy
    assert heavy - none == sum(work.heaviest)


def test_cases_that_do_not_fit_are_left_out_with_the_reason(monkeypatch):
    config = PRESETS["nano-x2"]
    absent = ModelForm(FORMS["eager"].make, missing=lambda: "needs what is not installed")
    monkeypatch.setattr(reporting, "FORMS", {**FORMS, "absent": absent})
    plan = replace(PLAN, sizes=(64, 4096), forms=("eager", "absent"))
    cases, skipped = choose_cases(plan, config, free=2**30)
    assert {case.height for case in cases} == {64}
    assert skipped[0].startswith("eager, 4096 x 4096: needs about")
    assert skipped[1] == "absent: needs what is not installed"
    with pytest.raises(RuntimeError, match="nothing can be measured here"):
        choose_cases(plan, config, free=1)
    with pytest.raises(ValueError, match="form 'magic'"):
        choose_cases(replace(PLAN, forms=("magic",)), config, free=2**30)
    _, skipped = choose_cases(replace(PLAN, forms=("eager", "gone.onnx")), config, free=2**30)
    assert skipped == ["gone.onnx: no such file"]


def test_a_benchmark_is_put_together_from_what_the_workers_found(monkeypatch):
    """Workers that find time and memory proportional to pixels, the second effort twice as slow."""
    asked: list[TimingJob] = []
    work = count_work(PRESETS["nano-x4"], 64, 64)
    cheap = [0.25] * len(work.heaviest)

    def worker(job: TimingJob, **_):
        asked.append(job)
        if job.memory:
            return {"peak_mib": job.cases[0].pixels / 100}
        seconds = [[case.pixels * (1 + (case.effort > 0)) * 1e-6] * 3 for case in job.cases]
        costs = [cheap for _ in job.cases]
        return {"seconds": seconds, "ready": [1.0] * len(costs), "expert_costs": costs, "overhead": 1e-6}

    monkeypatch.setattr(reporting, "run_job", worker)
    found = bench(PLAN, PRESETS["nano-x4"], free=2**34)
    assert [row.case.effort for row in found.rows] == [0.0, 0.5, 0.0, 0.5]
    assert [round(row.milliseconds.median, 3) for row in found.rows] == [4.096, 8.192, 16.384, 32.768]
    assert found.rows[0].megapixels_per_second == pytest.approx(1)
    assert [each.time.b for each in found.growth] == pytest.approx([1, 1])
    assert found.growth[0].memory is not None
    assert found.growth[0].memory.b == pytest.approx(1)
    assert sum(job.memory for job in asked) == 2
    assert found.to_dict()["rows"][0]["multiply_adds"] == work.at(cheap)


@pytest.mark.slow
def test_a_worker_measures_time_and_memory():
    cases = tuple(Case("eager", 32, 32, effort) for effort in (0.0, 1.0))
    job = TimingJob("nano-x4", cases, threads=1, rounds=3, budget=0.5)
    told: list[str] = []
    found = run_job(job, on_step=told.append)
    assert told == [
        "eager, 32 x 32, effort 0: made ready",
        "eager, 32 x 32, effort 1: made ready",
        "eager, 32 x 32: 2 cases timed in turn",
    ]
    assert [len(each) for each in found["seconds"]] == [3, 3]
    assert all(value > 0 for each in found["seconds"] for value in each)
    assert [set(costs) for costs in found["expert_costs"]] == [{0.25}, {1.0}]
    assert 0 < found["overhead"] < 1e-3
    assert run_job(replace(job, cases=cases[:1], memory=True))["peak_mib"] > 0


@pytest.mark.slow
def test_what_goes_wrong_in_a_worker_is_one_line():
    job = TimingJob("no-model", (Case("eager", 32, 32, 0.5),), threads=1, rounds=3, budget=0.5)
    with pytest.raises(RuntimeError, match="measuring eager, 32 x 32, effort 0.5 failed: .*no-model"):
        run_job(job)
