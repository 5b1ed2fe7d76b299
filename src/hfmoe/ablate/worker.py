"""Process of one run, and both ends of its protocol: a job as a line of JSON on stdin, an exit status back.

The process trains, scores, and leaves files. It ends itself when stdin closes: whoever started it is gone,
even if by a kill that nobody can catch. Exit status: 0 done, 3 diverged, 128 + signal when stopped with its
state saved, 1 failed.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hfmoe.ablate.plan import Run
from hfmoe.ablate.run_state import RunFiles, image_digests
from hfmoe.ablate.study import Scoring
from hfmoe.evaluate.protocols import EvaluationProtocol, ProtocolSettings, choose_protocol, default_protocol
from hfmoe.evaluate.report import evaluate
from hfmoe.evaluate.scores import load_distances
from hfmoe.infer.eager import Eager
from hfmoe.infer.restorer import Restorer
from hfmoe.infer.tiles import tile_geometry
from hfmoe.models.external import ExternalNetwork, Network, load_external
from hfmoe.models.folding import fold
from hfmoe.models.header import ModelFacts
from hfmoe.models.weights import load_weights
from hfmoe.runtime.files import BusyError, locked, read_json, write_json
from hfmoe.runtime.machine import code_version, machine
from hfmoe.runtime.memory import reuse_memory
from hfmoe.train import NonFiniteError, Recipe, TrainingInterrupted, make_recipe, train
from hfmoe.train.learner import build_network

DIVERGED = 3
PATIENCE = 120.0
"""Seconds that a run waits for an earlier process of its own that is still saving."""


def job_of(run: Run, evaluation: Scoring) -> dict[str, Any]:
    """Return the job of a run's process as plain values."""
    settings = run.settings()
    return {
        "recipe": settings["recipe"],
        "settings": settings,
        "from": str(Path.cwd()),
        "evaluation": evaluation.model_dump(mode="json"),
    }


def start_process(job: dict[str, Any]) -> subprocess.Popen[str]:
    """Start the process of a run, out of reach of the terminal's Ctrl-C; what it says goes to output.log."""
    recipe = job["recipe"]
    files = RunFiles(Path(job["from"]) / recipe["run"])
    files.folder.mkdir(parents=True, exist_ok=True)
    threads = str(recipe["hardware"]["threads"] or 1)
    with files.log.open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "hfmoe.ablate.worker"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            cwd=job["from"],
            env={**os.environ, "OMP_NUM_THREADS": threads},
        )
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        process.wait()
    return process


def ask_to_stop(process: subprocess.Popen[str]) -> None:
    """Ask a process to save and end: once, however often it is called."""
    if process.poll() is None and process.stdin is not None and not process.stdin.closed:
        process.stdin.close()


def how_ended(run: Run, status: int) -> str:
    """Return how the process of a run ended, by its exit status and by the files it left."""
    files = RunFiles(run.folder)
    if status == 0:
        return "done"
    number = -status if status < 0 else status - 128
    if number in (signal.SIGTERM, signal.SIGINT):
        return "stopped"
    if status < 0:
        return f"failed: ended by {signal.Signals(number).name}"
    failure = read_json(files.failure)
    if failure is not None and status in (1, DIVERGED):
        return f"failed: {failure.get('reason')}"
    if status >= 128:
        return "failed: "
    log = files.log.read_text("utf-8", errors="replace") if files.log.exists() else ""
    return f"failed: {(log.strip().splitlines() or ['it ended without a word'])[-1]}"


