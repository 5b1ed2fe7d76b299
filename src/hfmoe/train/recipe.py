"""What a training run is: typed, frozen, complete; unknown fields are refused."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from hfmoe.data.tasks import Softness
from hfmoe.models.config import HFMoEConfig
from hfmoe.models.presets import PRESETS
from hfmoe.train.curriculum import check_tasks, degrades
from hfmoe.train.hardware import Hardware
from hfmoe.train.places import TrainingPlace, may_hold_pairs
from hfmoe.train.section import NotNegative, Positive, Section, Share
from hfmoe.train.tasks import SuperResolutionTask, TaskOfKind
from hfmoe.train.terms import PixelTerm, Term, check_terms


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _growing(value: Any) -> Any:
    return [(0.0, value)] if isinstance(value, int | str) else value


class Optimizer(Section):
    """How weights move: by AdamW, or by Muon where they are matrices (hfmoe.train.muon).

    The rate warms up, holds, and falls by a cosine over the last share `decay`; gradients are cut to the norm
    `clip`.
    """

    kind: Literal["adam", "muon"] = "adam"
    lr: Annotated[float, Field(gt=0)] = 1e-3
    final_lr: NotNegative = 1e-6
    warmup: Share = 0.01
    decay: Share = 1.0
    betas: tuple[Share, Share] = (0.9, 0.999)
    weight_decay: NotNegative = 0.0
    clip: Annotated[float, Field(gt=0)] | None = 1.0


class DiscriminatorOptimizer(Optimizer):
    """The same for the discriminator, with the values of GAN training: a rate that holds to the end."""

    lr: Annotated[float, Field(gt=0)] = 1e-4
    warmup: Share = 0.0
    decay: Share = 0.0
    betas: tuple[Share, Share] = (0.9, 0.99)
    clip: Annotated[float, Field(gt=0)] | None = None


class Discriminator(Section):
    """The opponent of adversarial terms: width of its first layer (64 has 4.4 M weights) and optimiser."""

    width: Positive = 64
    optimizer: DiscriminatorOptimizer = DiscriminatorOptimizer()


class Perturb(Section):
    """What disturbs the network while it trains; the router's temperature anneals linearly."""

    temperature_start: Annotated[float, Field(gt=0)] = 1.0
    temperature_end: Annotated[float, Field(gt=0)] = 1.0
    temperature_until: Share = 0.5
    router_noise: NotNegative = 0.0
    hf_noise: NotNegative = 0.0
    drop_path: Share = 0.0


class Validation(Section):
    """How the averaged weights are scored while training; `crop` limits photos to their centre, for speed.

    Each task of the recipe is scored on all photos, degraded in the same way every time; paired folders are
    scored as they are.
    """

    folder: TrainingPlace | None = None
    every: Positive = 2000
    images: Positive | None = None
    crop: Positive | None = None


class Log(Section):
    """How often something is written for people to look at, in steps."""

    every: Positive = 100
    samples_every: Positive = 4000
    samples: Positive = 3


class Faults(Section):
    """What a run bears before it ends.

    skips: steps left out in any `window` of them because a loss or gradient was not finite. rollbacks:
    returns to the state that is kept every `keep_every` steps. saved_batches: faulty batches kept on disk.
    unreadable: share of the photos that may be left out. load_bounds: an expert's load alarms below the first
    times its prior, and above the prior plus the second times the rest.
    """

    skips: Annotated[int, Field(ge=0)] = 10
    window: Positive = 1000
    rollbacks: Annotated[int, Field(ge=0)] = 3
    keep_every: Positive = 1000
    saved_batches: Annotated[int, Field(ge=0)] = 3
    unreadable: Share = 0.01
    load_bounds: tuple[Share, Share] = (0.1, 0.9)


class Soft(Section):
    """How soft the clean photos are: `share` of them is blurred by `sigma` pixels, the target with them."""

    share: Share = 0.5
    sigma: tuple[NotNegative, NotNegative] = (0.3, 1.0)

    @model_validator(mode="after")
    def _ordered(self) -> "Soft":
        if self.sigma[0] > self.sigma[1]:
            raise ValueError(f"softness.sigma {list(self.sigma)} must go from low to high")
        return self


class Peer(Section):
    """A network that is not ours: the class at `network` ("package.module:Class") called with `arguments`.

    It takes images in [0, 1] and gives them enlarged by the preset's scale. multiple: the image is padded to
    sides that are multiples of it; channels_last: memory format in which it runs.
    """

    network: Annotated[str, Field(min_length=1)]
    arguments: dict[str, Any] = {}
    multiple: Positive = 1
    channels_last: bool = True


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
    tasks: Annotated[tuple[TaskOfKind, ...], Field(min_length=1)] = (SuperResolutionTask(),)
    softness: Soft | None = None
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
        if scale == 1 and not degrades(self.tasks) and not any(map(may_hold_pairs, self.train)):
            raise ValueError(
                "a network of scale 1 has nothing to learn from clean photos: give it tasks or pairs"
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
        """Give the network's configuration: the preset with the recipe's own values in place."""
        preset = PRESETS[self.preset]
        return replace(preset, **{name: _like(value) for name, value in self.network.items()})

    def resolved(self) -> "Recipe":
        """Give the recipe with every field of the network said, so that a preset may change under it."""
        if self.peer is not None:
            return self
        return self.model_copy(update={"network": asdict(self.config())})

    def softened(self) -> Softness | None:
        """Give what is drawn for the softness of photos; None where all stay as they are."""
        return None if self.softness is None else Softness(self.softness.share, self.softness.sigma)

    def recomputes(self) -> bool:
        """Tell whether activations are computed twice: as the recipe says, else for the large presets."""
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
        """Give the recipe as plain values, as YAML, JSON and checkpoints keep it."""
        return self.model_dump(mode="json")


def _like(value: Any) -> Any:
    return tuple(_like(item) for item in value) if isinstance(value, list) else value
