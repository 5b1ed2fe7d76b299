"""The page of a run: one HTML file that needs nothing else, composed of what the run's folder holds."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from hfmoe.models.config import HFMoEConfig
from hfmoe.models.cost import count_parameters, multiply_adds
from hfmoe.report.formatting import amount, duration, flat, plain, timestamp
from hfmoe.report.page import (
    document,
    facts_groups,
    facts_table,
    footer,
    header,
    paragraph,
    progress_bar,
    section,
    table,
    tile,
    tiles,
    write_text,
)
from hfmoe.report.samples import read_samples, sample_slider
from hfmoe.train.run_curves import curves_section, routing_section, tasks_section
from hfmoe.train.run_data import (
    RunData,
    best,
    pace,
    read_run,
    scores,
    seconds_left,
    session_seconds,
)
from hfmoe.train.run_log import TOLD, number
from hfmoe.train.screen import outcome_of

TASKS = {
    "sr": "super-resolution",
    "denoise": "denoising",
    "jpeg": "JPEG restoration",
    "photo": "photo restoration",
}
HARDWARE = {
    "cpu": "processor",
    "cores": "cores of this process",
    "threads": "threads of torch",
    "memory_gib": "memory, GiB",
    "gpus": "GPUs",
    "system": "system",
    "device": "device",
    "processes": "processes",
    "precision": "precision",
    "photos": "photos",
    "hfmoe": "hfmoe",
    "torch": "torch",
    "python": "Python",
    "cuda": "CUDA",
    "commit": "commit",
    "code": "code, sha256",
}
SIDE = 256
"""Side of the input that multiply-adds are counted for."""
MOST_EVENTS = 500


def write_page(run: Path, output: Path | None = None) -> Path:
    """Write the page of a run's folder, by default as report.html in the folder, and return its path.

    The file appears whole or not at all. Raises RunError for a folder without a run, OSError for the file.
    """
    data = read_run(run)
    output = run / "report.html" if output is None else output
    write_text(output, page(data))
    return output


def page(run: RunData) -> str:
    """Return the page's HTML."""
    return document(
        f"{run.name}: training run",
        overview(run),
        "".join(map(paragraph, run.notes)),
        curves_section(run),
        routing_section(run),
        pictures_section(run),
        tasks_section(run),
        events_section(run),
        configuration_section(run),
        hardware_section(run),
        footer("report"),
    )


def overview(run: RunData) -> str:
    """Return the title, the progress bar and the tiles: what the run is, how far, how good, how fast."""
    bar = "" if run.steps is None else progress_bar(min(1.0, run.step / run.steps))
    shown = tiles(progress_tile(run), *score_tiles(run), *pace_tiles(run))
    return header(run.name, " · ".join(subtitle(run)), bar, shown)


def subtitle(run: RunData) -> list[str]:
    """Return the task, scale, preset and parameters, as far as they are known."""
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
    """Return the task of recipe or weights file, else super-resolution where the image grows."""
    named = run.recipe.get("task")
    if isinstance(named, str):
        return named
    if run.facts is not None:
        return run.facts.task
    return "sr" if run.config is not None and run.config.scale > 1 else ""


def progress_tile(run: RunData) -> str:
    """Return how many steps are done."""
    if run.steps is None:
        seconds = number(run.recipe.get("processor_seconds"))
        rule = f"within {seconds:g} s of processor time" if seconds else "of a number that is not known"
        return tile("steps", f"{run.step:,}", rule)
    done = "finished" if run.step >= run.steps else f"{run.step / run.steps:.0%} of {run.steps:,}"
    times = [time for record in run.training if (time := number(record.get("time"))) is not None]
    return tile("steps", f"{run.step:,}", joined(done, timestamp(max(times, default=None))))


def score_tiles(run: RunData) -> list[str]:
    """Return the best and the last validation PSNR and when they were reached."""
    validations = scores(run)
    top = best(validations)
    if top is None:
        return [tile("PSNR", "none", "nothing was validated yet")]
    return [
        tile(
            f"{name} PSNR",
            f"{score.psnr:.2f} dB",
            joined(f"validation, step {score.step:,}", timestamp(score.time)),
        )
        for name, score in (("best", top), ("last", validations[-1]))
    ]


def pace_tiles(run: RunData) -> list[str]:
    """Return the time spent and left, the speed and the share of waiting for data."""
    spent, clock, left = pace(run), session_seconds(run), seconds_left(run)
    if spent is None:
        return [tile("speed", "none", "no record of it yet")]
    shown = [
        tile(
            "training time",
            duration(spent.seconds),
            f"{duration(clock)} by the clock" if clock else "steps alone",
        ),
        tile("images per second", f"{spent.images_per_second:.3g}", "mean over the run"),
        tile("waiting for data", f"{spent.waiting:.2%}", "share of that time"),
    ]
    return [*shown, tile("left", duration(left), "at the latest speed")] if left else shown


