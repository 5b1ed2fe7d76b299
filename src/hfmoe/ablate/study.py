"""What a study is: typed, frozen, complete; unknown fields are refused."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from hfmoe.bench.timing import LEAST_RUNS
from hfmoe.data.fields import Positive, Section
from hfmoe.evaluate.choice import NAMES
from hfmoe.train.fields import TrainingPlace


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _without_none(value: Any) -> Any:
    """Take variants that the YAML file leaves empty as changing nothing."""
    if not isinstance(value, dict):
        return value
    return {name: {} if change is None else change for name, change in value.items()}


class Budget(Section):
    """What every run may take: steps, or seconds of processor time that go into its steps."""

    steps: Positive | None = None
    processor_seconds: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one(self) -> "Budget":
        if (self.steps is None) == (self.processor_seconds is None):
            raise ValueError("budget must have either steps or processor_seconds")
        return self

    def words(self) -> str:
        """Say the budget."""
        if self.steps is not None:
            return f"{self.steps:,} steps"
        return f"{self.processor_seconds:g} s of processor time"


class Evaluation(Section):
    """On what, and how, every run is scored: sets are folders by name; other fields as `hfmoe evaluate`.

    Without a protocol it is that of the task. lpips, dists: weights of these scores.
    """

    sets: dict[str, Path] = {}
    protocol: str | None = None
    sigma: Annotated[float, Field(gt=0, le=255)] = 25.0
    quality: Annotated[int, Field(ge=1, le=100)] = 10
    targets: Path | None = None
    suffixes: tuple[str, str] = ("_real", "_mean")
    metric: Literal["psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb", "lpips", "dists"] | None = None
    lpips: Path | None = None
    dists: Path | None = None

    @model_validator(mode="after")
    def _fits(self) -> "Evaluation":
        if self.protocol is not None and self.protocol not in NAMES:
            raise ValueError(f"protocol {self.protocol!r} must be one of {', '.join(NAMES)}")
        if self.metric in ("lpips", "dists") and getattr(self, self.metric) is None:
            raise ValueError(f"metric {self.metric} needs its weights: give {self.metric}")
        return self


class Timing(Section):
    """How the latency of all variants is measured, in turn: side of the square input, runs, threads."""

    size: Annotated[int, Field(ge=16, le=4096)] = 256
    rounds: Annotated[int, Field(ge=LEAST_RUNS)] = 15
    seconds: Annotated[float, Field(gt=0)] = 20.0
    threads: Positive = 1
    clock: Literal["wall", "cpu"] = "cpu"


class Study(Section):
    """Variants of a recipe, each trained with every seed under the same budget, and compared with `base`.

    Attributes:
        recipe: a recipe file, as seen from the study's file, or its fields.
        fields: recipe fields of every run, such as {"optimizer.lr": 1e-3}.
        variants: by name, what each changes: recipe fields (dotted or nested), `ablation`: names of
            hfmoe.models.presets.ABLATIONS, `about`: a remark; or the name of an ablation alone. A network
            that is not ours is `network: package.module:Class` with `arguments`.
        base: what the others are compared with; by default the first.
        train: photos to learn from; by default the recipe's. validation: photos of the curves.
        run: the folder that holds everything.
    """

    name: Annotated[str, Field(min_length=1)]
    about: str = ""
    recipe: Any
    fields: dict[str, Any] = {}
    variants: Annotated[dict[str, Any], BeforeValidator(_without_none), Field(min_length=1)]
    base: str | None = None
    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_listed), Field(min_length=1)
    ] = (0, 1, 2)
    budget: Budget
    train: Annotated[tuple[TrainingPlace, ...], BeforeValidator(_listed)] = ()
    validation: TrainingPlace | None = None
    evaluate: Evaluation = Evaluation()
    latency: Timing = Timing()
    run: Path | None = None

    @field_validator("recipe")
    @classmethod
    def _is_recipe(cls, recipe: Any) -> Any:
        if not isinstance(recipe, str | dict):
            raise ValueError("it must be a recipe file or the fields of a recipe")
        return recipe

    @field_validator("variants")
    @classmethod
    def _are_variants(cls, variants: dict[str, Any]) -> dict[str, Any]:
        for name, change in variants.items():
            if not isinstance(change, str | dict):
                raise ValueError(f"variant {name!r} must be fields of a recipe or the name of an ablation")
            if not name or name.startswith(".") or set(name) & set('/\\:*?"<>| \n'):
                raise ValueError(f"variant {name!r} must be a name that a folder can have, without spaces")
        return variants

    @model_validator(mode="after")
    def _fits(self) -> "Study":
        if self.base is not None and self.base not in self.variants:
            raise ValueError(f"base {self.base!r} must be one of {', '.join(self.variants)}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} must be different")
        return self

    @property
    def reference(self) -> str:
        """The variant that the others are compared with."""
        return self.base or next(iter(self.variants))

    def seeds_in_words(self) -> str:
        """How many seeds each variant has, as "3 seeds"."""
        return f"{len(self.seeds)} seed{'s' * (len(self.seeds) > 1)}"

    @property
    def folder(self) -> Path:
        """The folder that holds everything: runs, tables, pictures."""
        return self.run or Path("runs") / "studies" / self.name
