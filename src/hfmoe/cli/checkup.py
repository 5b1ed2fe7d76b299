"""How an inspection and a probe look on screen and in JSON."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hfmoe.doctor import RULES, SEVERITIES, Finding, Inspection, Severity
from hfmoe.train.probe import Probe, Trial

EXAMPLES = 3
"""Findings of a kind that the screen shows; the JSON file has all."""

MORE_TIME = "give --seconds more to try others"

_COLOURS: dict[Severity, str] = {"error": "red", "warning": "yellow", "note": "cyan"}


def checkup_data(inspection: Inspection, probe: Probe | None) -> dict[str, Any]:
    """Give all that was found as plain values; "probe" is null where none ran."""
    return {**inspection.as_data(), "probe": None if probe is None else probe.as_data()}


def show_checkup(console: Console, inspection: Inspection, probe: Probe | None) -> None:
    """Print a table for each severity, what the probe measured, and a last line that sums up."""
    for severity in SEVERITIES:
        findings = inspection.of_severity(severity)
        if findings:
            console.print(_table(severity, findings))
    if probe is not None:
        console.print(_probe_table(probe))
        console.print(_proposal(probe), highlight=False)
    console.print(_sum(inspection), highlight=False, soft_wrap=True, markup=False)


def _table(severity: Severity, findings: Sequence[Finding]) -> Table:
    colour = _COLOURS[severity]
    table = Table(title=f"{len(findings)} {severity}{'s' * (len(findings) != 1)}", title_style=colour)
    table.add_column("what", style=colour, no_wrap=True)
    table.add_column("number", justify="right")
    table.add_column("what to do, and where", overflow="fold")
    for kind, group in groupby(sorted(findings, key=lambda finding: finding.kind), lambda found: found.kind):
        alike = list(group)
        text = Text(RULES[alike[0].kind].advice)
        text.append("\n" + _examples(alike), style="dim")
        table.add_row(kind, str(len(alike)), text)
    return table


def _examples(findings: Sequence[Finding]) -> str:
    lines = list(map(_line, findings[:EXAMPLES]))
    if len(findings) > EXAMPLES:
        lines.append(f"and {len(findings) - EXAMPLES} more")
    return "\n".join(lines)


def _line(finding: Finding) -> str:
    """The finding in one line, each file by its folder's and its own name."""
    detail = finding.detail
    for file in finding.files:
        detail = detail.removeprefix(f"{file}: ")
    names = ["/".join(Path(file).parts[-2:]) for file in finding.files]
    more = [f"{len(names) - EXAMPLES} more"] if len(names) > EXAMPLES else []
    shown = ", ".join([*names[:EXAMPLES], *more])
    return f"{shown}: {detail}" if shown else detail


def _probe_table(probe: Probe) -> Table:
    table = Table(title=f"training steps on {probe.device}, up to {_mib(probe.limit)} MiB")
    for column in ("batch", "patch", "s a step", "images/s", "Mpixels/s", "peak MiB"):
        table.add_column(column, justify="right")
    for trial in probe.trials:
        table.add_row(
            str(trial.batch),
            str(trial.patch),
            f"{trial.seconds:.3f}",
            f"{trial.images_per_second:.1f}",
            f"{trial.pixels_per_second / 1e6:.3f}",
            _mib(trial.peak),
            style="bold" if trial == probe.proposal else None,
        )
    return table


def _proposal(probe: Probe) -> str:
    lines: list[str] = []
    if probe.proposal:
        chosen = probe.proposal
        lines.append(f"proposal: batch {chosen.batch}, patch {chosen.patch} (most pixels a second that fit)")
        lines.append(_reach(probe, chosen))
    else:
        lines.append("no proposal: not even the smallest step fits")
    if probe.stopped:
        lines.append(f"the probe ended early: {probe.stopped}")
    return "\n".join(lines)


def _reach(probe: Probe, chosen: Trial) -> str:
    """What memory would hold by the trials; one trial alone compares with nothing, and says so."""
    batch = f"batch {probe.largest_batch} at patch {chosen.patch}"
    if len(probe.trials) > 1:
        return f"memory would hold {batch}, by a line fit"
    return f"this is the only trial, nothing to compare with; memory would hold at least {batch}: {MORE_TIME}"


def _sum(inspection: Inspection) -> str:
    facts = inspection.summary
    counts = ", ".join(f"{len(inspection.of_severity(severity))} {severity}s" for severity in SEVERITIES)
    sides = f"sides {facts.smallest_side} to {facts.largest_side}"
    sorts = _counted(facts.formats)
    return (
        f"{facts.images} photos to train on, {facts.megapixels:.1f} megapixels, {sides}"
        f"{f' ({sorts})' if sorts else ''}: {counts}"
    )


def _counted(counts: dict[str, int]) -> str:
    ordered: Iterable[tuple[str, int]] = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{count} {name}" for name, count in ordered)


def _mib(size: float | int) -> str:
    return f"{size / 2**20:.0f}"
