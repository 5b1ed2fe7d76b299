"""The sections of a run's page that list: pictures, configuration, events, hardware."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from html import escape
from typing import Any

from hfmoe.evaluate.html import element, facts_table, paragraph, picture, section, table
from hfmoe.models.config import HFMoEConfig
from hfmoe.models.cost import count_parameters, multiply_adds
from hfmoe.train.report.pictures import Sample, read_samples
from hfmoe.train.report.reading import RunData
from hfmoe.train.report.summary import scores
from hfmoe.train.report.words import amount, flat, moment, plain
from hfmoe.train.run_log import TOLD, number
from hfmoe.train.screen import outcome_of

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


def pictures_section(run: RunData) -> str:
    """Show degraded, restored and target; a slider chooses the step of the restored ones."""
    samples, notes = read_samples(run.samples)
    said = "".join(map(paragraph, notes))
    if not samples:
        return section("pictures", "Pictures", paragraph("The run has kept no sample pictures."), said)
    steps = sorted({step for sample in samples for step in sample.restored})
    psnr = {score.step: score.psnr for score in scores(run)}
    labels = [f"step {step:,}" + (f", {psnr[step]:.2f} dB" if step in psnr else "") for step in steps]
    outputs = [
        element("output", escape(label), data_step=str(step), hidden=shown(step, steps))
        for label, step in zip(labels, steps, strict=True)
    ]
    last = str(len(steps) - 1)
    slider = (
        f'<input type="range" min="0" max="{last}" value="{last}" aria-label="step of the restored pictures">'
    )
    rows = [sample_row(sample, steps) for sample in samples]
    choice = element(
        "div",
        *([slider] if len(steps) > 1 else []),
        *outputs,
        class_="slider",
        data_steps=",".join(map(str, steps)),
    )
    return section("pictures", "Pictures", choice, *rows, said)


def sample_row(sample: Sample, steps: list[int]) -> str:
    """Put one photo's three pictures side by side, the restored ones of all steps in one place."""
    restored = [
        step_picture(address, f"{sample.name} restored at step {step}", step=step, hidden=shown(step, steps))
        for step, address in sample.restored.items()
    ]
    columns = (
        ("degraded", picture(sample.degraded, f"{sample.name} degraded")),
        ("restored", "".join(restored)),
        ("target", picture(sample.target, f"{sample.name} target")),
    )
    shots = [element("figure", inner, element("figcaption", name)) for name, inner in columns]
    return element("div", element("h3", escape(sample.name)), element("div", *shots, class_="three"))


def shown(step: int, steps: list[int]) -> str | None:
    """Give the attribute that hides every step but the last."""
    return None if step == steps[-1] else "hidden"


def step_picture(address: str, text: str, *, step: int, hidden: str | None) -> str:
    """Give an image of a step, which may be hidden."""
    return picture(address, text, data=f' data-step="{step}"{" hidden" if hidden else ""}')


def configuration_section(run: RunData) -> str:
    """List the network's facts and every field of the recipe."""
    groups = {} if run.config is None else {"network, as built": network_facts(run.config)}
    groups |= recipe_groups(run.recipe)
    if not groups:
        return section("configuration", "Configuration", paragraph("The recipe could not be read."))
    parts = (
        element("div", element("h3", escape(title)), facts_table(rows), class_="group")
        for title, rows in groups.items()
    )
    return section("configuration", "Configuration", element("div", *parts, class_="columns"))


def recipe_groups(recipe: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """List the recipe's plain fields together, and the fields of each of its parts."""
    plain_fields = {
        name: value for name, value in recipe.items() if not (isinstance(value, Mapping) and value)
    }
    parts = {name: value for name, value in recipe.items() if name not in plain_fields}
    groups = {"recipe": flat(plain_fields)} if plain_fields else {}
    return groups | {f"recipe: {name}": flat(value) for name, value in parts.items()}


def network_facts(config: HFMoEConfig) -> list[tuple[str, str]]:
    """List parameters, multiply-adds, and the fields that differ from the configuration's defaults."""
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


def events_section(run: RunData) -> str:
    """List sessions, changes, faults and records of unknown kinds; empty where there are none."""
    events = run.events
    if not events:
        return ""
    rows = [
        (f"{event['step']:,}", moment_of(event), str(event.get("kind", "unknown")), told(event))
        for event in events[:500]
    ]
    more = [paragraph(f"{len(events) - 500} more are in metrics.jsonl.")] if len(events) > 500 else []
    return section("events", "Sessions and events", table(("step", "time", "kind", "what"), rows), *more)


def moment_of(event: Mapping[str, Any]) -> str:
    """Give the time of a record where it is known."""
    return moment(number(event.get("time")))


def told(event: Mapping[str, Any]) -> str:
    """Say what a record holds: a session in few words, faults, alarms and changes as sentences."""
    kind = event.get("kind")
    if kind in TOLD and isinstance(event.get("what"), str):
        return as_sentence(outcome_of(event))
    if kind == "change" and isinstance(event.get("fields"), Mapping):
        return as_sentence("; ".join(map(changed, event["fields"], event["fields"].values())))
    if kind == "session":
        begun = "went on" if event.get("resumed") else "began"
        names = ("device", "processes", "threads", "precision", "hfmoe", "torch")
        return ", ".join([begun, *(f"{name} {plain(event[name])}" for name in names if name in event)])
    return ", ".join(f"{name} {value}" for name, value in flat(without_place(event)))


def changed(field: str, sides: Any) -> str:
    """Say how a field of the recipe changed."""
    if not isinstance(sides, Mapping):
        return f"{field} became {plain(sides)}"
    return f"{field} changed from {plain(sides.get('before'))} to {plain(sides.get('after'))}"


def as_sentence(text: str) -> str:
    """Begin with a capital, unless a name stands there that has none, and end with a full stop."""
    first = text.partition(" ")[0]
    return f"{text if '.' in first or '_' in first else text[:1].upper() + text[1:]}."


def without_place(event: Mapping[str, Any]) -> dict[str, Any]:
    """Give a record without kind, step and time."""
    return {name: value for name, value in event.items() if name not in ("kind", "step", "time")}


def hardware_section(run: RunData) -> str:
    """List what the latest session ran on, and whether others ran elsewhere."""
    sessions = run.of_kind("session")
    if not sessions:
        text = "The run recorded no session: it was trained by a version that did not, or never began."
        return section("hardware", "Hardware", paragraph(text))
    latest = sessions[-1]
    rows = [(title, plain(latest[name])) for name, title in HARDWARE.items() if name in latest]
    others = {name for before in sessions[:-1] for name in HARDWARE if before.get(name) != latest.get(name)}
    differ = ", ".join(title for name, title in HARDWARE.items() if name in others)
    said = paragraph(f"Of the last session. Earlier ones differ in {differ}.") if differ else ""
    return section("hardware", "Hardware", facts_table(rows), said)
