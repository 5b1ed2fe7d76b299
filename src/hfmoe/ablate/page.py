"""The page of a study: one HTML file that loads nothing."""

from html import escape

from hfmoe.ablate.figures import MEASURES, cost_svg, curve_figures, differences_svg
from hfmoe.ablate.plan import variant_changes
from hfmoe.ablate.results import Results
from hfmoe.ablate.table import NAMES, cells, columns, differing, estimated
from hfmoe.evaluate.html import (
    document,
    element,
    facts_table,
    figure,
    footer,
    paragraph,
    section,
    table,
)
from hfmoe.runtime.machine import Machine
from hfmoe.train.report.overview import tile
from hfmoe.train.report.page import STYLE
from hfmoe.train.report.words import flat

HOW = (
    "Mean over all images and seeds ± standard deviation over seeds. Differences are paired by seed and "
    "image; their 95 % intervals draw both seeds and images anew. A difference counts as one where the "
    "interval leaves out 0 and all seeds, two at least, agree on its sign; of twenty variants without "
    "any effect one would still be expected to look different."
)


def page(results: Results, where: Machine, *, origin: str) -> str:
    """Give the page's HTML; `origin` is the command that made it, and of which commit."""
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
    return document(f"{results.study.name}: ablation study", *body, style=STYLE.read_text("utf-8"))


def _head(results: Results) -> str:
    study = results.study
    total = sum(len(row.outcomes) for row in results.rows)
    done = total - len(results.failed)
    told = [row.verdict for row in results.rows]
    different, judged = told.count("better") + told.count("worse"), told.count("inside the noise")
    judged += different
    tiles = [
        tile("runs", f"{done} of {total}", "done" if done == total else "with scores so far"),
        tile("variants", str(len(results.rows)), f"{study.seeds_in_words()} each"),
        tile("budget of a run", study.budget.words(), "the same for all"),
        tile(
            "different from the base",
            str(different) if judged else "–",
            f"of {judged} compared over seeds" if judged else "nothing has two seeds yet",
        ),
    ]
    return element(
        "header",
        element("h1", escape(study.name)),
        element("p", escape(study.about), class_="what"),
        element("div", *tiles, class_="tiles"),
        id="summary",
    )


def _drawings(results: Results) -> str:
    found = [("Differences to the base", differences_svg(results))]
    found += [(f"Score against {measure.label}", cost_svg(results, measure)) for measure in MEASURES]
    drawn = [figure(title, svg) for title, svg in found if svg is not None]
    return section("figures", "Figures", *drawn) if drawn else ""


def _curves(results: Results) -> str:
    figures = [figure(title, svg) for title, svg in curve_figures(results)]
    text = "Mean validation PSNR in dB over seconds of processor time, beside the base's."
    grid = element("div", *figures, class_="grid")
    return section("curves", "Validation curves", paragraph(text), grid) if figures else ""


def _sets(results: Results) -> str:
    if len(results.study.evaluate.sets) < 2:
        return ""
    rows = []
    for row in results.rows:
        for name, score in row.sets.items():
            found = row.set_differences.get(name)
            difference = differing(found, results.metric)
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
