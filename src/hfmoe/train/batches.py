"""Photos, validation examples and batches of a run."""

import time
from collections.abc import Callable

from lightning_fabric import Fabric

from hfmoe.data import DataError, Pair, PhotoSet, batch, draw, prefetch, read_photos
from hfmoe.train.hardware import from_first, together
from hfmoe.train.progress import Progress
from hfmoe.train.recipe import Recipe
from hfmoe.train.schedule import check_given, mixture_at, patch_size
from hfmoe.train.screen import Screen
from hfmoe.train.validation import Example, read_examples


def training_photos(recipe: Recipe) -> PhotoSet:
    """Read the photos that a recipe trains on, changed as its `found` says."""
    config = recipe.config()
    photos = read_photos(
        recipe.train,
        scale=config.scale,
        channels=config.channels,
        cache=recipe.cache,
        unreadable=recipe.faults.unreadable,
        processing=recipe.found,
    )
    check_given(recipe.tasks, photos)
    return photos


def check_labelled(recipe: Recipe, photos: PhotoSet) -> None:
    """Raise DataError where a loss is held against a teacher and no photo has a teacher's result."""
    taught = [term.kind for term in recipe.loss if term.against == "teacher"]
    if taught and not photos.labelled:
        raise DataError(
            f"loss {taught[0]} is held against a teacher, and no photo has a teacher's result: "
            "`hfmoe label` writes shards of them, to be named in train"
        )


def read_data(recipe: Recipe, fabric: Fabric, screen: Screen) -> tuple[PhotoSet, tuple[Example, ...]]:
    """Read the photos to train on, which have room for every patch of the run, and those to validate on.

    Every process reads them; where they are cached, the first one fills the cache before the others look.
    """
    begin = time.perf_counter()

    def read() -> PhotoSet:
        photos = training_photos(recipe)
        check_labelled(recipe, photos)
        for _, size in recipe.patch:
            draw(photos, seed=recipe.seed, step=0, size=1, patch=size)
        return photos

    if recipe.cache and fabric.world_size > 1:
        from_first(fabric, lambda: len(read().photos))
    photos = together(fabric, read)
    largest = max(size for _, size in recipe.patch)
    screen.say(
        f"{len(photos.photos)} photos in {time.perf_counter() - begin:.0f} s; "
        f"{photos.smaller_than(largest)} are too small for a patch of {largest} and left out there"
    )
    for name in photos.unreadable:
        screen.say(f"left out: {name}")
    return photos, together(fabric, lambda: read_examples(recipe))


def batches(photos: PhotoSet, recipe: Recipe, fabric: Fabric, *, first: int) -> Callable[[Progress], Pair]:
    """Return what makes this process's share of the next batch: asked in order from step `first`.

    Batches are made one ahead; under a limit of processor time, where nobody knows the schedule's place of
    the next step before this one is done, they are made when they are asked for.
    """

    def make(progress: Progress) -> Pair:
        patch = patch_size(progress, sizes=recipe.patch)
        place = {"seed": recipe.seed, "step": progress.step, "size": recipe.batch, "patch": patch}
        mixture = mixture_at(recipe.tasks, progress.share, softness=recipe.softness)
        try:
            return batch(photos, **place, mixture=mixture, part=fabric.global_rank, parts=fabric.world_size)
        except (OSError, ValueError, MemoryError) as error:
            names = ", ".join(sorted({photos.names[crop.photo] for crop in draw(photos, **place)}))
            raise DataError(
                f"step {progress.step + 1}: no batch could be made of {names}: {error}"
            ) from error

    if recipe.processor_seconds is not None:
        return make
    pairs = prefetch(lambda step: make(Progress(recipe.steps, step=step)), range(first, recipe.steps))
    return lambda progress: next(pairs)
