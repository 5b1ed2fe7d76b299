"""A job over the workers of a Ray cluster: paths in, pictures read and written by the workers themselves."""

import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hfmoe.batch.actor import Actor, Packed, pack
from hfmoe.batch.jobs import make_naming, model_digest
from hfmoe.batch.manifest import MANIFEST, Identity, Manifest
from hfmoe.batch.naming import Selection
from hfmoe.batch.places import Errand, open_place, plan_errands, stays_here
from hfmoe.batch.settings import Settings
from hfmoe.infer.api import DEFAULT_MODEL, load

RETRIES = 4
"""Times that a picture is begun anew after its worker died; then it is given up, by name."""
MOST_BLOCKS = 4096
"""Parts that a job is cut into at most: a picture each up to here."""
OBJECT_STORE = 256 * 2**20
"""Bytes that a Ray of our own keeps for what goes between its processes, which are paths."""


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


@dataclass(frozen=True)
class Cluster:
    """Where a job runs: the address of a Ray cluster ("auto": this machine's), None for one of its own.

    workers: processes that each hold the model; device: of each, and a GPU of the cluster for "cuda".
    """

    address: str | None = None
    workers: int = 2
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers {self.workers} must be at least 1")


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
            _check_libraries()
            stack.enter_context(_connected(cluster))
            answers = _answers(todo, packed, settings, cluster)
            for outcome in _outcomes(todo, answers, manifests):
                (summary.done if isinstance(outcome, Delivered) else summary.failed).append(outcome)
                if on_end:
                    on_end(outcome)
            _sweep(todo)
    return summary


def _check_libraries() -> None:
    import ray.data  # noqa: F401 (its ImportError names what is missing)


def _is_done(errand: Errand, manifests: dict[Path, Manifest]) -> bool:
    return errand.root is not None and manifests[errand.root].has(Path(errand.source), Path(errand.target))


@contextmanager
def _connected(cluster: Cluster) -> Iterator[None]:
    """A connection that ends with the job, or the one that there is."""
    import ray

    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    own: dict[str, Any] = {"num_cpus": cluster.workers, "include_dashboard": False}
    own["object_store_memory"] = OBJECT_STORE
    try:
        ray.init(
            address=cluster.address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({} if cluster.address else own),
        )
    except (ConnectionError, ray.exceptions.RayError) as error:
        raise RuntimeError(f"no Ray at {cluster.address or 'this machine'}: {_line(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _answers(
    todo: Sequence[Errand], packed: Packed, settings: Settings, cluster: Cluster
) -> Iterator[dict[str, Any]]:
    """What the workers say of each picture, in the order that they end."""
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    rows = [
        {"place": place, "source": each.source, "target": each.target, "data": _content(each.source)}
        for place, each in enumerate(todo)
    ]
    data = ray.data.from_items(rows, override_num_blocks=min(len(rows), MOST_BLOCKS)).map(
        Actor,
        fn_constructor_args=(packed, settings, cluster.device),
        compute=ActorPoolStrategy(size=min(cluster.workers, len(rows)), max_tasks_in_flight_per_actor=2),
        num_cpus=1,
        num_gpus=1 if cluster.device.startswith("cuda") else 0,
        max_restarts=-1,
        max_task_retries=RETRIES,
    )
    try:
        yield from data.iter_rows()
    except ray.exceptions.RayError as error:
        raise RuntimeError(f"the workers of Ray failed: {_line(error)}") from error


def _content(source: str) -> bytes:
    """What is at an address of this process alone; empty for other places."""
    if not stays_here(source):
        return b""
    files, path = open_place(source)
    return files.cat_file(path)


def _outcomes(
    todo: Sequence[Errand], answers: Iterator[dict[str, Any]], manifests: dict[Path, Manifest]
) -> Iterator[Delivered | Lost]:
    """The outcome of each errand, written down where there is a manifest; those without an answer last."""
    missing = dict(enumerate(todo))
    for answer in answers:
        errand = missing.pop(int(answer["place"]), None)
        if errand is None:
            continue
        yield _settle(errand, answer, manifests)
    for errand in missing.values():
        reason = f"{errand.source}: its worker died {RETRIES + 1} times"
        yield _fail(errand, reason, manifests)


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


def _sweep(todo: Sequence[Errand]) -> None:
    """Take away what workers that were killed had begun to write in the folders of results."""
    targets = [Path(errand.target) for errand in todo if errand.root is not None]
    begun = {(target.parent, target.stem[:32], target.suffix) for target in targets}
    for folder in {target.parent for target in targets}:
        with suppress(OSError):
            for path in folder.iterdir():
                match = re.fullmatch(r"\.(.*)-[0-9a-f]{8}", path.stem)
                if match and (folder, match[1], path.suffix) in begun:
                    path.unlink(missing_ok=True)


def _line(error: BaseException) -> str:
    """The last line of what Ray says, which is the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


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
    naming = make_naming(restorer, suffix=f".{format.lower().lstrip('.')}", pattern=name)
    places = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    where = None if output is None else str(output)
    errands = plan_errands(places, where, naming=naming, selection=selection or Selection())
    return run_on_ray(
        errands,
        pack(str(model), digest=model_digest(model)),
        Settings(**settings),
        scale=restorer.scale,
        cluster=cluster or Cluster(),
        redo=redo,
        on_end=on_end,
    )
