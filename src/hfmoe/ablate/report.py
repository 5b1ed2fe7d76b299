"""Report of a study: its table, its figures, results.json, results.md and the page report.html."""

import json
from collections.abc import Sequence
from datetime import date
from math import isfinite
from pathlib import Path

import hfmoe
from hfmoe.ablate.costs import Cost
from hfmoe.ablate.plan import variant_changes
from hfmoe.ablate.results import Estimate, PairedDifference, Results, RunOutcome, VariantResult
from hfmoe.evaluate.scores import LOWER_IS_BETTER
from hfmoe.report.formatting import amount, flat, markdown_table
from hfmoe.report.page import (
    document,
    element,
    facts_table,
    figure,
    footer,
    grid,
    header,
    paragraph,
    section,
    table,
    tile,
    tiles,
    write_text,
)
from hfmoe.report.plots import IntervalRow, curve_svg, intervals_svg, panels_svg
from hfmoe.report.scatter import NamedPoint, scatter_svg
from hfmoe.report.series import Series
from hfmoe.report.svg import CURVES, INK, standalone
from hfmoe.runtime.machine import Machine, commit

NAMES = {
    "psnr_y": "PSNR Y, dB",
    "psnr_rgb": "PSNR, dB",
    "ssim_y": "SSIM Y",
    "ssim_rgb": "SSIM",
    "lpips": "LPIPS",
    "dists": "DISTS",
}
COSTS = ("parameters (active)", "mult-adds (active)", "ms (over base)")
COLOURS = {
    "better": CURVES[2],
    "worse": CURVES[1],
    "inside the noise": INK,
    "base": CURVES[0],
    "one seed": INK,
    "unknown": INK,
}
AXES = {
    "latency": "latency of one image, ms",
    "work": "active multiply-adds, G",
    "training": "training, s of processor time",
}
"""Costs that scores are drawn against."""
HOW = (
    "Mean over all images and seeds ± standard deviation over seeds. Differences are paired by seed and "
    "image; their 95 % intervals draw both seeds and images anew. A difference counts as one where the "
    "interval leaves out 0 and all seeds, two at least, agree on its sign; of twenty variants without "
    "any effect one would still be expected to look different."
)


def columns(results: Results) -> list[str]:
    """Return the headings of the table: the sets have columns of their own where there is more than one."""
    score = NAMES.get(results.metric, "score")
    sets = list(results.study.evaluate.sets)
    shown = sets if len(sets) > 1 else []
    return ["variant", score, *shown, "minus base [95 %]", "", *COSTS, "steps", "train s"]


def cells(results: Results) -> list[list[str]]:
    """Return the rows of the table as text: the same on screen, in Markdown and on the page."""
    metric, sets = results.metric, list(results.study.evaluate.sets)
    return [
        [
            row.variant,
            estimated(row.score, metric),
            *(estimated(row.sets.get(name), metric) for name in sets if len(sets) > 1),
            differing(row.difference, metric),
            _remark(row),
            *cost_cells(row.cost),
            "" if row.steps is None else f"{row.steps:,.0f}",
            "" if row.seconds is None else f"{row.seconds:,.1f}",
        ]
        for row in results.rows
    ]


def estimated(value: Estimate | None, metric: str) -> str:
    """Return a mean with its spread over seeds."""
    if value is None:
        return ""
    form = _form(metric)
    return f"{value.mean:{form}}" + ("" if value.spread is None else f" ± {value.spread:{form}}")


def differing(value: PairedDifference | None, metric: str) -> str:
    """Return a difference with its sign and its interval."""
    if value is None:
        return ""
    form, span = _form(metric), value.interval
    return f"{value.mean:+{form}}" + ("" if span is None else f" [{span.low:+{form}} {span.high:+{form}}]")


def _form(metric: str) -> str:
    return ".3f" if metric.startswith("psnr") else ".4f"


def _remark(row: VariantResult) -> str:
    """Return the verdict, and how many runs have no scores."""
    missing: dict[str, int] = {}
    for outcome in row.outcomes:
        if not outcome.done:
            missing[outcome.state] = missing.get(outcome.state, 0) + 1
    words = [] if row.verdict == "unknown" and missing else [row.verdict]
    return ", ".join(
        [*words, *(f"{count} of {len(row.outcomes)} {state}" for state, count in missing.items())]
    )


