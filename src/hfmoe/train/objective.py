"""The objective: loss terms of a recipe, each a section with its function, and their weighted sum."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from hfmoe.data import Pair
from hfmoe.data.fields import NotNegative, Positive, Scheduled
from hfmoe.losses import (
    charbonnier,
    fft_l1,
    generator_loss,
    grid_l1,
    high_band_l1,
    l1,
    laplacian_l1,
    mse,
    perceptual,
)
from hfmoe.losses.adversarial import Form
from hfmoe.losses.perceptual import LAYERS, layer_names
from hfmoe.metrics.lpips import SMALLEST
from hfmoe.metrics.weights import load_lpips
from hfmoe.models.features import Depth
from hfmoe.models.header import WeightsError
from hfmoe.models.network import Restored
from hfmoe.train.vgg_weights import read_features

Loss = Callable[[Tensor, Tensor], Tensor]
"""A function of (restored, target)."""

Discriminate = Callable[[Tensor], Tensor]
"""Returns the logits of a discriminator, none of whose weights gets a gradient from that."""

PIXEL_LOSSES: Mapping[str, Loss] = {"l1": l1, "mse": mse, "fft": fft_l1}


class LossTerm(Scheduled):
    """A weighted loss, active from one share of the run until another.

    against: what the restored image is held against: the truth, or a teacher's result (`hfmoe label`), for
    which the truth stands where a photo has none. tasks: factors of the weight by the kind of an image's
    task, 1 where they name none. crop: side of a square, drawn at random in each step, outside of which
    pixels do not count. At weight 0 a loss is computed for the log and gives no gradient.
    """

    kind: str
    weight: NotNegative = 1.0
    against: Literal["truth", "teacher"] = "truth"
    tasks: dict[str, NotNegative] = {}
    crop: Positive | None = None

    @property
    def name(self) -> str:
        """The loss in the log."""
        return f"{self.kind}_teacher" if self.against == "teacher" else self.kind

    def reference(self, pair: Pair) -> Float[Tensor, "b c h w"]:
        """Choose what restored images are held against."""
        if self.against == "truth":
            return pair.target
        if pair.teacher is None:
            raise TypeError(f"loss {self.name} needs a teacher's results")
        return pair.teacher

    def groups(self, tasks: Sequence[str]) -> Mapping[float, list[int] | slice]:
        """Group the places of a batch by the weight that their tasks give them."""
        if not self.tasks:
            return {self.weight: slice(None)}
        groups: dict[float, list[int]] = {}
        for place, task in enumerate(tasks):
            groups.setdefault(self.weight * self.tasks.get(task, 1.0), []).append(place)
        return groups

    def least_side(self) -> int:
        """Return the smallest side of restored images that the loss can be computed on, in pixels."""
        return 1

    def active(self, share: float) -> bool:
        """Return whether the loss counts at a share of the run."""
        return self.start <= share < self.until

    def build(self, *, device: torch.device, discriminate: Discriminate | None) -> Loss:
        """Return the term's function; adversarial terms alone ask `discriminate`."""
        raise NotImplementedError


class LPIPSTerm(LossTerm):
    """LPIPS through the backbone whose weights the file holds (`hfmoe.metrics.weights` makes it)."""

    kind: Literal["lpips"]
    weights: Path

    def least_side(self) -> int:
        """AlexNet needs the most pixels."""
        return max(SMALLEST.values())

    def build(self, *, device: torch.device, discriminate: Discriminate | None) -> Loss:
        """Read the weights and return the mean distance. Raises WeightsError."""
        try:
            network = load_lpips(self.weights).to(device)
        except ValueError as error:
            raise WeightsError(str(error)) from error
        return lambda restored, reference: network(restored, reference).mean()


class PixelTerm(LossTerm):
    """A loss without fields of its own."""

    kind: Literal["l1", "mse", "fft"]

    def build(self, *, device: torch.device, discriminate: Discriminate | None) -> Loss:
        """Return one of the pixel losses."""
        return PIXEL_LOSSES[self.kind]


class CharbonnierTerm(LossTerm):
    """Smooth L1 with the width of its smooth part."""

    kind: Literal["charbonnier"]
    epsilon: Annotated[float, Field(gt=0)] = 1e-3

    def build(self, *, device: torch.device, discriminate: Discriminate | None) -> Loss:
        """Return the Charbonnier loss."""
        return partial(charbonnier, epsilon=self.epsilon)


