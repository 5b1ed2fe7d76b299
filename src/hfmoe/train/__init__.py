"""Training: recipes, a pure step, and a short loop that loses nothing."""

from hfmoe.train.hardware import TrainingInterrupted
from hfmoe.train.loading import RecipeError, load_recipe, make_recipe
from hfmoe.train.loop import TrainingResult, train
from hfmoe.train.monitor import NonFiniteError
from hfmoe.train.recipe import Recipe
from hfmoe.train.run_folder import RunError

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
