"""The loss terms of a recipe: each kind has the fields that it needs, and no others."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hfmoe.data.fields import NotNegative, Scheduled
from hfmoe.losses.adversarial import Form
from hfmoe.losses.perceptual import LAYERS, layer_names
from hfmoe.models.features import Depth


class Timed(Scheduled):
    """A weighted loss, active from one share of the run until another.

    At weight 0 it is computed for the log and gives no gradient.
    """

    weight: NotNegative = 1.0

    def least_side(self) -> int:
        """Give the smallest side of restored images that the loss can judge, in pixels."""
        return 1

    def active(self, share: float) -> bool:
        """Tell whether the loss counts at a share of the run."""
        return self.start <= share < self.until


class PixelTerm(Timed):
    """A loss without fields of its own."""

    kind: Literal["l1", "mse", "fft"]


class CharbonnierTerm(Timed):
    """Smooth L1 with the width of its smooth part."""

    kind: Literal["charbonnier"]
    epsilon: Annotated[float, Field(gt=0)] = 1e-3


class LaplacianTerm(Timed):
    """L1 on a Laplacian pyramid with so many bands, the coarsest included."""

    kind: Literal["laplacian"]
    levels: Annotated[int, Field(ge=2, le=12)] = 4

    def least_side(self) -> int:
        """Every low-pass needs two pixels a side."""
        return 2 ** (self.levels - 2) + 1


class HighBandTerm(Timed):
    """L1 with the high band of the error weighted: the specification's HF weight."""

    kind: Literal["high_band"]
    high_weight: NotNegative = 2.0

    def least_side(self) -> int:
        """The low-pass needs two pixels a side."""
        return 2


class PerceptualTerm(Timed):
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
        """Give the weight of every layer that counts."""
        return self.layers or LAYERS[self.network]

    def least_side(self) -> int:
        """Every pooling before the deepest layer halves the image."""
        return 2 ** (max(int(name[4]) for name in self.layer_weights()) - 1)


class AdversarialTerm(Timed):
    """What the discriminator says; it is trained while such a term is active, whatever its weight."""

    kind: Literal["adversarial"]
    weight: NotNegative = 0.1
    form: Form = "vanilla"

    def least_side(self) -> int:
        """The discriminator halves the image three times."""
        return 8


Term = Annotated[
    PixelTerm | CharbonnierTerm | LaplacianTerm | HighBandTerm | PerceptualTerm | AdversarialTerm,
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
        if one.kind == other.kind and max(one.start, other.start) < min(one.until, other.until):
            raise ValueError(
                f"loss terms of kind {one.kind} overlap in time; give one with the sum of weights"
            )
    for term in terms:
        if side < (least := term.least_side()):
            raise ValueError(f"loss {term.kind} needs patches of at least {least} target pixels, not {side}")


def opposing_form(terms: Sequence[Term], share: float) -> Form | None:
    """Give the form in which a discriminator is trained at a share of the run; None while it is not."""
    for term in terms:
        if isinstance(term, AdversarialTerm) and term.active(share):
            return term.form
    return None


def fullest_share(terms: Sequence[Term]) -> float:
    """Give the first share of the run at which the most terms are active."""
    starts = sorted({term.start for term in terms})
    return max(starts, key=lambda share: sum(term.active(share) for term in terms))
