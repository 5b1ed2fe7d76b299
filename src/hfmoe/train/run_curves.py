"""The sections of a run's page that draw curves: training, validation, routing, tasks."""

from collections.abc import Mapping

from hfmoe.models.cost import built
from hfmoe.nn.experts import MoEFFN
from hfmoe.nn.routing import cost_prior
from hfmoe.report.page import element, figure, grid, legend, paragraph, section, table
from hfmoe.report.plots import Mark, curve_svg, shares_svg
from hfmoe.report.series import Series, grouped, make_series, scaled
from hfmoe.report.svg import shade
from hfmoe.train.run_data import RunData, best, collect, mean_load, scores, shape, shares

APART = frozenset({"loss", "lr", "gradient_norm", "load", "evenness", "images_per_second", "waiting"})
"""Fields of a training record that have a place of their own."""
NAMES = {"total": "total, what is minimised", "balance": "balance of experts", "z": "router z"}


def curves_section(run: RunData) -> str:
    """Draw losses, rates, speed, and whatever else the records hold that changes."""
    validated = bool(scores(run))
    if not run.training and not validated:
        return section("curves", "Curves", paragraph("The run has written no record of its training yet."))
    series = collect(run.training, leave_out={"load", "evenness"})
    rest = {path: curve for path, curve in series.items() if path.partition("/")[0] not in APART}
    figures = [validation_figure(run)] if validated else []
    for path, curve in series.items():
        head, _, term = path.partition("/")
        if head == "loss":
            svg = curve_svg(name_id(path), {term: curve}, log=True, breaks=breaks(run))
            figures.append(figure(f"loss: {NAMES.get(term, term)}", svg, f"last {curve.values[-1]:.4g}"))
    for path, title, log in (
        ("lr", "learning rate", False),
        ("gradient_norm", "gradient norm before clipping", True),
        ("images_per_second", "images per second", False),
        ("waiting", "time waiting for data, %", False),
    ):
        if path in series:
            shown = scaled(series[path], 100.0) if path == "waiting" else series[path]
            svg = curve_svg(name_id(path), {title: shown}, log=log, smooth=path != "lr", breaks=breaks(run))
            figures.append(figure(title, svg))
    figures += other_figures(run, rest, prefix="other")
    still = [f"{path} {curve.values[0]:g}" for path, curve in rest.items() if len(set(curve.values)) == 1]
    constant = paragraph(f"Constant over the run: {', '.join(still)}.") if still else ""
    return section("curves", "Curves", grid(figures), constant, validation_table(run))


def validation_figure(run: RunData) -> str:
    """Draw the validation PSNR with its best marked."""
    validations = scores(run)
    top = best(validations)
    assert top is not None
    curve = make_series({score.step: score.psnr for score in validations})
    mark = Mark(float(top.step), top.psnr)
    svg = curve_svg("validation", {"psnr": curve}, mark=mark, smooth=False, breaks=breaks(run))
    return figure("validation PSNR, dB", svg, f"best {top.psnr:.2f} at {top.step:,}")


def validation_table(run: RunData) -> str:
    """Return every validation score, folded away."""
    rows = [(f"{score.step:,}", f"{score.psnr:.3f}") for score in scores(run)]
    if not rows:
        return ""
    return element("details", element("summary", "All validation scores"), table(("step", "PSNR, dB"), rows))


def routing_section(run: RunData) -> str:
    """Draw each mixture layer's mean expert loads over steps beside the cost prior, and list their means."""
    records = [record for record in run.training if shares(record.get("load"))]
    if not records:
        return section("routing", "Routing", paragraph("No expert loads were recorded."))
    layout = shape(records[-1]["load"])
    records = [record for record in records if shape(record["load"]) == layout]
    priors = layer_priors(run, layout)
    figures = []
    for layer, experts in enumerate(layout):
        curves = [
            make_series({record["step"]: float(record["load"][layer][place]) for record in records})
            for place in range(experts)
        ]
        svg = shares_svg(f"load-{layer}", curves, prior=priors[layer] if priors else None)
        figures.append(figure(f"layer {layer + 1}", svg))
    text = (
        "Mean share of the windows that each expert got in the steps between two records. The bar and the "
        "dashed lines are the prior, 1 / cost, towards which balancing moves them."
    )
    most = max(layout)
    colours = [(f"var(--expert-{shade(place, most)})", f"expert {place + 1}") for place in range(most)]
    experts = legend(colours, " from cheap to heavy")
    return section("routing", "Routing", paragraph(text), experts, grid(figures), load_table(run, priors))


def load_table(run: RunData, priors: list[list[float]] | None) -> str:
    """Return each layer's mean loads over the last tenth of the records, with the prior in brackets."""
    means = mean_load(run.training[-max(1, len(run.training) // 10) :])
    rows = []
    for layer, loads in enumerate(means):
        beside = [f" ({share:.1%})" for share in priors[layer]] if priors else [""] * len(loads)
        cells = (f"{share:.1%}{prior}" for share, prior in zip(loads, beside, strict=True))
        rows.append((str(layer + 1), *cells))
    widest = max(map(len, means), default=0)
    columns = ("layer", *(f"expert {place + 1}" for place in range(widest)))
    prior = " (the prior)" if priors else ""
    return paragraph(f"Mean load over the last tenth of the records{prior}:") + table(columns, rows)


def layer_priors(run: RunData, layout: tuple[int, ...]) -> list[list[float]] | None:
    """Return the cost prior of each mixture layer; None where the network is not known or does not fit."""
    if run.config is None:
        return None
    layers = (layer for layer in built(run.config).modules() if isinstance(layer, MoEFFN))
    priors = [cost_prior(layer.costs).tolist() for layer in layers]
    return priors if shape(priors) == layout else None


def tasks_section(run: RunData) -> str:
    """Draw whatever numbers the records of tasks hold; empty where there are none."""
    figures = other_figures(run, collect(run.of_kind("tasks")), prefix="tasks", constant=True)
    return section("tasks", "Tasks", grid(figures)) if figures else ""


def other_figures(
    run: RunData, series: Mapping[str, Series], *, prefix: str, constant: bool = False
) -> list[str]:
    """Draw curves that no other section knows, those that belong together on one plot."""
    figures = []
    for place, (title, curves) in enumerate(grouped(series).items()):
        if constant or any(len(set(curve.values)) > 1 for curve in curves.values()):
            svg = curve_svg(f"{prefix}-{place}", curves, smooth=False, breaks=breaks(run))
            figures.append(figure(title.replace("_", " "), svg))
    return figures


def breaks(run: RunData) -> list[float]:
    """Return the steps at which a session went on."""
    return [float(record["step"]) for record in run.of_kind("session") if record["step"] > 0]


def name_id(path: str) -> str:
    """Return letters that may stand in an id of the page, the same for the same path."""
    return "p" + path.encode().hex()
