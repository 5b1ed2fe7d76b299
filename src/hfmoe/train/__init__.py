"""Training: recipes, a pure step, and a short loop that loses nothing."""

from hfmoe.train.interrupt import TrainingInterrupted
from hfmoe.train.loading import RecipeError, load_recipe, make_recipe
from hfmoe.train.loop import TrainingResult, train
from hfmoe.train.meter import NonFiniteError
from hfmoe.train.recipe import Recipe
from hfmoe.train.rundir import RunError

__all__ = [
    "NonFiniteError",
    "Recipe",
    "RecipeError",
    "RunError",
    "TrainingInterrupted",
    "TrainingResult",
    "load_recipe",
    "make_recipe",
    "train",
]
