"""The schedule of a run: learning rate, patch size, temperature, and the mixture of tasks."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from hfmoe.data import DataError, PhotoSet
from hfmoe.data.camera_processing import Softness
from hfmoe.data.degradations import AnyTask
from hfmoe.data.samples import Mixture
from hfmoe.train.fields import Optimizer, Perturb
from hfmoe.train.progress import Progress


def learning_rate(progress: Progress, *, optimizer: Optimizer) -> float:
    """Linear warm-up to `lr`, which holds until the last share `decay` of the run, a cosine to `final_lr`.

    With `decay` 1 the cosine begins right after the warm-up. A rate that holds leaves a run's length open
    (Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", 2024).
    """
    position, steps = progress.position, progress.steps
    warmup = round(optimizer.warmup * steps)
    if position < warmup:
        return optimizer.lr * (position + 1) / warmup
    begin = max(warmup, round((1 - optimizer.decay) * steps))
    done = max(0, position - begin) / max(1, steps - 1 - begin)
    return optimizer.final_lr + (optimizer.lr - optimizer.final_lr) * (1 + math.cos(math.pi * done)) / 2


def router_temperature(progress: Progress, *, perturb: Perturb) -> float:
    """Linear from the start to the end temperature, reached at the given share of the run."""
    length = perturb.temperature_until * (progress.steps - 1)
    done = min(1.0, progress.position / length) if length > 0 else 1.0
    return perturb.temperature_start + (perturb.temperature_end - perturb.temperature_start) * done


def patch_size(progress: Progress, *, sizes: Sequence[tuple[float, int]]) -> int:
    """Return the last patch whose share of the run has been reached."""
    return [size for share, size in sorted(sizes) if progress.position >= share * progress.steps][-1]


def average_decay(progress: Progress, *, decay: float) -> float:
    """Return the decay of the weight average: (1 + step) / (10 + step) at first, never above `decay`."""
    return min(decay, (1 + progress.step) / (10 + progress.step))


class Phase(NamedTuple):
    """A phase of the curriculum: the tasks that are drawn, and which of their numbers move."""

    tasks: tuple[str, ...]
    moving: tuple[str, ...]


def active(tasks: Sequence[AnyTask], share: float) -> list[tuple[str, AnyTask]]:
    """List the tasks of a share of the run with their names: a second one of a kind is kind-2."""
    kinds = [task.kind for task in tasks]
    names = [_name(kind, kinds[:place].count(kind) + 1) for place, kind in enumerate(kinds)]
    return [
        (name, task)
        for name, task in zip(names, tasks, strict=True)
        if task.start <= share < task.until and task.weight.number(share) > 0
    ]


def degrades(tasks: Sequence[AnyTask]) -> bool:
    """Return whether any task does more than use the degraded sides that photos have."""
    return any(task.kind != "sr" for task in tasks)


def mixture_at(tasks: Sequence[AnyTask], share: float, *, softness: Softness | None = None) -> Mixture | None:
    """Return the mixture at a share of the run; None where photos' degraded sides are used as they are."""
    return mixture(tasks, share, softness=softness) if degrades(tasks) else None


def mixture(tasks: Sequence[AnyTask], share: float, *, softness: Softness | None = None) -> Mixture:
    """Return the tasks that are drawn at a share of the run, with their weights."""
    present = [task for _, task in active(tasks, share)]
    weights = tuple(task.weight.number(share) for task in present)
    return Mixture(tuple(present), weights, softness, share)


def task_facts(tasks: Sequence[AnyTask], share: float) -> dict[str, dict[str, Any]]:
    """Describe a share of the run for the log: {"denoise": {"share": .3, "sigma": [0, 32]}}."""
    present = active(tasks, share)
    total = sum(task.weight.number(share) for _, task in present)
    facts = {}
    for name, task in present:
        facts[name] = {"share": round(task.weight.number(share) / total, 4)}
        for field, ramp in task.ramps().items():
            low, high = (round(end, 4) for end in ramp.at(share))
            facts[name][field] = low if low == high else [low, high]
    return facts


def phase_at(tasks: Sequence[AnyTask], share: float) -> Phase:
    """Return the phase of a share of the run; the log says where it differs from that of the step before."""
    present = active(tasks, share)
    moving = [
        f"{name}.{field}"
        for name, task in present
        for field, ramp in {"weight": task.weight, **task.ramps()}.items()
        if ramp.moves(share)
    ]
    return Phase(tuple(name for name, _ in present), tuple(moving))


def phase_begins(tasks: Sequence[AnyTask], share: float, before: float | None) -> bool:
    """Return whether a share of the run is in another phase than the one before; None: it is first."""
    return before is None or phase_at(tasks, share) != phase_at(tasks, before)


def described(facts: dict[str, dict[str, Any]]) -> str:
    """Put the facts of a share of the run on one line."""
    return ", ".join(_described(name, dict(fields)) for name, fields in facts.items())


def check_tasks(tasks: Sequence[AnyTask]) -> None:
    """Raise ValueError where a part of the run has no task to draw."""
    for moment in sorted({0.0, *(end for task in tasks for end in _ends(task) if end < 1)}):
        if not active(tasks, moment):
            raise ValueError(f"tasks leave the run without any task at share {moment:g}")


def check_given(tasks: Sequence[AnyTask], photos: PhotoSet) -> None:
    """Raise DataError where classical tasks at scale 1 meet a photo without a degraded side of its own."""
    if photos.scale == 1 and not degrades(tasks) and not all(photos.given):
        name = photos.names[photos.given.index(False)]
        raise DataError(f"{name} has no degraded side, and a network of scale 1 without tasks needs one")


def _ends(task: AnyTask) -> list[float]:
    return [task.start, task.until, task.weight.start, task.weight.until]


def _name(kind: str, number: int) -> str:
    return kind if number == 1 else f"{kind}-{number}"


def _described(name: str, fields: dict[str, Any]) -> str:
    share = fields.pop("share")
    numbers = [f"{field} {_number(value)}" for field, value in fields.items()]
    return f"{name} {share:.0%}" + (f" ({', '.join(numbers)})" if numbers else "")


def _number(value: float | list[float]) -> str:
    return f"{value[0]:g} to {value[1]:g}" if isinstance(value, list) else f"{value:g}"
