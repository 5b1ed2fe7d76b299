"""Fields of a recipe on the command line of train."""

import pytest

from hfmoe.cli.errors import UsageError
from hfmoe.cli.train import parse_fields


def test_fields_are_read_with_a_space_or_an_equals_sign():
    given = ["--steps", "-3", "--optimizer.lr=1e-4", "--loss.0.weight", "0.5", "--time-limit-minutes", "3"]
    assert parse_fields(given) == {
        "steps": "-3",
        "optimizer.lr": "1e-4",
        "loss.0.weight": "0.5",
        "time_limit_minutes": "3",
    }


@pytest.mark.parametrize(
    "given, rule",
    [
        (["steps", "3"], "'steps' must be a --field"),
        (["--steps"], "--steps needs a value"),
        (["--steps", "--seed", "3"], "--steps needs a value"),
        (["--seed", "3", "--seed=4"], "--seed is given twice"),
    ],
)
def test_other_arguments_are_refused(given: list[str], rule: str):
    with pytest.raises(UsageError, match=rule):
        parse_fields(given)
