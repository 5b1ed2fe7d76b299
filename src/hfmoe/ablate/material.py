"""What a study reads, looked at before anything trains: photos to learn from, validate and score on."""

from collections import deque
from collections.abc import Mapping

from hfmoe.ablate.reading import StudyError
from hfmoe.ablate.scoring import judges_of, protocol_of
from hfmoe.ablate.study import Study
from hfmoe.data.sources import find_sources
from hfmoe.train import Recipe
from hfmoe.train.examples import read_examples


def check_material(study: Study, recipes: Mapping[str, Recipe]) -> None:
    """Open once what every run would only miss when it begins, or when it has trained and is to be scored.

    Raises StudyError for a place without photos, an evaluation image that cannot be scored, and weights of
    a score that cannot be read.
    """
    first = next(iter(recipes.values()))
    protocol = protocol_of(first, study.evaluate)
    try:
        for places in {recipe.train: None for recipe in recipes.values()}:
            find_sources(places)
        read_examples(first)
        judges_of(study.evaluate)
        for folder in study.evaluate.sets.values():
            deque(protocol.pairs(folder), maxlen=0)
    except (ValueError, OSError) as error:
        raise StudyError(str(error)) from error
