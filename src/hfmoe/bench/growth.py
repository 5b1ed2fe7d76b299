"""The plot of a benchmark: how time and memory grow with the input."""

from collections.abc import Sequence
from pathlib import Path

from hfmoe.bench.benchmark import Benchmark, CaseResult, GrowthFit, PowerFit
from hfmoe.report.loglog import Measured, write_loglog


def draw_growth(benchmark: Benchmark, path: Path) -> None:
    """Draw milliseconds, quartiles as bars, and peak memory where measured, over the input's pixels.

    All axes are logarithmic; lines are the power laws fitted to the points. Raises ImageError naming path
    when it cannot be written.
    """
    laws = {(growth.form, growth.effort): growth for growth in benchmark.growth}
    times: list[Measured] = []
    peaks: dict[str, Measured] = {}
    for (form, effort), rows in by_form(benchmark.rows).items():
        growth = laws.get((form, effort))
        times.append(_times(rows, growth))
        measured = _peaks(rows, growth)
        if form not in peaks and measured.x:  # peaks are those of the highest effort, at all of them
            peaks[form] = measured
    panels: dict[str, Sequence[Measured]] = {f"ms, {benchmark.clock} clock": times}
    if any(row.peak_mib is not None for row in benchmark.rows):
        panels["peak memory, MiB"] = list(peaks.values())
    title = f"{benchmark.model}: {benchmark.machine.processor}, {benchmark.machine.date}"
    write_loglog(panels, path, title=title, x="input pixels", width=9.6 if len(panels) > 1 else 5.2)


def by_form(rows: Sequence[CaseResult]) -> dict[tuple[str, float], list[CaseResult]]:
    """Return measurements by form and effort, small inputs first."""
    groups: dict[tuple[str, float], list[CaseResult]] = {}
    for row in sorted(rows, key=lambda row: row.case.pixels):
        groups.setdefault((row.case.form, row.case.effort), []).append(row)
    return groups


def _times(rows: Sequence[CaseResult], growth: GrowthFit | None) -> Measured:
    pixels = [row.case.pixels for row in rows]
    middles = [row.milliseconds.median for row in rows]
    below = [row.milliseconds.median - row.milliseconds.low for row in rows]
    above = [row.milliseconds.high - row.milliseconds.median for row in rows]
    label = f"{rows[0].case.form}, effort {rows[0].case.effort:g}"
    label += "" if growth is None else f": b = {growth.time.b:.3f}"
    return Measured(label, pixels, middles, (below, above), _ends(growth and growth.time, pixels))


def _peaks(rows: Sequence[CaseResult], growth: GrowthFit | None) -> Measured:
    taken = [(row.case.pixels, row.peak_mib) for row in rows if row.peak_mib is not None]
    pixels, peaks = [each[0] for each in taken], [each[1] for each in taken]
    fit = growth and growth.memory
    label = rows[0].case.form if fit is None else f"{rows[0].case.form}: b = {fit.b:.3f}"
    return Measured(label, pixels, peaks, law=_ends(fit, pixels))


def _ends(fit: PowerFit | None, pixels: Sequence[int]) -> tuple[tuple[int, int], tuple[float, float]] | None:
    """Return a law over the range that it was fitted to."""
    if fit is None:
        return None
    first, last = min(pixels), max(pixels)
    return (first, last), (fit.at(first), fit.at(last))