class GridTerm(LossTerm):
    """The part of the error that repeats with a period, in pixels: that of the pixel shuffle."""

    kind: Literal["grid"]
    period: Annotated[int, Field(ge=2)] = 4

    def least_side(self) -> int:
        """A pattern needs two periods."""
        return 2 * self.period

    def build(self, *, device: torch.device, discriminate: Discriminate | None) -> Loss:
        """Return the penalty."""
        return partial(grid_l1, period=self.period)


class LaplacianTerm(LossTerm):
    """L1 on a Laplacian pyramid with so many bands, the coarsest included."""

    kind: Literal["laplacian"]
    levels: Annotated[int, Field(ge=2, le=12)] = 4

    def least_side(self) -> int:
        """Every low-pass needs two pixels a side."""
        return 2 ** (self.levels - 2) + 1

    def build(self, *, device: torch.device, discriminate: Discriminate | None) -> Loss:
        """Return the loss of the pyramid."""
        return partial(laplacian_l1, levels=self.levels)


class HighBandTerm(LossTerm):
    """L1 with the high band of the error weighted: the specification's HF weight."""

    kind: Literal["high_band"]
    high_weight: NotNegative = 2.0

    def least_side(self) -> int:
        """The low-pass needs two pixels a side."""
        return 2

    def build(self, *, device: torch.device, discriminate: Discriminate | None) -> Loss:
        """Return the weighted L1."""
        return partial(high_band_l1, high_weight=self.high_weight)


class PerceptualTerm(LossTerm):
    """Distance of VGG features; `weights` is a file of torchvision's, or one with its names in safetensors.

    layers: weight by name, such as {conv3_4: 1.0}; by default the last convolution of every block.
    """

    kind: Literal["perceptual"]
    weights: Path
    network: Depth = "vgg19"
    layers: dict[str, NotNegative] = {}

    @model_validator(mode="after")
    def _exist(self) -> "PerceptualTerm":
        known = layer_names(self.network)
        if unknown := [name for name in self.layers if name not in known]:
            raise ValueError(f"layer {unknown[0]!r} must be one of {', '.join(known)}")
        return self

    def layer_weights(self) -> Mapping[str, float]:
        """Return the weight of every layer that counts."""
        return self.layers or LAYERS[self.network]

    def least_side(self) -> int:
        """Every pooling before the deepest layer halves the image."""
        return 2 ** (max(int(name[4]) for name in self.layer_weights()) - 1)

    def build(self, *, device: torch.device, discriminate: Discriminate | None) -> Loss:
        """Read the features and return their distance. Raises WeightsError."""
        weights = self.layer_weights()
        network = read_features(self.weights, self.network, weights).to(device)
        return partial(perceptual, network=network, weights=weights)


class AdversarialTerm(LossTerm):
    """The generator's loss against a discriminator, which is trained while such a term is active."""

    kind: Literal["adversarial"]
    weight: NotNegative = 0.1
    form: Form = "vanilla"

    def least_side(self) -> int:
        """The discriminator halves the image three times."""
        return 8

    def build(self, *, device: torch.device, discriminate: Discriminate | None) -> Loss:
        """Return the generator's loss against the discriminator."""
        if discriminate is None:
            raise TypeError("an adversarial term needs a discriminator")
        return partial(adversarial, discriminate=discriminate, form=self.form)


Term = Annotated[
    PixelTerm
    | CharbonnierTerm
    | LaplacianTerm
    | HighBandTerm
    | GridTerm
    | PerceptualTerm
    | LPIPSTerm
    | AdversarialTerm,
    Field(discriminator="kind"),
]


def check_terms(terms: Sequence[Term], *, side: int) -> None:
    """ValueError where a part of the run has no loss, a kind counts twice at once, or images are too small.

    side: the smallest side of a restored image in training, in pixels.
    """
    moments = sorted({0.0, *(term.until for term in terms if term.until < 1)})
    if any(not any(term.active(moment) for term in terms) for moment in moments):
        raise ValueError("loss terms leave a part of the run without any loss")
    for one, other in combinations(terms, 2):
        if one.name == other.name and max(one.start, other.start) < min(one.until, other.until):
            raise ValueError(
                f"loss terms of kind {one.kind} overlap in time; give one with the sum of weights"
            )
    for term in terms:
        given = min(side, term.crop or side)
        if given < (least := term.least_side()):
            what = "patches" if given == side else "a crop"
            raise ValueError(f"loss {term.kind} needs {what} of at least {least} target pixels, not {given}")


