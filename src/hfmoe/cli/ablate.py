"""`hfmoe ablate`: a study trained, scored and compared, or its networks measured."""

import shlex
import sys
from pathlib import Path

from hfmoe.ablate.costs import MeasuredCost, measured_where
from hfmoe.ablate.plan import Run
from hfmoe.ablate.report import COSTS, cells, columns, cost_cells, write_results
from hfmoe.ablate.results import Results
from hfmoe.ablate.runner import StudyInterrupted, costs_of, do_study, make_executor
from hfmoe.ablate.study import Study, StudyError, load_study, peer_variants
from hfmoe.cli.errors import FAILED, Stopped, UsageError, complain
from hfmoe.cli.output import table, tables
from hfmoe.cli.train import Fields, import_from_here, parse_fields
from hfmoe.runtime.machine import machine


def ablate(
    study: Path,
    /,
    *fields: Fields,
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
    network: list[str] | None = None,
    arguments: list[str] | None = None,
    anew: bool = False,
    measure: bool = False,
) -> int:
    """Train the variants of a study alike and compare them; the same command goes on after any stop.

    Any field of the study can be given anew: --train photos --evaluate.sets.Set5 Set5 --budget.steps 500.
    Ends with status 1 when a run failed or diverged; the others are compared all the same.

    Parameters
    ----------
    study
        YAML file; see the folder studies.
    workers
        Runs at a time; by default one, with Ray as many as there are processors for.
    engine
        local: processes of this machine; ray: tasks of a Ray cluster, one process a run.
    address
        The cluster's address, for ray; by default a Ray of this machine is started.
    network
        A further variant: package.module:Class, a network that is not ours; may be given several times.
    arguments
        What it is called with, as YAML: '{dim: 32}'; as often as --network.
    anew
        Make runs anew that diverged, failed, or were begun with other settings; these lose what they have.
    measure
        Only measure, anew, what the networks cost, and their latency over the base's; train nothing. What was
        measured is kept with the study, and later tables take it from there.
    """
    try:
        executor = make_executor(engine, workers=workers, address=address)
    except ValueError as error:
        raise UsageError(f"--{error}") from error
    import_from_here()
    try:
        peers = peer_variants(network or (), arguments or ())
        found = load_study(study, parse_fields(fields), peers=peers)
        if measure:
            _show_costs(found, costs_of(found, renew=True))
            return 0
        results = do_study(found, executor=executor, anew=anew, notify=tell)
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
    tables().print(table(title, columns(results), cells(results)))
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
    tables().print(table(f"{study.name}, input {size}", ["variant", *COSTS], rows))
    for line in measured_where(costs):
        tables().print(line, soft_wrap=True)