def cost_cells(cost: Cost | None) -> list[str]:
    """Return what a variant costs."""
    if cost is None:
        return [""] * len(COSTS)
    return [
        f"{amount(cost.parameters)} ({amount(cost.parameters_active)})",
        f"{amount(cost.multiply_adds)} ({amount(cost.multiply_adds_active)})",
        f"{cost.milliseconds.median:.1f} ({cost.ratio.median:.2f})",
    ]


def write_results(results: Results, *, where: Machine, command: str) -> Path:
    """Write all files into the study's folder and return the path of the page."""
    folder = results.study.folder
    origin = {"command": command, "commit": commit(Path(hfmoe.__file__)), "machine": where.to_dict()}
    write_text(
        folder / "results.json", json.dumps({**origin, **results.to_dict()}, indent=1, allow_nan=False) + "\n"
    )
    drawn = {"differences": _differences_svg(results)}
    drawn |= {f"score-{name}": _cost_svg(results, name) for name in AXES}
    drawn |= {"curves": _curves_svg(results)}
    for name, svg in drawn.items():
        if svg is not None:
            write_text(folder / f"{name}.svg", standalone(svg))
    names = [name for name, svg in drawn.items() if svg is not None]
    at = commit(Path(hfmoe.__file__))
    code = f"hfmoe {hfmoe.__version__}" if at is None else f"commit {at}"
    write_text(
        folder / "results.md", _markdown(results, names, origin=f"`{command}`, {code}", where=where.line())
    )
    write_text(folder / "report.html", page(results, where, origin=f"{command}, {code}"))
    return folder / "report.html"


def _markdown(results: Results, figures: list[str], *, origin: str, where: str) -> str:
    """Return the results as a section of a Markdown document."""
    study = results.study
    parts = [f"## {study.name}\n"]
    if study.about:
        parts.append(f"{study.about}\n")
    sets = ", ".join(study.evaluate.sets)
    parts.append(f"{study.budget.words()} each, {study.seeds_in_words()}, scored on {sets}.\n")
    parts.append(markdown_table(columns(results), cells(results)))
    parts += [f"{note}\n" for note in results.notes]
    for outcome in results.failed:
        if outcome.reason:
            parts.append(f"{outcome.run.label}: {outcome.state}: {outcome.reason}\n")
    parts.append(f"{HOW}\n")
    parts += [f"![{name}]({name}.svg)\n" for name in figures]
    parts.append(f"{origin}, {date.today().isoformat()}; {where}.")
    return "\n".join(parts) + "\n"


def page(results: Results, where: Machine, *, origin: str) -> str:
    """Return the page's HTML; `origin` is the command that made it, and of which commit."""
    body = (
        _head(results),
        "".join(map(paragraph, results.notes)),
        section("results", "Results", table(columns(results), cells(results)), paragraph(HOW)),
        _drawings(results),
        _curves(results),
        _sets(results),
        _runs(results),
        _settings(results),
        section("machine", "Made by", paragraph(f"{origin}. This page: {where.line()}.")),
        footer("ablate"),
    )
    return document(f"{results.study.name}: ablation study", *body)


def _head(results: Results) -> str:
    study = results.study
    total = sum(len(row.outcomes) for row in results.rows)
    done = total - len(results.failed)
    verdicts = [row.verdict for row in results.rows]
    different = verdicts.count("better") + verdicts.count("worse")
    compared = different + verdicts.count("inside the noise")
    shown = (
        tile("runs", f"{done} of {total}", "done" if done == total else "with scores so far"),
        tile("variants", str(len(results.rows)), f"{study.seeds_in_words()} each"),
        tile("budget of a run", study.budget.words(), "the same for all"),
        tile(
            "different from the base",
            str(different) if compared else "–",
            f"of {compared} compared over seeds" if compared else "nothing has two seeds yet",
        ),
    )
    return header(study.name, study.about, tiles(*shown))


def _drawings(results: Results) -> str:
    drawings = [("Differences to the base", _differences_svg(results))]
    drawings += [(f"Score against {label}", _cost_svg(results, name)) for name, label in AXES.items()]
    drawn = [figure(title, svg) for title, svg in drawings if svg is not None]
    return section("figures", "Figures", *drawn) if drawn else ""


def _curves(results: Results) -> str:
    figures = [
        figure(variant, curve_svg(f"curve-{place}", curves, smooth=False))
        for place, (variant, curves) in enumerate(_mean_curves(results).items())
    ]
    text = "Mean validation PSNR in dB over seconds of processor time, beside the base's."
    return section("curves", "Validation curves", paragraph(text), grid(figures)) if figures else ""


