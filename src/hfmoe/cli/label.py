"""`hfmoe label`: what a teacher makes of degraded photos, in shards that training reads."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TimeRemainingColumn,
)
from rich.text import Text

from hfmoe.cli.train import Fields, import_from_here, parse_fields
from hfmoe.train import load_recipe
from hfmoe.train.labels import Labels, write_labels


class Rate(ProgressColumn):
    """Labels a second, of late."""

    def render(self, task: Task) -> Text:
        """Show nothing until the first is done."""
        return Text("" if task.speed is None else f"{task.speed:.2f}/s")


Number = Annotated[int, Parameter(allow_leading_hyphen=True)]


def label(
    recipe: Path,
    /,
    *fields: Fields,
    teacher: str,
    count: Number,
    output: Path,
    licence: str = "",
    engine: Literal["auto", "torch", "openvino"] = "auto",
    batch: Number = 8,
    shard: Number = 200,
    processes: Number = 1,
) -> None:
    """Write what a teacher makes of degraded photos, for other networks to learn from.

    Each label is a degraded crop of the recipe's largest patch, the teacher's result and the truth, in tar
    files that a recipe names in `train`; loss terms choose one with `against: teacher` or `truth`. What is
    there already stays: the same command goes on where it was interrupted.

    Parameters
    ----------
    recipe
        YAML file of a training run; fields of it can be given anew, as for training.
    teacher
        A model of ours by name or file, a community model that spandrel knows, or an ONNX file; it must
        enlarge as the recipe's network does.
    count
        Labels in all.
    output
        Folder of the tar files; made where it is missing.
    licence
        Of the teacher, where its file does not say it: what learns from it keeps it among its facts.
    engine
        torch, or openvino in bf16, which is faster on processors that compute in bf16: auto takes it there.
    batch
        Images that the teacher sees at once.
    shard
        Labels a tar file.
    processes
        Processes that work at the same time, on one thread each where there are several.
    """
    overrides = parse_fields(fields)
    import_from_here()
    labels = Labels(output, count=count, shard=shard, batch=batch, processes=processes)
    columns = (BarColumn(20), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("labels", total=count)
        paths = write_labels(
            load_recipe(recipe, overrides),
            teacher,
            labels,
            licence=licence,
            engine=engine,
            watch=lambda done: progress.advance(task, done),
        )
    Console().print(f"{count} labels in {len(paths)} files: {output}", highlight=False, soft_wrap=True)
