"""Labels of a teacher: photos degraded by a recipe and what another network makes of them, in tar shards."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from hfmoe.data import PhotoSet, draw
from hfmoe.data.samples import Sample, draw_sample, make_sample, stack
from hfmoe.image.encoded import png_file
from hfmoe.runtime.files import atomic
from hfmoe.train.batches import training_photos
from hfmoe.train.recipe import Recipe
from hfmoe.train.schedule import mixture
from hfmoe.train.teacher import EngineName, Teacher, load_teacher

HARDEST = 1 - 1e-9
"""Share of the run whose tasks and patch are labelled: its end, where tasks are as hard as they get."""


class LabelError(ValueError):
    """Labels that cannot be made; the message names the file or number and the rule."""


@dataclass(frozen=True)
class Labels:
    """Number of labels and their shards.

    count: labels in all; shard: labels a tar file; batch: images that the teacher sees at once; processes:
    how many write shards at the same time, on one thread each where there are several.
    """

    output: Path
    count: int
    shard: int = 200
    batch: int = 8
    processes: int = 1

    def __post_init__(self) -> None:
        for name in ("count", "shard", "batch", "processes"):
            if getattr(self, name) < 1:
                raise LabelError(f"{name} {getattr(self, name)} must be at least 1")

    def paths(self) -> list[Path]:
        """Name the shards, in order."""
        return [self.output / f"labels-{number:05d}.tar" for number in range(-(-self.count // self.shard))]

    def size(self, number: int) -> int:
        """Count the labels of a shard."""
        return min(self.shard, self.count - number * self.shard)


@dataclass(frozen=True)
class ShardSpec:
    """Arguments by which a process writes any of the shards: plain values."""

    recipe: str
    teacher: str
    licence: str
    engine: EngineName


class Maker(NamedTuple):
    """Recipe, photos and teacher of a process."""

    recipe: Recipe
    photos: PhotoSet
    teacher: Teacher


def write_labels(
    recipe: Recipe,
    teacher: Path | str,
    labels: Labels,
    *,
    licence: str = "",
    engine: EngineName = "auto",
    watch: Callable[[int], None] = lambda count: None,
) -> list[Path]:
    """Degrade photos by a recipe, ask the teacher, and write shards that a recipe's `train` takes.

    A shard holds KEY.degraded.png, KEY.target.png, KEY.teacher.png and KEY.json (task, place, operations,
    teacher). A label depends on the recipe and its number alone; shards that are there stay, so that a second
    call goes on where the first one ended. `watch` is told how many labels there are more, first of those
    that were there. Raises LabelError, WeightsError, DataError and ImageError.
    """
    scale = load_teacher(teacher, licence=licence, engine=engine).scale
    if scale != recipe.config().scale:
        raise LabelError(
            f"teacher {teacher} enlarges x{scale}, recipe {recipe.name} x{recipe.config().scale}"
        )
    labels.output.mkdir(parents=True, exist_ok=True)
    paths = labels.paths()
    todo = [number for number, path in enumerate(paths) if not path.exists()]
    watch(sum(labels.size(number) for number in range(len(paths)) if number not in todo))
    order = ShardSpec(recipe.model_dump_json(), str(teacher), licence, engine)
    if labels.processes == 1:
        for number in todo:
            write_shard(paths[number], _maker(order), labels, number=number, watch=watch)
        return paths
    with ProcessPoolExecutor(labels.processes, mp_context=get_context("spawn")) as pool:
        for count in pool.map(partial(_in_process, order, labels), todo):
            watch(count)
    return paths


def _in_process(order: ShardSpec, labels: Labels, number: int) -> int:
    torch.set_num_threads(1)
    write_shard(labels.paths()[number], _maker(order), labels, number=number, watch=lambda count: None)
    return labels.size(number)


@cache
def _maker(order: ShardSpec) -> Maker:
    recipe = Recipe.model_validate_json(order.recipe)
    return Maker(
        recipe,
        training_photos(recipe),
        load_teacher(order.teacher, licence=order.licence, engine=order.engine),
    )


def write_shard(
    path: Path, maker: Maker, labels: Labels, *, number: int, watch: Callable[[int], None]
) -> None:
    """Write one shard under a temporary name and rename it."""
    with atomic(path) as unfinished, tarfile.open(unfinished, "w") as archive:
        for place, made in enumerate(make_labels(maker, labels, number=number)):
            key = f"{number:05d}-{place:05d}"
            name = maker.photos.names[made.sample.crop.photo]
            record = {**made.sample.as_data(name), "teacher": maker.teacher.facts}
            add_member(archive, f"{key}.json", json.dumps(record).encode())
            for side in ("degraded", "target", "teacher"):
                add_member(archive, f"{key}.{side}.png", png_file(getattr(made, side)))
            if (place + 1) % labels.batch == 0 or place + 1 == labels.size(number):
                watch(place % labels.batch + 1)


class Label(NamedTuple):
    """A degraded crop, what it was, and what the teacher makes of it, in 8 bits."""

    sample: Sample
    degraded: UInt8[Tensor, "c h w"]
    target: UInt8[Tensor, "c H W"]
    teacher: UInt8[Tensor, "c H W"]


def make_labels(maker: Maker, labels: Labels, *, number: int) -> Iterator[Label]:
    """Make the labels of a shard; the teacher sees what the network will, in 8 bits."""
    recipe, photos, teacher = maker
    patch = max(size for _, size in recipe.patch)
    tasks = mixture(recipe.tasks, HARDEST, softness=recipe.softness)
    place = {"seed": recipe.seed, "step": number}
    crops = draw(photos, **place, size=labels.size(number), patch=patch)
    for start in range(0, len(crops), labels.batch):
        samples = [
            draw_sample(photos, crop, tasks, **place, number=at, patch=patch)
            for at, crop in enumerate(crops[start : start + labels.batch], start=start)
        ]
        made = [make_sample(photos, sample, patch=patch) for sample in samples]
        degraded = [levels(each.degraded) for each in made]
        restored = teacher.restore(stack([side.float() / 255 for side in degraded]))
        for sample, each, seen, result in zip(samples, made, degraded, restored, strict=True):
            yield Label(sample, seen, levels(each.target), levels(result))


def levels(image: Float[Tensor, "c h w"]) -> UInt8[Tensor, "c h w"]:
    """Round an image in [0, 1] to 8 bits."""
    return (image.clamp(0, 1) * 255).round().byte()


def add_member(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """Append a file to a shard."""
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))
