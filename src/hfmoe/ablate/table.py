"""The table of a study as cells of text: the same on screen, in Markdown and on its page."""

from hfmoe.ablate.costs import Cost
from hfmoe.ablate.results import Estimate, PairedDifference, Results, VariantResult
from hfmoe.report.formatting import amount

FORMS = {"psnr_y": ".3f", "psnr_rgb": ".3f"}
NAMES = {
    "psnr_y": "PSNR Y, dB",
    "psnr_rgb": "PSNR, dB",
    "ssim_y": "SSIM Y",
    "ssim_rgb": "SSIM",
    "lpips": "LPIPS",
    "dists": "DISTS",
}
COSTS = ("parameters (active)", "mult-adds (active)", "ms (over base)")


def columns(results: Results) -> list[str]:
    """Return the names of the columns."""
    score = NAMES.get(results.metric, "score")
    return ["variant", score, *shown_sets(results), "minus base [95 %]", "", *COSTS, "steps", "train s"]


def shown_sets(results: Results) -> list[str]:
    """Return the sets that have a column: all, where there is more than one."""
    sets = list(results.study.evaluate.sets)
    return sets if len(sets) > 1 else []


def cells(results: Results) -> list[list[str]]:
    """Return the rows of the table."""
    return [_cells(row, results) for row in results.rows]


def _cells(row: VariantResult, results: Results) -> list[str]:
    metric = results.metric
    return [
        row.variant,
        estimated(row.score, metric),
        *(estimated(row.sets.get(name), metric) for name in shown_sets(results)),
        differing(row.difference, metric),
        remark(row),
        *cost_cells(row.cost),
        "" if row.steps is None else f"{row.steps:,.0f}",
        "" if row.seconds is None else f"{row.seconds:,.1f}",
    ]


def estimated(value: Estimate | None, metric: str) -> str:
    """Return a mean with its spread over seeds."""
    if value is None:
        return ""
    form = FORMS.get(metric, ".4f")
    return f"{value.mean:{form}}" + ("" if value.spread is None else f" ± {value.spread:{form}}")


def differing(value: PairedDifference | None, metric: str) -> str:
    """Return a difference with its sign and its interval."""
    if value is None:
        return ""
    form = FORMS.get(metric, ".4f")
    span = value.interval
    return f"{value.mean:+{form}}" + ("" if span is None else f" [{span.low:+{form}} {span.high:+{form}}]")


def remark(row: VariantResult) -> str:
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
