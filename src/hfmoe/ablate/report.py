"""Report of a study: results.json, results.md with its figures, and its page report.html."""

import json
from datetime import date
from pathlib import Path

import hfmoe
from hfmoe.ablate.figures import MEASURES, cost_svg, curve_figures, curves_svg, differences_svg
from hfmoe.ablate.plan import variant_changes
from hfmoe.ablate.results import Results
from hfmoe.ablate.table import NAMES, cells, columns, differing, estimated
from hfmoe.report.formatting import flat, markdown_table
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
from hfmoe.report.svg import standalone
from hfmoe.runtime.machine import Machine, commit

HOW = (
    "Mean over all images and seeds ± standard deviation over seeds. Differences are paired by seed and "
    "image; their 95 % intervals draw both seeds and images anew. A difference counts as one where the "
    "interval leaves out 0 and all seeds, two at least, agree on its sign; of twenty variants without "
    "any effect one would still be expected to look different."
)


def write_results(results: Results, *, where: Machine, command: str) -> Path:
    """Write all files into the study's folder and return the path of the page."""
    folder = results.study.folder
    origin = {"command": command, "commit": commit(Path(hfmoe.__file__)), "machine": where.to_dict()}
    write_text(
        folder / "results.json", json.dumps({**origin, **results.to_dict()}, indent=1, allow_nan=False) + "\n"
    )
    drawn = {"differences": differences_svg(results)}
    drawn |= {f"score-{measure.name}": cost_svg(results, measure) for measure in MEASURES}
    drawn |= {"curves": curves_svg(results)}
    for name, svg in drawn.items():
        if svg is not None:
            write_text(folder / f"{name}.svg", standalone(svg))
    names = [name for name, svg in drawn.items() if svg is not None]
    write_text(folder / "results.md", in_markdown(results, names, where=where, command=command))
    write_text(folder / "report.html", page(results, where, origin=f"{command}, {_code()}"))
    return folder / "report.html"


def in_markdown(results: Results, figures: list[str], *, where: Machine, command: str) -> str:
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
    parts.append(f"`{command}`, {_code()}, {date.today().isoformat()}; {where.line()}.")
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
    drawings = [("Differences to the base", differences_svg(results))]
    drawings += [(f"Score against {measure.label}", cost_svg(results, measure)) for measure in MEASURES]
    drawn = [figure(title, svg) for title, svg in drawings if svg is not None]
    return section("figures", "Figures", *drawn) if drawn else ""


def _curves(results: Results) -> str:
    figures = [figure(title, svg) for title, svg in curve_figures(results)]
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


def _code() -> str:
    at = commit(Path(hfmoe.__file__))
    return f"hfmoe {hfmoe.__version__}" if at is None else f"commit {at}"
