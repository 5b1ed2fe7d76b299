"""The picture of a benchmark shows every point that was measured, and the laws fitted to them."""

from pathlib import Path
from typing import Any

import pytest

from hfmoe.bench.benchmark import Benchmark, CaseResult, fit_power, growths
from hfmoe.bench.forms import Case
from hfmoe.bench.growth import draw_growth
from hfmoe.bench.timing import Spread
from hfmoe.image.files import read_picture
from hfmoe.report import loglog
from hfmoe.runtime.machine import machine

SIDES = (128, 32, 64)


def row(side: int, effort: float, peak: float | None) -> CaseResult:
    """A case whose time grows in proportion to its pixels, quartiles a tenth around it."""
    time = side**2 * (1 + effort) / 1000
    spread = Spread(0.9 * time, time, 1.1 * time)
    return CaseResult(Case("eager", side, side, effort), spread, 5, 1.0, None, 0.1, 1000, peak)


def benchmark(*, memory: bool) -> Benchmark:
    rows = tuple(
        row(side, effort, side**2 / 50 if memory else None) for side in SIDES for effort in (0.0, 1.0)
    )
    return Benchmark("nano-x4", machine(threads=1), rows, growths(rows), 1.0, (), "drawn noise")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The axes of the figures that are saved."""
    found: list[Any] = []
    save = loglog.save_figure

    def listen(figure: Any, path: Path) -> None:
        found.extend(figure.axes)
        save(figure, path)

    monkeypatch.setattr(loglog, "save_figure", listen)
    return found


def test_times_and_peaks_stand_at_their_pixels_with_their_laws(drawn: list[Any], tmp_path: Path):
    draw_growth(benchmark(memory=True), tmp_path / "growth.png")
    times, peaks = drawn
    assert times.get_ylabel() == "ms, wall clock"
    points = times.containers[0].lines[0]
    assert list(points.get_xdata()) == [32**2, 64**2, 128**2]
    assert list(points.get_ydata()) == pytest.approx([side**2 / 1000 for side in sorted(SIDES)])
    law = next(line for line in times.lines if len(line.get_xdata()) == 2)
    assert list(law.get_ydata()) == pytest.approx([32**2 / 1000, 128**2 / 1000])
    assert [text.get_text() for text in times.get_legend().get_texts()] == [
        "eager, effort 0: b = 1.000",
        "eager, effort 1: b = 1.000",
    ]
    (segments,) = times.containers[0].lines[2]
    low, high = segments.get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((0.9 * 32**2 / 1000, 1.1 * 32**2 / 1000))
    assert [text.get_text() for text in peaks.get_legend().get_texts()] == ["eager: b = 1.000"]
    assert list(peaks.lines[1].get_ydata()) == pytest.approx([32**2 / 50, 128**2 / 50])
    assert list(peaks.lines[0].get_ydata()) == pytest.approx([side**2 / 50 for side in sorted(SIDES)])
    assert (times.get_xscale(), times.get_yscale()) == ("log", "log")
    assert read_picture(tmp_path / "growth.png").colour.std() > 0.05


def test_without_memory_there_is_one_panel(drawn: list[Any], tmp_path: Path):
    draw_growth(benchmark(memory=False), tmp_path / "growth.png")
    assert len(drawn) == 1


def test_a_law_gives_back_the_costs_it_was_fitted_to():
    fit = fit_power([100, 400], [3.0, 12.0])
    assert fit.at(100) == pytest.approx(3)
    assert fit.at(400) == pytest.approx(12)
