"""Sections of a recipe: places of photos, optimiser, discriminator, validation, log, faults, hardware."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, PlainValidator

from hfmoe.data import PairedFolders
from hfmoe.data.fields import NotNegative, Positive, Section, Share
from hfmoe.data.sources import PhotoLocation, is_shard


def _place(value: Any) -> PhotoLocation:
    if isinstance(value, PairedFolders | Path):
        return value
    if isinstance(value, str) and value:
        return Path(value)
    if not isinstance(value, dict):
        raise ValueError("it must be a folder, a tar file or pattern of them, or {degraded: .., target: ..}")
    wrong = value.keys() ^ set(PairedFolders._fields)
    if wrong or not all(isinstance(folder, str | Path) for folder in value.values()):
        raise ValueError("a pair of folders has the fields degraded and target, each a folder")
    return PairedFolders(Path(value["degraded"]), Path(value["target"]))


def _plain(place: PhotoLocation) -> Any:
    if isinstance(place, PairedFolders):
        return {name: str(folder) for name, folder in place._asdict().items()}
    return str(place)


TrainingPlace = Annotated[PhotoLocation, PlainValidator(_place), PlainSerializer(_plain)]


def may_hold_pairs(place: PhotoLocation) -> bool:
    """Return whether photos of a place can come with their degraded sides."""
    return isinstance(place, PairedFolders) or is_shard(place)


class Optimizer(Section):
    """Optimiser of the weights: AdamW, or Muon for those that are matrices (hfmoe.train.muon).

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
    """The discriminator of adversarial terms: width of its first layer (64: 4.4 M weights), optimiser."""

    width: Positive = 64
    optimizer: DiscriminatorOptimizer = DiscriminatorOptimizer()


class Perturb(Section):
    """Perturbations of the network in training; the router's temperature anneals linearly.

    random_expert: share of the windows sent to experts drawn at random, for the effort dial.
    """

    temperature_start: Annotated[float, Field(gt=0)] = 1.0
    temperature_end: Annotated[float, Field(gt=0)] = 1.0
    temperature_until: Share = 0.5
    router_noise: NotNegative = 0.0
    random_expert: Share = 0.0
    hf_noise: NotNegative = 0.0
    drop_path: Share = 0.0


class Validation(Section):
    """Validation of the averaged weights while training; `crop` limits photos to their centre, for speed.

    Each task of the recipe is scored on all photos, degraded in the same way every time; paired folders are
    scored as they are.
    """

    folder: TrainingPlace | None = None
    every: Positive = 2000
    images: Positive | None = None
    crop: Positive | None = None


class Log(Section):
    """Intervals of the log and of sample pictures, in steps."""

    every: Positive = 100
    samples_every: Positive = 4000
    samples: Positive = 3


class Faults(Section):
    """Tolerance of faults before a run ends.

    skips: steps left out in any `window` of them because a loss or gradient was not finite. rollbacks:
    roll-backs to the state saved every `keep_every` steps. saved_batches: faulty batches saved on disk.
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


class Peer(Section):
    """A network that is not ours: the class at `network` ("package.module:Class") called with `arguments`.

    It takes images in [0, 1] and gives them enlarged by the preset's scale. multiple: the image is padded to
    sides that are multiples of it; channels_last: memory format in which it runs.
    """

    network: Annotated[str, Field(min_length=1)]
    arguments: dict[str, Any] = {}
    multiple: Positive = 1
    channels_last: bool = True


class Hardware(Section):
    """Devices and precision, in the terms of Lightning Fabric.

    devices: processes on this machine, one a device; nodes: machines; they share every batch. accumulate:
    parts that a process cuts its share into, one after another. compile: torch.compile the network.
    recompute: compute activations twice instead of keeping them; null does so for the presets base and
    large, unless compiled.
    """

    accelerator: str = "auto"
    devices: Positive = 1
    nodes: Positive = 1
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accumulate: Positive = 1
    compile: bool = False
    recompute: bool | None = None
    threads: Positive | None = None
    deterministic: bool = True
