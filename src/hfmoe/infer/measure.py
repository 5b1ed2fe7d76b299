"""Latency and peak memory of one network, measured in a process of its own.

`python -m hfmoe.infer.measure MODEL HEIGHT WIDTH THREADS RUNS` prints the measurement as JSON.
"""

import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from hfmoe.infer.devices import choose_device
from hfmoe.infer.eager import make_restorer
from hfmoe.infer.restorer import Restorer
from hfmoe.models.header import ModelFacts, WeightsError, find_weights, shipped, suggest
from hfmoe.models.network import HFMoE
from hfmoe.models.presets import PRESETS
from hfmoe.models.weights import Loaded, load_weights
from hfmoe.runtime.memory import peak_mib, resident_mib


@dataclass(frozen=True)
class Measurement:
    """Median latency of whole-image runs, and the peak memory they add to a process at rest."""

    latency_ms: float
    peak_mib: float
    runs: int
    threads: int
    device: str


def describe(model: str) -> Loaded:
    """Open shipped weights, a weights file, or a preset, which is then untrained. Raises WeightsError."""
    if model in shipped() or Path(model).is_file():
        return load_weights(find_weights(model))
    if model not in PRESETS:
        raise WeightsError(f"{model!r} is no model, weights file or preset{suggest(model, PRESETS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = HFMoE(PRESETS[model]).eval()
    return Loaded(network, PRESETS[model], ModelFacts(name=model, notes="untrained preset"))


def measure(model: str, *, height: int, width: int, threads: int, runs: int = 5) -> Measurement:
    """Run the model on a random input in a fresh process. Raises RuntimeError when that fails."""
    command = [sys.executable, "-m", __name__, model, *map(str, (height, width, threads, runs))]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    if child.returncode:
        reason = (child.stderr.strip().splitlines() or [f"status {child.returncode}"])[-1]
        raise RuntimeError(f"measuring {model} at {height}x{width} failed: {reason}")
    return Measurement(**json.loads(child.stdout))


def _measure_here(restorer: Restorer, *, height: int, width: int, threads: int, runs: int) -> Measurement:
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, restorer.config.channels, height, width, generator=generator)
    resting = resident_mib()
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        restorer(image, tile="off")
        seconds.append(time.perf_counter() - start)
    latency = statistics.median(seconds[1:]) * 1000
    return Measurement(latency, max(peak_mib() - resting, 0.0), runs, threads, str(restorer.device))


def _main(model: str, height: str, width: str, threads: str, runs: str) -> None:
    restorer = make_restorer(describe(model), device=str(choose_device("cpu")))
    found = _measure_here(
        restorer, height=int(height), width=int(width), threads=int(threads), runs=int(runs)
    )
    sys.stdout.write(json.dumps(asdict(found)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