def joined(*words: str) -> str:
    """Join words that are not empty with commas."""
    return ", ".join(filter(None, words))


def pictures_section(run: RunData) -> str:
    """Show degraded, restored and target; a slider chooses the step of the restored ones."""
    samples = read_samples(run.samples)
    notes = "".join(map(paragraph, samples.notes))
    if not samples.samples:
        return section("pictures", "Pictures", paragraph("The run has kept no sample pictures."), notes)
    psnr = {score.step: f", {score.psnr:.2f} dB" for score in scores(run)}
    labels = {step: f"step {step:,}{psnr.get(step, '')}" for step in samples.steps}
    return section("pictures", "Pictures", sample_slider(samples, labels), notes)


def events_section(run: RunData) -> str:
    """Return sessions, changes, faults and records of unknown kinds; empty where there are none."""
    events = run.events
    if not events:
        return ""
    rows = [
        (
            f"{event['step']:,}",
            timestamp(number(event.get("time"))),
            str(event.get("kind", "unknown")),
            described(event),
        )
        for event in events[:MOST_EVENTS]
    ]
    rest = len(events) - MOST_EVENTS
    more = [paragraph(f"{rest} more are in metrics.jsonl.")] if rest > 0 else []
    return section("events", "Sessions and events", table(("step", "time", "kind", "what"), rows), *more)


def described(event: Mapping[str, Any]) -> str:
    """Return a record in words: a session in few, faults, alarms and changes as sentences."""
    kind = event.get("kind")
    if kind in TOLD and isinstance(event.get("what"), str):
        return as_sentence(outcome_of(event))
    if kind == "change" and isinstance(event.get("fields"), Mapping):
        return as_sentence("; ".join(map(changed, event["fields"], event["fields"].values())))
    if kind == "session":
        begun = "went on" if event.get("resumed") else "began"
        names = ("device", "processes", "threads", "precision", "hfmoe", "torch")
        return ", ".join([begun, *(f"{name} {plain(event[name])}" for name in names if name in event)])
    rest = {name: value for name, value in event.items() if name not in ("kind", "step", "time")}
    return ", ".join(f"{name} {value}" for name, value in flat(rest))


def changed(field: str, sides: Any) -> str:
    """Return how a field of the recipe changed."""
    if not isinstance(sides, Mapping):
        return f"{field} became {plain(sides)}"
    return f"{field} changed from {plain(sides.get('before'))} to {plain(sides.get('after'))}"


def as_sentence(text: str) -> str:
    """Begin with a capital, unless a name stands there that has none, and end with a full stop."""
    first = text.partition(" ")[0]
    return f"{text if '.' in first or '_' in first else text[:1].upper() + text[1:]}."


def configuration_section(run: RunData) -> str:
    """Return the network's facts and every field of the recipe."""
    groups = {} if run.config is None else {"network, as built": network_facts(run.config)}
    parts = {name: value for name, value in run.recipe.items() if isinstance(value, Mapping) and value}
    single = {name: value for name, value in run.recipe.items() if name not in parts}
    groups |= {"recipe": flat(single)} if single else {}
    groups |= {f"recipe: {name}": flat(value) for name, value in parts.items()}
    shown = facts_groups(groups) if groups else paragraph("The recipe could not be read.")
    return section("configuration", "Configuration", shown)


def network_facts(config: HFMoEConfig) -> list[tuple[str, str]]:
    """Return parameters, multiply-adds, and the fields that differ from the configuration's defaults."""
    parameters, work = count_parameters(config), multiply_adds(config, SIDE, SIDE)
    defaults = {field.name: field.default for field in fields(config)}
    own = {
        name: value for name, value in asdict(config).items() if value != defaults[name] or name == "scale"
    }
    return [
        ("parameters", f"{parameters.total:,}"),
        ("active for a window", f"{parameters.active:,}"),
        (f"multiply-adds, input {SIDE} x {SIDE}", f"{amount(work.expected)} if loads follow the prior"),
        ("with the heaviest experts", amount(work.dense)),
        *((name, plain(value)) for name, value in own.items()),
    ]


def hardware_section(run: RunData) -> str:
    """Return what the latest session ran on, and whether others ran elsewhere."""
    sessions = run.of_kind("session")
    if not sessions:
        text = "The run recorded no session: it was trained by a version that did not, or never began."
        return section("hardware", "Hardware", paragraph(text))
    latest = sessions[-1]
    rows = [(title, plain(latest[name])) for name, title in HARDWARE.items() if name in latest]
    others = {name for before in sessions[:-1] for name in HARDWARE if before.get(name) != latest.get(name)}
    differ = ", ".join(title for name, title in HARDWARE.items() if name in others)
    remark = paragraph(f"Of the last session. Earlier ones differ in {differ}.") if differ else ""
    return section("hardware", "Hardware", facts_table(rows), remark)
