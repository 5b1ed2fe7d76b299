"""A job over the workers of a Ray cluster: paths in, pictures read and written by the workers themselves."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from hfmoe.batch.actor import Packed, pack
from hfmoe.batch.cluster import Cluster, answers, connected
from hfmoe.batch.jobs import make_naming, model_digest, searched_suffixes, written_suffixes
from hfmoe.batch.manifest import MANIFEST, Identity, Manifest
from hfmoe.batch.naming import Selection
from hfmoe.batch.places import Errand, open_place, plan_errands
from hfmoe.batch.settings import Settings
from hfmoe.infer.api import DEFAULT_MODEL, load
from hfmoe.runtime.files import remove_unfinished


class Delivered(NamedTuple):
    """A picture that was restored and written, and its new size in pixels."""

    errand: Errand
    width: int
    height: int


class Lost(NamedTuple):
    """A picture without a result, and why, in one line that names the file."""

    errand: Errand
    reason: str


@dataclass
class ClusterSummary:
    """What became of a job's pictures."""

    done: list[Delivered] = field(default_factory=list)
    skipped: list[Errand] = field(default_factory=list)
    failed: list[Lost] = field(default_factory=list)


def run_on_ray(
    errands: Sequence[Errand],
    packed: Packed,
    settings: Settings,
    *,
    scale: int,
    cluster: Cluster,
    redo: bool = False,
    on_end: Callable[[Delivered | Lost], None] | None = None,
) -> ClusterSummary:
    """Restore every picture once, whatever workers die: a result is written whole and counted once.

    Results in folders of this machine are written down in a manifest, and skipped the next time. A bad
    picture stops no other. Raises ImportError without Ray, RuntimeError when no worker can be had.
    """
    summary = ClusterSummary()
    with ExitStack() as stack:
        about = {"model": packed.digest, "scale": scale, **settings.of_results()}
        roots = dict.fromkeys(errand.root for errand in errands if errand.root is not None)
        manifests = {root: stack.enter_context(Manifest(root / MANIFEST, about)) for root in roots}
        todo = []
        for errand in errands:
            (summary.skipped if not redo and _is_done(errand, manifests) else todo).append(errand)
        if todo:
            stack.enter_context(connected(cluster))
            said = answers(todo, packed, settings, cluster)
            for outcome in _outcomes(todo, said, manifests):
                if isinstance(outcome, Delivered):
                    summary.done.append(outcome)
                else:
                    summary.failed.append(outcome)
                if on_end:
                    on_end(outcome)
            remove_unfinished(Path(errand.target) for errand in todo if errand.root is not None)
    return summary


def _is_done(errand: Errand, manifests: dict[Path, Manifest]) -> bool:
    return errand.root is not None and manifests[errand.root].has(Path(errand.source), Path(errand.target))


def _outcomes(
    todo: Sequence[Errand], said: Iterator[dict[str, Any]], manifests: dict[Path, Manifest]
) -> Iterator[Delivered | Lost]:
    """The outcome of each errand, written down where there is a manifest; those without an answer last."""
    missing = dict(enumerate(todo))
    for answer in said:
        errand = missing.pop(int(answer["place"]), None)
        if errand is None:
            continue
        try:
            yield _settle(errand, answer, manifests)
        except OSError as error:
            yield _fail(errand, f"{errand.target}: {error}", manifests)
    for errand in missing.values():
        yield _fail(errand, f"{errand.source}: Ray lost it", manifests)


def _settle(errand: Errand, answer: dict[str, Any], manifests: dict[Path, Manifest]) -> Delivered | Lost:
    if answer["error"]:
        return _fail(errand, str(answer["error"]), manifests)
    if answer["data"]:
        files, path = open_place(errand.target)
        files.makedirs(path.rpartition("/")[0], exist_ok=True)
        files.pipe_file(path, answer["data"])
    if errand.root is not None:
        read = Identity(int(answer["read_size"]), int(answer["read_ns"]))
        source, target = Path(errand.source), Path(errand.target)
        manifests[errand.root].add(source, target, read=read, seconds=float(answer["seconds"]))
    return Delivered(errand, int(answer["width"]), int(answer["height"]))


def _fail(errand: Errand, reason: str, manifests: dict[Path, Manifest]) -> Lost:
    if errand.root is not None:
        with suppress(OSError):
            manifests[errand.root].add_failure(Path(errand.source), Path(errand.target), reason)
    return Lost(errand, reason)


def restore_on_ray(
    inputs: Sequence[Path | str] | Path | str,
    output: Path | str | None = None,
    *,
    model: str | Path = DEFAULT_MODEL,
    format: str = "png",
    name: str | None = None,
    selection: Selection | None = None,
    cluster: Cluster | None = None,
    redo: bool = False,
    on_end: Callable[[Delivered | Lost], None] | None = None,
    **settings: Any,
) -> ClusterSummary:
    """Restore files, folders, patterns and addresses as `hfmoe restore --engine ray` does.

    Arguments as those of `restore_files`, errors as those of `run_on_ray` and `plan_errands`.
    """
    restorer = load(model, device="cpu")
    chosen = Settings(**settings)
    known = written_suffixes(chosen)
    naming = make_naming(restorer, suffix=f".{format.lower().lstrip('.')}", pattern=name, known=known)
    places = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    where = None if output is None else str(output)
    wanted = replace(selection or Selection(), suffixes=searched_suffixes(chosen))
    errands = plan_errands(places, where, naming=naming, selection=wanted)
    return run_on_ray(
        errands,
        pack(str(model), digest=model_digest(model)),
        chosen,
        scale=restorer.scale,
        cluster=cluster or Cluster(),
        redo=redo,
        on_end=on_end,
    )
