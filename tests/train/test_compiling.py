"""Training with torch.compile, in a process without the checks of shapes, which it does not understand."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hfmoe
from hfmoe.models.weights import load_weights
from hfmoe.train import Recipe, train

CODE = """
import json, sys, torch
from hfmoe.train import load_recipe, loop, train
step_of, graphs = loop.train_step, []
def counted(*arguments):
    step_of(*arguments)
    graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
loop.train_step = counted
train(load_recipe(sys.argv[1]))
print(json.dumps(graphs))
"""


@pytest.mark.slow
def test_a_compiled_network_learns_the_same_and_is_not_compiled_anew_every_step(
    make: Callable[..., Recipe], tmp_path: Path
):
    fields: dict[str, Any] = {"steps": 8, "patch": [[0, 16], [0.5, 32]], "batch": 2}
    hardware = {"accelerator": "cpu", "threads": 1}
    eager = make(**fields, run=str(tmp_path / "eager"), hardware=hardware)
    compiled = make(**fields, run=str(tmp_path / "compiled"), hardware={**hardware, "compile": True})
    train(eager)
    plain = tmp_path / "compiled.json"
    plain.write_text(json.dumps(compiled.as_data()))
    source = str(Path(hfmoe.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(plain)],
        env={**os.environ, "PYTHONPATH": source, "JAXTYPING_DISABLE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    graphs = json.loads(done.stdout)
    assert 0 < graphs[0] <= graphs[-1] <= 3 * graphs[0]
    one, other = (
        load_weights(recipe.run / "last.safetensors").network.state_dict() for recipe in (eager, compiled)
    )
    assert max((one[name] - other[name]).abs().max().item() for name in one) < 2e-5
