"""The head of a run's page: what it is, how far it is, how good, how fast."""

from collections.abc import Mapping
from html import escape

from hfmoe.evaluate.html import element
from hfmoe.models.cost import count_parameters
from hfmoe.train.report.reading import RunData
from hfmoe.train.report.summary import Score, best, pace, scores, seconds_left, session_seconds
from hfmoe.train.report.words import amount, duration, moment
from hfmoe.train.run_log import number

TASKS = {
    "sr": "super-resolution",
    "denoise": "denoising",
    "jpeg": "JPEG restoration",
    "photo": "photo restoration",
}


def overview(run: RunData) -> str:
    """Give the title, the progress line and the tiles of numbers."""
    tiles = [progress_tile(run), *score_tiles(run), *pace_tiles(run)]
    return element(
        "header",
        element("h1", escape(run.name)),
        element("p", escape(" · ".join(what_it_is(run))), class_="what"),
        progress(run),
        element("div", *tiles, class_="tiles"),
        id="summary",
    )


def what_it_is(run: RunData) -> list[str]:
    """List the task, scale, preset and parameters, as far as they are known."""
    words = []
    task = task_of(run)
    if task:
        words.append(TASKS.get(task, task))
    if run.config is not None:
        words.append(f"×{run.config.scale}")
    if isinstance(peer := run.recipe.get("peer"), Mapping):
        words.append(f"network {peer.get('network')}")
    elif run.recipe.get("preset"):
        words.append(f"preset {run.recipe['preset']}")
    if run.config is not None:
        words.append(f"{amount(count_parameters(run.config).total)} parameters")
    return words


def task_of(run: RunData) -> str:
    """Name the task: as the recipe or the weights file says, else super-resolution where the image grows."""
    named = run.recipe.get("task")
    if isinstance(named, str):
        return named
    if run.facts is not None:
        return run.facts.task
    return "sr" if run.config is not None and run.config.scale > 1 else ""


def progress(run: RunData) -> str:
    """Give a bar of the share of steps done; empty where the number of steps is not known."""
    if run.steps is None:
        return ""
    share = min(1.0, run.step / run.steps)
    return element("div", element("i", "", style=f"width:{share:.1%}"), class_="bar", role="presentation")


def progress_tile(run: RunData) -> str:
    """Say how many steps are done."""
    if run.steps is None:
        seconds = number(run.recipe.get("processor_seconds"))
        rule = f"within {seconds:g} s of processor time" if seconds else "of a number that is not known"
        return tile("steps", f"{run.step:,}", rule)
    done = "finished" if run.step >= run.steps else f"{run.step / run.steps:.0%} of {run.steps:,}"
    times = [time for record in run.training if (time := number(record.get("time"))) is not None]
    when = moment(max(times, default=None))
    return tile("steps", f"{run.step:,}", ", ".join(filter(None, (done, when))))


def score_tiles(run: RunData) -> list[str]:
    """Say the best and the last validation PSNR and when they were reached."""
    found = scores(run)
    top = best(found)
    if top is None:
        return [tile("PSNR", "none", "nothing was validated yet")]
    return [
        tile("best PSNR", f"{top.psnr:.2f} dB", f"validation, {reached(top)}"),
        tile("last PSNR", f"{found[-1].psnr:.2f} dB", f"validation, {reached(found[-1])}"),
    ]


def reached(score: Score) -> str:
    """Say at which step and when a score was reached."""
    return ", ".join(filter(None, (f"step {score.step:,}", moment(score.time))))


def pace_tiles(run: RunData) -> list[str]:
    """Say the time spent and left, the speed and the share of waiting for data."""
    found, clock, left = pace(run), session_seconds(run), seconds_left(run)
    if found is None:
        return [tile("speed", "none", "no record of it yet")]
    spent = f"{duration(clock)} by the clock" if clock else "steps alone"
    tiles = [
        tile("training time", duration(found.seconds), spent),
        tile("images per second", f"{found.images_per_second:.3g}", "mean over the run"),
        tile("waiting for data", f"{found.waiting:.2%}", "share of that time"),
    ]
    return [*tiles, tile("left", duration(left), "at the latest speed")] if left else tiles


def tile(name: str, value: str, note: str) -> str:
    """Give one number with its name above and a remark below."""
    return element(
        "div",
        element("span", escape(name)),
        element("strong", escape(value)),
        element("small", escape(note)),
        class_="tile",
    )
