"""A minute study on drawn photos, and an executor that does runs in this process."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from hfmoe.ablate import runner
from hfmoe.ablate.costs import Cost, MeasuredCost
from hfmoe.ablate.plan import Run, plan
from hfmoe.ablate.run_state import RunFiles
from hfmoe.ablate.study import Scoring, Study, make_study
from hfmoe.ablate.worker import do, guarded, job_of
from hfmoe.bench.timing import Spread
from hfmoe.image.files import Picture, write_picture
from hfmoe.runtime.machine import machine

NETWORK = {
    "dim": 8, "low_dims": [8], "head_dim": 8, "encoder_blocks": [1], "decoder_blocks": [],
    "experts": [0.5, 1.0], "texture_blocks": 1, "texture_hidden": 8,
    "dynamic_width": 4, "dynamic_groups": 2, "cross_dim": 4, "cross_stride": 1,
}  # fmt: skip
COST = Cost(5000, 4000, 10**7, 9 * 10**6, Spread(1.0, 2.0, 3.0), Spread(0.9, 1.0, 1.1))


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    generator = torch.Generator().manual_seed(0)
    for name in "ab":
        coarse = torch.rand(1, 3, 12, 10, generator=generator)
        image = F.interpolate(coarse, scale_factor=6, mode="bilinear")[0]
        write_picture(folder / f"{name}.png", Picture(image))
    return folder


PEER = {"network": "hfmoe.ablate.peers:PlainNetwork", "arguments": {"dim": 4, "blocks": 1, "scale": 2}}


class Here:
    """Executes runs in this process, and remembers their labels."""

    workers = 1

    def __init__(self) -> None:
        self.done: list[str] = []
        self._ended: list[tuple[Run, int]] = []

    def open(self, runs: Sequence[Run]) -> None:
        """Nothing is to be made ready."""

    def start(self, run: Run, evaluation: Scoring) -> None:
        """Do the run at once."""
        self.done.append(run.label)
        job = job_of(run, evaluation)
        try:
            status = guarded(lambda: do(job), RunFiles(run.folder))
        except Exception:
            status = 1
        self._ended.append((run, status))

    def wait(self) -> list[tuple[Run, int]]:
        """Give what ended."""
        ended, self._ended = self._ended, []
        return ended

    def stop(self) -> list[Run]:
        """Nothing still runs."""
        return []

    def close(self) -> None:
        """Nothing is held."""


def study_data(photos: Path, folder: Path) -> dict[str, Any]:
    """The plain values of a study of four runs that takes a second or two."""
    recipe = {
        "name": "base",
        "preset": "nano-x2",
        "network": NETWORK,
        "train": "elsewhere",
        "run": "elsewhere",
        "steps": 1,
        "batch": 1,
        "patch": 16,
        "validation": {"every": 2, "images": 1, "crop": 32},
        "hardware": {"accelerator": "cpu", "threads": 1},
    }
    return {
        "name": "minute",
        "recipe": recipe,
        "variants": {"full": {}, "slow": {"optimizer.lr": 1e-5}},
        "seeds": [0, 1],
        "budget": {"steps": 4},
        "train": str(photos),
        "validation": str(photos),
        "evaluate": {"sets": {"drawn": str(photos)}},
        "run": str(folder),
    }


@pytest.fixture
def data(photos: Path, tmp_path: Path) -> dict[str, Any]:
    """The plain values of the minute study."""
    return study_data(photos, tmp_path / "study")


@pytest.fixture(scope="session")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study that was done once: variants full, slow and peer with seeds 0 and 1."""
    fields = study_data(photos, tmp_path_factory.mktemp("finished"))
    variants = {**fields["variants"], "peer": PEER}
    study = make_study({**fields, "variants": variants})
    executor = Here()
    for run in plan(study):
        executor.start(run, study.evaluate)
    return study.folder


@pytest.fixture
def done(finished: Path, data: dict[str, Any]) -> None:
    """Put the runs of the finished study into the folder of this test's own."""
    shutil.copytree(finished, data["run"])


@pytest.fixture
def make(data: dict[str, Any]) -> Callable[..., Study]:
    """Give the minute study with some of its fields replaced."""
    return lambda **fields: make_study({**data, **fields})


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    """Do runs in this process, and measure nothing."""
    executor = Here()
    monkeypatch.setattr(
        runner, "costs_of", lambda study: dict.fromkeys(study.variants, MeasuredCost(COST, machine()))
    )
    monkeypatch.setattr(runner, "LocalExecutor", lambda _: executor)
    return executor
