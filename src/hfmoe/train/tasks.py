"""The recipe's tasks: how samples are mixed and degraded, and how both change over the run."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_serializer, model_validator

from hfmoe.data.degradations import BSRGAN, REAL_ESRGAN, Shuffled, TwoRounds
from hfmoe.data.fields import Lasting, Section, Share
from hfmoe.data.tasks import BlurKind, Camera, Compressed, Deblur, Denoise, Photo, SuperResolution, Task

Span = tuple[float, float]


def _as_growth(value: Any) -> Any:
    """A number stands for both ends of a range, a range for one that does not change."""
    if isinstance(value, dict):
        return {name: _as_range(item) if name in ("from", "to") else item for name, item in value.items()}
    return value if isinstance(value, Growth) else {"from": _as_range(value), "to": _as_range(value)}


def _as_range(value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (value, value) if number else value


class Growth(Section):
    """A range that moves in a straight line from one place to another between two shares of the run."""

    first: Span = Field(alias="from")
    last: Span = Field(alias="to")
    start: Share = 0.0
    until: Share = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> "Growth":
        for low, high in (self.first, self.last):
            if not 0 <= low <= high:
                raise ValueError(f"a range [{low:g}, {high:g}] must go upward from at least 0")
        if self.start > self.until:
            raise ValueError(f"start {self.start} must not be after until {self.until}")
        return self

    @model_serializer
    def _plain(self) -> dict[str, Any]:
        if self.first == self.last:
            return {"from": self.first, "to": self.last}
        return {"from": self.first, "to": self.last, "start": self.start, "until": self.until}

    def at(self, share: float) -> Span:
        """Give the range at a share of the run."""
        length = self.until - self.start
        done = min(1.0, max(0.0, (share - self.start) / length)) if length else float(share >= self.until)
        low, high = (a + (b - a) * done for a, b in zip(self.first, self.last, strict=True))
        return low, high

    def number(self, share: float) -> float:
        """Give the middle of the range at a share of the run: the number, where one was given."""
        return sum(self.at(share)) / 2

    def moves(self, share: float) -> bool:
        """Tell whether it changes right after a share of the run."""
        return self.first != self.last and self.start <= share < self.until


Growing = Annotated[Growth, BeforeValidator(_as_growth)]


def _as_quality(growth: Growth) -> Growth:
    for low, high in (growth.first, growth.last):
        if not 1 <= low <= high <= 100:
            raise ValueError(f"quality [{low:g}, {high:g}] must lie in [1, 100]")
    return growth


Quality = Annotated[Growing, AfterValidator(_as_quality)]


def fixed(low: float, high: float | None = None) -> Growth:
    """Give a range that stays."""
    span = (low, low if high is None else high)
    return Growth.model_validate({"from": span, "to": span})


class TaskSection(Lasting):
    """What all tasks have: a weight in the mixture, and the shares of the run between which they are in."""

    weight: Growing = fixed(1.0)


class SuperResolutionTask(TaskSection):
    """Classical super-resolution of photos that bicubic made small."""

    kind: Literal["sr"] = "sr"

    def at(self, share: float) -> Task:
        """Give the task at a share of the run."""
        return SuperResolution()


class DenoiseTask(TaskSection):
    """Gaussian noise of a `sigma` of 255; see hfmoe.data.tasks.Denoise."""

    kind: Literal["denoise"]
    sigma: Growing = fixed(0.0, 55.0)
    gray: Share = 0.0
    sensor: Share = 0.0
    rounded: Share = 0.0

    def at(self, share: float) -> Task:
        """Give the task at a share of the run."""
        return Denoise(self.sigma.at(share), gray=self.gray, sensor=self.sensor, rounded=self.rounded)


class DeblurTask(TaskSection):
    """Gaussian, motion and defocus blur in pixels of the target; see hfmoe.data.tasks.Deblur."""

    kind: Literal["deblur"]
    kinds: Annotated[tuple[BlurKind, ...], Field(min_length=1)] = ("gaussian", "motion", "defocus")
    sigma: Growing = fixed(0.2, 3.0)
    length: Growing = fixed(3.0, 15.0)
    radius: Growing = fixed(0.5, 4.0)
    noise: Growing = fixed(0.0, 2.0)

    def at(self, share: float) -> Task:
        """Give the task at a share of the run."""
        ranges = (self.sigma, self.length, self.radius, self.noise)
        return Deblur(self.kinds, *(growth.at(share) for growth in ranges))


class JpegTask(TaskSection):
    """JPEG of a `quality` of 1 to 100; see hfmoe.data.tasks.Compressed."""

    kind: Literal["jpeg"]
    quality: Quality = fixed(5.0, 95.0)
    subsampling: Share = 0.5
    webp: Share = 0.0

    def at(self, share: float) -> Task:
        """Give the task at a share of the run."""
        return Compressed(self.quality.at(share), subsampling=self.subsampling, webp=self.webp)


class CameraTask(TaskSection):
    """A sensor's noise of about `sigma` of 255, developed, and JPEG; see hfmoe.data.tasks.Camera."""

    kind: Literal["camera"]
    sigma: Growing = fixed(0.0, 30.0)
    quality: Quality = fixed(75.0, 98.0)
    subsampling: Share = 0.5

    def at(self, share: float) -> Task:
        """Give the task at a share of the run."""
        return Camera(self.sigma.at(share), self.quality.at(share), subsampling=self.subsampling)


class PhotoTask(TaskSection):
    """A published chain of degradations; `strength` 1 is as published, 0 leaves next to nothing.

    second: share of photos with the second of Real-ESRGAN's rounds; webp: share of files that are WebP.
    """

    kind: Literal["photo"]
    chain: Literal["real-esrgan", "bsrgan"] = "real-esrgan"
    strength: Growing = fixed(1.0)
    second: Growing = fixed(1.0)
    webp: Share = 0.0

    @model_validator(mode="after")
    def _shares(self) -> "PhotoTask":
        for name in ("strength", "second"):
            growth: Growth = getattr(self, name)
            if max(*growth.first, *growth.last) > 1:
                raise ValueError(f"{name} must lie in [0, 1]")
        if self.chain == "bsrgan" and self.second != fixed(1.0):
            raise ValueError("second is a share of real-esrgan's second rounds; bsrgan has none")
        return self

    def at(self, share: float) -> Task:
        """Give the task at a share of the run."""
        return Photo(chain_at(self, share))


def chain_at(task: PhotoTask, share: float) -> TwoRounds | Shuffled:
    """Give the chain of degradations at a share of the run."""
    strength = task.strength.number(share)
    if task.chain == "bsrgan":
        return replace(BSRGAN.softened(strength), webp=task.webp)
    return replace(REAL_ESRGAN.softened(strength), webp=task.webp, twice=task.second.number(share))


AnyTask = SuperResolutionTask | DenoiseTask | DeblurTask | JpegTask | CameraTask | PhotoTask
TaskOfKind = Annotated[AnyTask, Field(discriminator="kind")]
