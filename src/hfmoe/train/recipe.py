"""The recipe of a training run: typed, frozen, complete; unknown fields are refused."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from hfmoe.data import PairedFolders
from hfmoe.data.camera_processing import CameraProcessing, Softness
from hfmoe.data.degradations import AnyTask, SuperResolutionTask
from hfmoe.data.fields import NotNegative, Positive, Section, Share
from hfmoe.models.config import HFMoEConfig
from hfmoe.models.presets import PRESETS
from hfmoe.train.fields import (
    Discriminator,
    Faults,
    Hardware,
    Log,
    Optimizer,
    Peer,
    Perturb,
    TrainingPlace,
    Validation,
    may_hold_pairs,
)
from hfmoe.train.objective import AdversarialTerm, PixelTerm, Term, check_terms
from hfmoe.train.schedule import check_tasks, degrades

TaskOfKind = Annotated[AnyTask, Field(discriminator="kind")]


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _growing(value: Any) -> Any:
    return [(0.0, value)] if isinstance(value, int | str) else value


class Recipe(Section):
    """A whole training run. Relative paths are meant from the working directory.

    peer: another network in place of the preset's, which then says the scale and channels alone.
    processor_seconds: the run ends when that much processor time has gone into its steps; the schedule
    follows the share that is spent, and `steps` only says in how many parts it is cut.
    """

    name: Annotated[str, Field(min_length=1)]
    preset: str
    network: dict[str, Any] = {}
    peer: Peer | None = None
    init: str | None = None
    train: Annotated[tuple[TrainingPlace, ...], BeforeValidator(_listed), Field(min_length=1)]
    tasks: Annotated[tuple[Annotated[AnyTask, Field(discriminator="kind")], ...], Field(min_length=1)] = (
        SuperResolutionTask(),
    )
    softness: Softness | None = None
    found: CameraProcessing | None = None
    cache: Path | None = None
    run: Path
    licence: str = "Apache-2.0"
    notes: str = ""
    seed: Annotated[int, Field(ge=0)] = 0
    steps: Positive
    processor_seconds: Annotated[float, Field(gt=0)] | None = None
    batch: Positive = 16
    patch: Annotated[tuple[tuple[Share, Positive], ...], BeforeValidator(_growing), Field(min_length=1)] = (
        (0.0, 64),
    )
    loss: Annotated[tuple[Term, ...], Field(min_length=1)] = (PixelTerm(kind="l1"),)
    balance_weight: NotNegative = 0.0
    balance_rate: NotNegative = 0.02
    z_weight: NotNegative = 1e-3
    discriminator: Discriminator = Discriminator()
    optimizer: Optimizer = Optimizer()
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    perturb: Perturb = Perturb()
    validation: Validation = Validation()
    log: Log = Log()
    faults: Faults = Faults()
    checkpoint_minutes: NotNegative = 5.0
    time_limit_minutes: Annotated[float, Field(gt=0)] | None = None
    hardware: Hardware = Hardware()

    @model_validator(mode="after")
    def _builds(self) -> "Recipe":
        if self.preset not in PRESETS:
            raise ValueError(f"preset {self.preset!r} must be one of {', '.join(PRESETS)}")
        if self.patch[0][0] != 0:
            raise ValueError(f"patch must begin at share 0 of the run, not at {self.patch[0][0]}")
        scale = self.config().scale
        check_terms(self.loss, side=scale * min(size for _, size in self.patch))
        least = 11 + 3 * scale
        if self.validation.crop is not None and self.validation.crop < least:
            raise ValueError(
                f"validation.crop {self.validation.crop} must be at least {least} at scale {scale}"
            )
        if self.perturb.temperature_end != 1:
            end = self.perturb.temperature_end
            raise ValueError(f"perturb.temperature_end {end} must be 1, the temperature of inference")
        check_tasks(self.tasks)
        if self.softness is not None and not degrades(self.tasks):
            raise ValueError("softness needs tasks that degrade photos: denoise, jpeg, deblur or photo")
        if self.found is not None and all(isinstance(place, PairedFolders) for place in self.train):
            raise ValueError("found changes clean photos, and all places of train are pairs")
        return self

    @model_validator(mode="after")
    def _restores(self) -> "Recipe":
        if self.config().scale > 1 or degrades(self.tasks):
            return self
        if not any(map(may_hold_pairs, self.train)):
            raise ValueError(
                "a network of scale 1 has nothing to learn from clean photos: give it tasks or pairs"
            )
        folder = self.validation.folder
        if isinstance(folder, Path) and not may_hold_pairs(folder):
            raise ValueError(
                f"validation.folder {folder} must be pairs, {{degraded: .., target: ..}}: a network of "
                "scale 1 without tasks has nothing to restore in clean photos"
            )
        return self

    @model_validator(mode="after")
    def _runs(self) -> "Recipe":
        hardware = self.hardware
        parts = hardware.devices * hardware.nodes * hardware.accumulate
        if self.batch % parts:
            raise ValueError(
                f"batch {self.batch} must be a multiple of devices x nodes x accumulate = {parts}"
            )
        if hardware.strategy == "fsdp" and hardware.precision == "16-mixed":
            raise ValueError(
                "hardware.precision 16-mixed needs the strategy auto or ddp; fsdp takes bf16-mixed"
            )
        if hardware.compile and hardware.recompute:
            raise ValueError("hardware.recompute must be off with hardware.compile, which plans it itself")
        return self

    @model_validator(mode="after")
    def _fits(self) -> "Recipe":
        processes = self.hardware.devices * self.hardware.nodes
        if self.processor_seconds is not None and processes > 1:
            raise ValueError(f"processor_seconds needs one process, not devices x nodes = {processes}")
        if self.peer is None:
            return self
        idle = [name for name in self.network if name not in ("scale", "channels")]
        if idle:
            raise ValueError(f"network.{idle[0]} has no effect on the network {self.peer.network}")
        if self.init is not None:
            raise ValueError(f"init {self.init!r} holds no weights of the network {self.peer.network}")
        if self.hardware.strategy == "fsdp":
            raise ValueError(f"hardware.strategy fsdp cannot cut the network {self.peer.network} into shards")
        return self

    def config(self) -> HFMoEConfig:
        """Return the network's configuration: the preset with the recipe's own values in place."""
        preset = PRESETS[self.preset]
        return replace(preset, **{name: _like(value) for name, value in self.network.items()})

    def resolved(self) -> "Recipe":
        """Return the recipe with every field of the network said, so that a preset may change under it."""
        if self.peer is not None:
            return self
        return self.model_copy(update={"network": asdict(self.config())})

    def is_adversarial(self) -> bool:
        """Return whether a discriminator is trained at any time of the run."""
        return any(isinstance(term, AdversarialTerm) for term in self.loss)

    def recomputes(self) -> bool:
        """Return whether activations are computed twice: as the recipe says, else for the large presets."""
        said = self.hardware.recompute
        large = self.preset.startswith(("base", "large")) and not self.hardware.compile
        return large if said is None else said

    def task(self) -> str:
        """Name what the network learns, as weights files do: one of hfmoe.models.header.TASKS."""
        kinds = {task.kind for task in self.tasks}
        if not degrades(self.tasks):
            return "sr" if self.config().scale > 1 else "photo"
        return kinds.pop() if kinds in ({"denoise"}, {"jpeg"}) else "photo"

    def digest(self) -> str:
        """Tell recipes apart in a few letters."""
        return hashlib.sha256(json.dumps(self.resolved().as_data(), sort_keys=True).encode()).hexdigest()[:12]

    def as_data(self) -> dict[str, Any]:
        """Return the recipe as plain values, as YAML, JSON and checkpoints keep it."""
        return self.model_dump(mode="json")


def _like(value: Any) -> Any:
    return tuple(_like(item) for item in value) if isinstance(value, list) else value