def adversarial_term(terms: Sequence[Term], share: float) -> AdversarialTerm | None:
    """Return the term for which a discriminator is trained at a share of the run; None while it is not."""
    found = (term for term in terms if isinstance(term, AdversarialTerm) and term.active(share))
    return next(found, None)


def fullest_share(terms: Sequence[Term]) -> float:
    """Return the first share of the run at which the most terms are active."""
    starts = sorted({term.start for term in terms})
    return max(starts, key=lambda share: sum(term.active(share) for term in terms))


class ActiveLoss(NamedTuple):
    """A term and its function."""

    term: Term
    loss: Loss


@dataclass(frozen=True)
class Objective:
    """Weighted losses of the image, and the weights of the router's balance and z losses.

    generator: draws the places of the crops that terms look at; the middle without one.
    """

    losses: tuple[ActiveLoss, ...]
    balance_weight: float
    z_weight: float
    generator: torch.Generator | None = None

    def __call__(self, restored: Restored, pair: Pair) -> dict[str, Tensor]:
        """Return each term unweighted by name (with no gradient at weight 0) and the weighted sum "total"."""
        image = restored.image.float()
        values = {"balance": restored.balance, "z": restored.z}
        total = self.balance_weight * restored.balance + self.z_weight * restored.z
        for term, loss in self.losses:
            ours, theirs = cropped(image, term.reference(pair), side=term.crop, generator=self.generator)
            shares = []
            for weight, places in term.groups(pair.tasks).items():
                with torch.set_grad_enabled(weight > 0 and torch.is_grad_enabled()):
                    part = loss(ours[places], theirs[places]) * (len(ours[places]) / len(ours))
                total = total + weight * part if weight else total
                shares.append(part)
            values[term.name] = torch.stack(shares).sum()
        return {"total": total, **values}


def cropped(
    *images: Float[Tensor, "b c h w"], side: int | None, generator: torch.Generator | None
) -> tuple[Tensor, ...]:
    """Cut the same square out of images of one size, at random, or out of the middle without a generator.

    A side that is None or larger than the images leaves them as they are.
    """
    height, width = images[0].shape[-2:]
    if side is None or side >= min(height, width):
        return images
    rooms = (height - side + 1, width - side + 1)
    if generator is None:
        top, left = (room // 2 for room in rooms)
    else:
        top, left = (int(torch.randint(room, (), generator=generator)) for room in rooms)
    return tuple(image[..., top : top + side, left : left + side] for image in images)


def check_losses(terms: Sequence[Term]) -> None:
    """Raise WeightsError for features whose file is not there: asked before the photos are read."""
    for term in terms:
        if isinstance(term, PerceptualTerm) and not term.weights.is_file():
            raise WeightsError(f"{term.weights} is no file; `hfmoe download {term.network}` fetches it")
        if isinstance(term, LPIPSTerm) and not term.weights.is_file():
            raise WeightsError(f"{term.weights} is no file; python -m hfmoe.metrics.weights makes it")


def build_losses(
    terms: Sequence[Term], *, device: torch.device, discriminate: Discriminate | None
) -> tuple[Loss, ...]:
    """Build the loss of each term, in their order. Raises WeightsError for features.

    `discriminate` may be None where no term is adversarial.
    """
    return tuple(term.build(device=device, discriminate=discriminate) for term in terms)


def adversarial(
    restored: Float[Tensor, "b c h w"],
    target: Float[Tensor, "b c h w"],
    *,
    discriminate: Discriminate,
    form: Form,
) -> Float[Tensor, ""]:
    """Compute the generator's loss; the logits of targets carry no gradient."""
    fake = discriminate(restored)
    with torch.no_grad():
        real = discriminate(target) if form == "relativistic" else None
    return generator_loss(fake, real, form=form)


def objective_at(
    share: float,
    terms: Sequence[Term],
    losses: Sequence[Loss],
    *,
    balance_weight: float = 0.0,
    z_weight: float = 0.0,
    generator: torch.Generator | None = None,
) -> Objective:
    """Choose the terms that are active at a share of the run; `losses` are those of build_losses."""
    active = [pair for pair in zip(terms, losses, strict=True) if pair[0].active(share)]
    return Objective(tuple(ActiveLoss(*pair) for pair in active), balance_weight, z_weight, generator)