def _sets(results: Results) -> str:
    if len(results.study.evaluate.sets) < 2:
        return ""
    rows = []
    for row in results.rows:
        for name, score in row.sets.items():
            change = row.set_differences.get(name)
            difference = differing(change, results.metric)
            rows.append((row.variant, name, estimated(score, results.metric), difference))
    head = ("variant", "set", NAMES.get(results.metric, "score"), "minus base [95 %]")
    return section("sets", "By set", table(head, rows))


def _runs(results: Results) -> str:
    rows = []
    for row in results.rows:
        for outcome in row.outcomes:
            scores = ", ".join(
                f"{name} {report.mean().present()[results.metric]:.3f}"
                for name, report in (outcome.reports or {}).items()
            )
            seed = str(outcome.run.recipe.seed)
            cost = (f"{outcome.steps:,}", f"{outcome.seconds:,.1f}") if outcome.done else ("", "")
            rows.append((row.variant, seed, outcome.state, *cost, scores or outcome.reason))
    return section("runs", "Runs", table(("variant", "seed", "state", "steps", "train s", "scores"), rows))


def _settings(results: Results) -> str:
    study = results.study
    changed = []
    for name in study.variants:
        fields = [item for changes in variant_changes(study, name) for item in flat(changes)]
        changed.append((name, ", ".join(f"{field} {value}" for field, value in fields) or "nothing"))
    own = study.model_dump(mode="json", exclude={"variants", "about", "name"})
    return section(
        "settings",
        "Settings",
        element("h3", "What each variant changes"),
        facts_table(changed),
        element("h3", "Study"),
        facts_table(flat(own)),
    )


def _differences_svg(results: Results) -> str | None:
    """Draw each variant's difference to the base with its interval and seeds; None where there is none."""
    rows = [
        IntervalRow(row.variant, change.mean, change.interval, change.seeds, COLOURS[row.verdict])
        for row in results.rows
        if (change := row.difference) is not None and isfinite(change.mean)
    ]
    if not rows:
        return None
    better = "less" if results.metric in LOWER_IS_BETTER else "more"
    name, _, unit = NAMES.get(results.metric, results.metric).partition(", ")
    unit = unit and f"{unit}, "
    label = f"{name} minus {results.study.reference} ({unit}{better} is better)"
    return intervals_svg("differences", rows, label=label)


def _cost_of(row: VariantResult, name: str) -> float | None:
    """Return the cost on an axis of AXES."""
    if name == "training":
        return row.seconds
    if row.cost is None:
        return None
    return row.cost.milliseconds.median if name == "latency" else row.cost.multiply_adds_active / 1e9


def _cost_svg(results: Results, name: str) -> str | None:
    """Draw scores against a cost, bars for the spread over seeds; None where fewer than two are known."""
    points = [
        NamedPoint(row.variant, cost, row.score.mean, row.score.spread or 0.0, COLOURS[row.verdict])
        for row in results.rows
        if row.score is not None and isfinite(row.score.mean) and (cost := _cost_of(row, name)) is not None
    ]
    if len(points) < 2:
        return None
    return scatter_svg(name, points, x=AXES[name], y=NAMES.get(results.metric, results.metric))


def _curves_svg(results: Results) -> str | None:
    """Draw the validation curves, a panel a variant on shared axes; None where nothing was validated."""
    panels = _mean_curves(results)
    if not panels:
        return None
    base = f"; {results.study.reference} in each panel" * (len(panels) > 1)
    x = f"training, s of processor time{base}"
    return panels_svg("curves", panels, first=results.study.reference, x=x, y="validation PSNR, dB")


def _mean_curves(results: Results) -> dict[str, dict[str, Series]]:
    """Return by variant its mean curve, the base's before it; variants without one are left out."""
    ours = _mean_curve(results.base.outcomes)
    curves: dict[str, dict[str, Series]] = {}
    for row in results.rows:
        curve = _mean_curve(row.outcomes)
        if curve is not None:
            before = {} if ours is None or row is results.base else {results.study.reference: ours}
            curves[row.variant] = {**before, row.variant: curve}
    return curves


def _mean_curve(outcomes: Sequence[RunOutcome]) -> Series | None:
    """Return the mean validation PSNR over seeds, over processor time, as far as every seed has come."""
    curves = [outcome.curve for outcome in outcomes if outcome.curve]
    if not curves:
        return None
    columns = list(zip(*curves, strict=False))
    seconds = tuple(sum(point.seconds for point in column) / len(column) for column in columns)
    return Series(seconds, tuple(sum(point.psnr for point in column) / len(column) for column in columns))
