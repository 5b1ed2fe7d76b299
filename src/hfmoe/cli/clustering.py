"""The work of `hfmoe restore --engine ray`: a job over the workers of a cluster."""

import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import Any

from hfmoe.batch.actor import pack
from hfmoe.batch.cluster import Cluster
from hfmoe.batch.dispatch import Delivered, Lost, run_on_ray
from hfmoe.batch.jobs import model_digest
from hfmoe.batch.naming import PlanError
from hfmoe.batch.places import plan_errands
from hfmoe.batch.settings import Settings
from hfmoe.cli.errors import UsageError
from hfmoe.cli.restoring import Order, prepare, report
from hfmoe.image.files import printable

MOST_WORKERS = 65_536


def restore_on_cluster(
    inputs: Sequence[str], output: str | None, order: Order, settings: Settings, *, address: str | None
) -> int:
    """Restore every input. A line on stdout for each result, at the end one on stderr for each failure."""
    model, restorer, naming, selection = prepare(order, settings, device="cpu", most_workers=MOST_WORKERS)
    device = "cpu" if order.device == "auto" else order.device
    try:
        cluster = Cluster(address, order.workers, device)
        errands = plan_errands(inputs, output, naming=naming, selection=selection)
    except PlanError as error:
        raise UsageError(str(error)) from error
    except ValueError as error:
        raise UsageError(f"--{error}") from error
    scale, packed = restorer.scale, pack(model, digest=model_digest(model))
    tell = _teller(sys.stdout)
    with redirect_stdout(sys.stderr):
        summary = run_on_ray(
            errands, packed, settings, scale=scale, cluster=cluster, redo=order.redo, on_end=tell
        )
    places = {errand: number for number, errand in enumerate(errands)}
    failed = sorted(summary.failed, key=lambda lost: places[lost.errand])
    return report(len(summary.skipped), [lost.reason for lost in failed], images=len(errands))


def _teller(screen: Any) -> Callable[[Delivered | Lost], None]:
    """What writes a line for each result to a screen; Ray's own messages go to stderr meanwhile."""

    def tell(outcome: Delivered | Lost) -> None:
        if isinstance(outcome, Delivered):
            screen.write(f"{printable(outcome.errand.target)}  {outcome.width} x {outcome.height}\n")
            screen.flush()

    return tell
