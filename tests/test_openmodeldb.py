"""Entries for OpenModelDB hold what its rules ask for, and what breaks them is named."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from hfmoe.models.header import shipped


@pytest.fixture(scope="module")
def script() -> ModuleType:
    place = Path(__file__).parents[1] / "scripts" / "openmodeldb.py"
    spec = importlib.util.spec_from_file_location("openmodeldb", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_shipped_model_has_a_valid_entry_of_its_own(script: ModuleType):
    made = [script.entry(path, author="somebody", base="https://host/v1") for path in shipped().values()]
    assert len({name for name, _ in made}) == len(made)
    assert [script.check(name, each) for name, each in made] == [[]] * len(made)


def test_what_breaks_a_rule_is_named_with_its_value(script: ModuleType):
    name, made = script.entry(shipped()["nano-x4"], author="some body", base="http://host")
    wrong = made | {"date": "yesterday", "tags": ["fast"], "scale": 0, "trainingBatchSize": 1.5}
    faults = script.check(name, wrong)
    fields = ["author", "tags", "date", "scale", "resources", "trainingBatchSize"]
    assert [fault.split()[0] for fault in faults] == fields
    assert "'some body'" in faults[0]
