"""The command for ablation studies."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hfmoe.cli.application import command


@command(usage="Usage: hfmoe ablate STUDY [--field value ...] [--workers N] [--engine ENGINE] [--anew]")
def ablate(
    study: Path,
    /,
    *fields: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)],
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
    network: Annotated[list[str] | None, Parameter(negative="")] = None,
    arguments: Annotated[list[str] | None, Parameter(negative="")] = None,
    anew: Annotated[bool, Parameter(negative="")] = False,
    measure: Annotated[bool, Parameter(negative="")] = False,
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
    from hfmoe.ablate.runner import make_executor
    from hfmoe.cli.ablating import Order, run_study
    from hfmoe.cli.errors import UsageError

    try:
        executor = make_executor(engine, workers=workers, address=address)
    except ValueError as error:
        raise UsageError(f"--{error}") from error
    return run_study(Order(study, fields, executor, network or (), arguments or (), anew, measure))
