"""The commands around a training run: doctor, samples, train, report and download."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hfmoe.cli.application import command
from hfmoe.runtime.memory import reuse_memory


@command(usage="Usage: hfmoe train RECIPE [--field value ...] [--resume [--change]]")
def train(
    recipe: Path,
    /,
    *fields: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)],
    resume: Annotated[bool, Parameter(negative="")] = False,
    change: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Train a network by a recipe.

    Any field of the recipe can be given anew: --steps 500 --optimizer.lr 5e-4 --loss.0.weight=0.5.

    Parameters
    ----------
    recipe
        YAML file; see the folder recipes.
    resume
        Go on from the last checkpoint of the run.
    change
        With --resume: take over fields of the recipe, or photos, that differ from before, and record them.
    """
    reuse_memory()
    from hfmoe.cli.training import run_recipe

    run_recipe(recipe, fields, resume=resume, change=change)


@command(usage="Usage: hfmoe doctor [DATA ...] [--recipe RECIPE] [--pairs DEGRADED TARGET]")
def doctor(
    data: Annotated[list[Path] | None, Parameter(name="DATA", negative="")] = None,
    /,
    *,
    recipe: Path | None = None,
    pairs: tuple[Path, Path] | None = None,
    validation: Path | None = None,
    scale: int | None = None,
    preset: str | None = None,
    probe: bool | None = None,
    memory: int | None = None,
    seconds: float = 45.0,
    threads: int | None = None,
    json: Path | None = None,
) -> int:
    """Inspect training data, and measure what batch and patch fit, before a run.

    Ends with status 0 without errors (warnings and notes are none), 1 with errors, 2 for wrong usage.

    Parameters
    ----------
    data
        Folders of photos to train on; default those of the recipe.
    recipe
        Recipe of the run: its folders, patch and network.
    pairs
        A folder of degraded images and one of their targets, matched by stem.
    validation
        Folder of photos to validate on, searched for photos that are also trained on.
    scale
        Sizes of the degraded image in a pair's target; default the recipe's.
    preset
        Network to probe without a recipe, or instead of the recipe's.
    probe
        Measure training steps; default yes where a recipe or preset is given.
    memory
        Memory in MiB that training may take; default 70 % of what is free.
    seconds
        Time for the probe.
    threads
        Files read at a time; default one a processor.
    json
        Also write the whole report to this file.
    """
    from hfmoe.cli.doctoring import Request, examine

    folders = tuple(data or ())
    request = Request(
        folders, pairs, validation, recipe, preset, scale, probe, memory, seconds, threads, file=json
    )
    return examine(request)


@command(usage="Usage: hfmoe samples RECIPE --output FOLDER [--step N] [--count N] [--field value ...]")
def samples(
    recipe: Path,
    /,
    *fields: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)],
    output: Path,
    step: int = 0,
    count: int = 8,
) -> None:
    """Show what a recipe's network learns from: degraded samples of one step, with what was done to each.

    Writes for each sample its clean source, degraded and target side, a sheet of all of them, and
    samples.json, whose operations turn the source into the degraded side again.

    Parameters
    ----------
    recipe
        YAML file; fields of it can be given anew, as for training.
    output
        Folder to write to; made where it is missing.
    step
        Step of the run, from 0.
    count
        How many samples.
    """
    from hfmoe.cli.training import show_samples

    show_samples(recipe, fields, output=output, step=step, count=count)


@command()
def report(run: Path, /, *, output: Path | None = None) -> None:
    """Write one HTML page about a training run: curves, pictures, routing, configuration, hardware.

    Parameters
    ----------
    run
        The folder that the run writes to; the run may still be going on.
    output
        The page's file, ending in .html; default report.html in the run's folder.
    """
    from hfmoe.cli.reporting import report_run

    report_run(run, output)


@command()
def download(name: str, /, *, output: Path | None = None, url: str | None = None) -> None:
    """Fetch the weights that a perceptual loss needs, and check their sha256.

    Parameters
    ----------
    name
        vgg19 or vgg16, as torchvision publishes them (some 550 MB).
    output
        File to write; default the file's own name, in the working directory. It must not exist yet.
    url
        Fetch it from here instead; its sha256 must be the same.
    """
    from hfmoe.cli.downloading import fetch_weights

    fetch_weights(name, output=output, url=url)
