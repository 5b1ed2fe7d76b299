"""What a study reads, looked at before anything trains: photos to learn from, validate and score on."""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from hfmoe.ablate.reading import StudyError
from hfmoe.ablate.scoring import judges_of, protocol_of
from hfmoe.ablate.study import Study
from hfmoe.data.sources import find_sources
from hfmoe.train import Recipe
from hfmoe.train.validation import read_examples


def check_material(study: Study, recipes: Mapping[str, Recipe]) -> None:
    """Open once what every run would only miss when it begins, or when it has trained and is to be scored.

    Raises StudyError, naming the field, for a place without photos, an evaluation image that cannot be
    scored, and weights of a score that cannot be read.
    """
    first = next(iter(recipes.values()))
    protocol = protocol_of(first, study.evaluate)
    with blamed("train" if study.train else "recipe.train"):
        find_sources(first.train)
    with blamed("validation" if study.validation else "recipe.validation.folder"):
        read_examples(first)
    with blamed("evaluate.lpips or evaluate.dists"):
        judges_of(study.evaluate)
    for name, folder in study.evaluate.sets.items():
        with blamed(f"evaluate.sets.{name}"):
            deque(protocol.pairs(folder), maxlen=0)


@contextmanager
def blamed(field: str) -> Iterator[None]:
    """Put before what goes wrong the field of the study that it came from."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise StudyError(f"{field}: {error}") from error