def do(job: dict[str, Any]) -> None:
    """Train and score a run as far as that is not done; what was done before is not done again."""
    recipe = make_recipe(job["recipe"])
    files = RunFiles(recipe.run)
    files.folder.mkdir(parents=True, exist_ok=True)
    with locked(files.lock, patience=PATIENCE):
        files.failure.unlink(missing_ok=True)
        if read_json(files.trained) is None:
            write_json(files.settings, job["settings"])
            result = train(recipe, resume=(recipe.run / "recipe.yaml").exists())
            facts = {"steps": result.step, "processor_seconds": result.spent, "best": result.best}
            write_json(files.trained, {**facts, "code": code_version(), "machine": machine().to_dict()})
        write_json(files.scores, score_run(recipe, Scoring.model_validate(job["evaluation"])))


def guarded(work: Callable[[], None], files: RunFiles) -> int:
    """Do the work of a run and return the exit status; a failure is left in its folder."""
    try:
        work()
    except TrainingInterrupted as stopped:
        return 128 + stopped.signal
    except NonFiniteError as error:
        write_json(files.failure, {"status": "diverged", "reason": str(error)})
        return DIVERGED
    except BusyError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except Exception as error:
        write_json(files.failure, {"status": "failed", "reason": reason_of(error)})
        raise
    return 0


def reason_of(error: Exception) -> str:
    """Return why a run failed: our own errors are sentences, before others' words stands their class."""
    kind, words = type(error), " ".join(str(error).split())
    ours = kind.__module__.partition(".")[0] == "hfmoe"
    return words if ours and words else f"{kind.__name__}: {words}".removesuffix(": ")


def score_run(recipe: Recipe, evaluation: Scoring) -> dict[str, Any]:
    """Score the weights that a run ended with; errors are those of reading images and weights.

    Our networks restore in tiles where memory is short, others whole.
    """
    protocol = protocol_of(recipe, evaluation)
    network = prepared(network_of(recipe))
    facts = ModelFacts(name=recipe.name, task=recipe.task())
    geometry = tile_geometry(recipe.config())
    restorer = Restorer(Eager(network, next(network.parameters()).device), geometry, facts)
    tile = "off" if isinstance(network, ExternalNetwork) else "auto"
    distances = load_distances(evaluation.lpips, evaluation.dists)
    reports = {
        name: evaluate(
            lambda image: restorer(image, tile=tile), folder, protocol=protocol, distances=distances
        ).to_dict()
        for name, folder in evaluation.sets.items()
    }
    return {
        "evaluation": evaluation.model_dump(mode="json"),
        "images": image_digests(evaluation),
        "metric": evaluation.metric or protocol.headline,
        "sets": reports,
    }


def protocol_of(recipe: Recipe, evaluation: Scoring) -> EvaluationProtocol:
    """Return the protocol of the study, or that of the task. Raises ValueError for one that does not fit."""
    config, targets = recipe.config(), evaluation.targets
    name = evaluation.protocol or default_protocol(
        recipe.task(), scale=config.scale, channels=config.channels, targets=targets is not None
    )
    settings = ProtocolSettings(evaluation.sigma, evaluation.quality, targets, evaluation.suffixes)
    return choose_protocol(name, scale=config.scale, settings=settings)


def network_of(recipe: Recipe, *, untrained: bool = False) -> Network:
    """Return the recipe's network with the weights its run ended with, or those it begins with."""
    path = recipe.run / "last.safetensors"
    if recipe.peer is None and not untrained:
        return load_weights(path).network
    network = build_network(recipe).eval()
    if isinstance(network, ExternalNetwork) and not untrained:
        load_external(path, network)
    return network


def prepared(network: Network) -> Network:
    """Return the network folded for inference, in the memory format that it runs in."""
    folded = fold(network).requires_grad_(False)
    if isinstance(network, ExternalNetwork) and not network.channels_last:
        return folded
    return folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def main() -> None:
    """Do the job on stdin; once stdin ends, this process is asked to stop as by a signal."""
    reuse_memory()
    job = json.loads(sys.stdin.readline())

    def follow() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, daemon=True, name="parent").start()
    sys.exit(guarded(lambda: do(job), RunFiles(Path(job["recipe"]["run"]))))


if __name__ == "__main__":
    main()
