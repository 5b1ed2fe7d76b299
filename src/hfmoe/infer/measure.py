"""Latency and peak memory of one network, measured in a process of its own."""

import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from hfmoe.infer.eager import choose_device, make_restorer
from hfmoe.models.header import ModelFacts, WeightsError, find_weights, shipped, suggest
from hfmoe.models.network import HFMoE
from hfmoe.models.presets import PRESETS
from hfmoe.models.weights import Loaded, load_weights
from hfmoe.runtime.child import ChildError, run_in_child
from hfmoe.runtime.memory import added_peak_mib


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
    job = {"model": model, "height": height, "width": width, "threads": threads, "runs": runs}
    try:
        return Measurement(**run_in_child(measure_job, job))
    except ChildError as error:
        raise RuntimeError(f"measuring {model} at {height}x{width} failed: {error}") from error


def measure_job(job: dict[str, Any]) -> dict[str, Any]:
    """Measure in this process, which must be a fresh one."""
    restorer = make_restorer(describe(job["model"]), device=str(choose_device("cpu")))
    torch.set_num_threads(job["threads"])
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, restorer.channels, job["height"], job["width"], generator=generator)
    seconds: list[float] = []

    def run() -> None:
        for _ in range(job["runs"] + 1):
            start = time.perf_counter()
            restorer(image, tile="off")
            seconds.append(time.perf_counter() - start)

    peak = added_peak_mib(run)
    latency = statistics.median(seconds[1:]) * 1000
    return asdict(Measurement(latency, peak, job["runs"], job["threads"], str(restorer.device)))
