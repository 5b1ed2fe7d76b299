"""What a run reads before its first step."""

from collections.abc import Callable

import numpy as np
from lightning_fabric import Fabric

from hfmoe.data import read_photos
from hfmoe.train.batches import read_data
from hfmoe.train.progress import Progress
from hfmoe.train.recipe import Recipe
from hfmoe.train.screen import Screen


def test_a_run_trains_on_photos_as_its_recipe_finds_them(make: Callable[..., Recipe]):
    recipe = make(found={"share": 1.0, "quality": [60, 60]}, validation={"folder": None})
    screen = Screen(name="", progress=Progress(1), quiet=True)
    photos, _ = read_data(recipe, Fabric(accelerator="cpu", devices=1), screen)
    scale = recipe.config().scale
    plain, found = (read_photos(recipe.train, scale=scale, processing=how) for how in (None, recipe.found))
    for read, as_found, as_it_is in zip(photos.photos, found.photos, plain.photos, strict=True):
        assert np.array_equal(read.target, as_found.target)
        assert not np.array_equal(read.target, as_it_is.target)
