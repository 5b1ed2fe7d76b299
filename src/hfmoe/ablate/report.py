"""What a study leaves for people: results.json, results.md with its figures, report.html."""

import json
from datetime import date
from pathlib import Path

import hfmoe
from hfmoe.ablate.figures import MEASURES, cost_svg, curves_svg, differences_svg, standalone
from hfmoe.ablate.page import HOW, page
from hfmoe.ablate.results import Results
from hfmoe.ablate.table import cells, columns, markdown
from hfmoe.evaluate.html import write_whole
from hfmoe.runtime.machine import Machine, commit


def write_results(results: Results, *, where: Machine, command: str) -> Path:
    """Write all files into the study's folder; give the path of the page."""
    folder = results.study.folder
    found = {"command": command, "commit": commit(Path(hfmoe.__file__)), "machine": where.to_dict()}
    write_whole(
        folder / "results.json", json.dumps({**found, **results.to_dict()}, indent=1, allow_nan=False) + "\n"
    )
    drawn = {"differences": differences_svg(results)}
    drawn |= {f"score-{measure.name}": cost_svg(results, measure) for measure in MEASURES}
    drawn |= {"curves": curves_svg(results)}
    for name, svg in drawn.items():
        if svg is not None:
            write_whole(folder / f"{name}.svg", standalone(svg))
    names = [name for name, svg in drawn.items() if svg is not None]
    write_whole(folder / "results.md", in_markdown(results, names, where=where, command=command))
    write_whole(folder / "report.html", page(results, where, origin=f"{command}, {_code()}"))
    return folder / "report.html"


def in_markdown(results: Results, figures: list[str], *, where: Machine, command: str) -> str:
    """Give the results as a section of a Markdown document."""
    study = results.study
    parts = [f"## {study.name}\n"]
    if study.about:
        parts.append(f"{study.about}\n")
    sets = ", ".join(study.evaluate.sets)
    parts.append(f"{study.budget.words()} each, {study.seeds_in_words()}, scored on {sets}.\n")
    parts.append(markdown(columns(results), cells(results)))
    parts += [f"{note}\n" for note in results.notes]
    for outcome in results.failed:
        if outcome.reason:
            parts.append(f"{outcome.run.label}: {outcome.state}: {outcome.reason}\n")
    parts.append(f"{HOW}\n")
    parts += [f"![{name}]({name}.svg)\n" for name in figures]
    parts.append(f"`{command}`, {_code()}, {date.today().isoformat()}; {where.line()}.")
    return "\n".join(parts) + "\n"


def _code() -> str:
    at = commit(Path(hfmoe.__file__))
    return f"hfmoe {hfmoe.__version__}" if at is None else f"commit {at}"
