"""The work of `hfmoe ablate`."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from hfmoe.ablate.cost_cache import MeasuredCost, measured_where
from hfmoe.ablate.plan import Run
from hfmoe.ablate.report import write_results
from hfmoe.ablate.results import Results
from hfmoe.ablate.runner import Executor, StudyInterrupted, costs_of, do_study
from hfmoe.ablate.study import Study, StudyError, load_study, peer_variants
from hfmoe.ablate.table import COSTS, cells, columns, cost_cells
from hfmoe.cli.errors import FAILED, Stopped, UsageError, complain
from hfmoe.cli.reports import tables
from hfmoe.cli.training import import_from_here, parse_fields
from hfmoe.runtime.machine import machine


@dataclass(frozen=True)
class Order:
    """What to do with a study, as given on the command line."""

    study: Path
    fields: Sequence[str]
    executor: Executor
    networks: Sequence[str] = ()
    arguments: Sequence[str] = ()
    anew: bool = False
    measure: bool = False


def run_study(order: Order) -> int:
    """Do a study, or measure its networks alone; the exit status is 1 where a run has no scores.

    Raises UsageError for a wrong study, Stopped when a signal ended it.
    """
    import_from_here()
    try:
        peers = peer_variants(order.networks, order.arguments)
        study = load_study(order.study, parse_fields(order.fields), peers=peers)
        if order.measure:
            _show_costs(study, costs_of(study, renew=True))
            return 0
        results = do_study(study, executor=order.executor, anew=order.anew, notify=tell)
    except StudyError as error:
        raise UsageError(str(error)) from error
    except StudyInterrupted as error:
        raise Stopped(str(error), signal=error.signal) from error
    return _show(results)


def tell(run: Run, what: str) -> None:
    """Say on stderr when a run begins and how it ends."""
    sys.stderr.write(f"{run.label} ({run.folder}): {what}\n")


def _show(results: Results) -> int:
    study = results.study
    where = machine(threads=study.latency.threads)
    path = write_results(results, where=where, command=shlex.join(["hfmoe", *sys.argv[1:]]))
    title = f"{study.name}: {study.budget.words()} each, {study.seeds_in_words()}"
    tables().print(_table(title, columns(results), cells(results)))
    for note in results.notes:
        tables().print(note, soft_wrap=True)
    for outcome in results.failed:
        complain(f"{outcome.run.label}: {outcome.state}{outcome.reason and ': '}{outcome.reason}")
    print(path)  # noqa: T201 (its path is what the command gives)
    return FAILED if results.failed else 0


def _show_costs(study: Study, costs: dict[str, MeasuredCost]) -> None:
    rows = [[name, *cost_cells(measured.cost)] for name, measured in costs.items()]
    timing = study.latency
    size = f"{timing.size} x {timing.size}, {timing.rounds} rounds in turn, {timing.clock} clock"
    tables().print(_table(f"{study.name}, input {size}", ["variant", *COSTS], rows))
    for line in measured_where(costs):
        tables().print(line, soft_wrap=True)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title)
    for place, name in enumerate(head):
        table.add_column(name, justify="left" if place == 0 or not name else "right")
    for row in rows:
        table.add_row(*row)
    return table
