"""Studies: typed, frozen, complete; read from YAML with overrides, unknown fields refused by name."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from hfmoe.bench.timing import LEAST_RUNS
from hfmoe.data.fields import Positive, Section
from hfmoe.evaluate.protocols import NAMES
from hfmoe.train.fields import TrainingPlace
from hfmoe.train.loading import RecipeError, apply, problems_of, read_fields


class StudyError(ValueError):
    """A study that cannot be read, or that says something it must not say."""


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _without_none(value: Any) -> Any:
    """Take variants that the YAML file leaves empty as changing nothing."""
    if not isinstance(value, dict):
        return value
    return {name: {} if change is None else change for name, change in value.items()}


class Budget(Section):
    """Budget of every run: steps, or seconds of processor time that go into its steps."""

    steps: Positive | None = None
    processor_seconds: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one(self) -> "Budget":
        if (self.steps is None) == (self.processor_seconds is None):
            raise ValueError("budget must have either steps or processor_seconds")
        return self

    def words(self) -> str:
        """Return the budget in words."""
        if self.steps is not None:
            return f"{self.steps:,} steps"
        return f"{self.processor_seconds:g} s of processor time"


class Scoring(Section):
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
    def _fits(self) -> "Scoring":
        if self.protocol is not None and self.protocol not in NAMES:
            raise ValueError(f"protocol {self.protocol!r} must be one of {', '.join(NAMES)}")
        if self.metric in ("lpips", "dists") and getattr(self, self.metric) is None:
            raise ValueError(f"metric {self.metric} needs its weights: give {self.metric}")
        return self


class Timing(Section):
    """Measurement of the latency of all variants, in turn: side of the square input, runs, threads."""

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
    evaluate: Scoring = Scoring()
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
        """Return how many seeds each variant has, as "3 seeds"."""
        return f"{len(self.seeds)} seed{'s' * (len(self.seeds) > 1)}"

    @property
    def folder(self) -> Path:
        """The folder that holds everything: runs, tables, pictures."""
        return self.run or Path("runs") / "studies" / self.name


def load_study(
    path: Path, overrides: Mapping[str, str] | None = None, *, peers: Mapping[str, Any] | None = None
) -> Study:
    """Read a study and put overrides such as {"budget.steps": "100"} in place; `peers` are further variants.

    A recipe that it names is read as well, so that the study holds all fields. Raises StudyError that names
    the file and every wrong field.
    """
    try:
        data = apply(read_fields(path, kind="study"), overrides or {})
        if peers and isinstance(data.get("variants"), Mapping):
            doubled = [name for name in peers if name in data["variants"]]
            if doubled:
                raise StudyError(f"there is a variant {doubled[0]} already: --network cannot add another")
            data["variants"] = {**data["variants"], **peers}
        study = make_study(data)
        if isinstance(study.recipe, str):
            recipe = read_fields(path.parent / study.recipe, kind="recipe")
            study = study.model_copy(update={"recipe": recipe})
    except (RecipeError, StudyError) as error:
        named = str(path) in str(error)
        raise StudyError(str(error) if named else f"study {path}: {error}") from error
    return study


def make_study(data: Mapping[str, Any]) -> Study:
    """Check plain values against the fields of a study. Raises StudyError naming each wrong one."""
    try:
        return Study.model_validate(data)
    except ValidationError as error:
        raise StudyError("; ".join(problems_of(error, Study))) from error


def peer_variants(networks: Sequence[str], arguments: Sequence[str]) -> dict[str, Any]:
    """Make variants of networks named on a command line, called by their classes.

    `arguments` are YAML mappings, none or one for each network. Raises StudyError.
    """
    if arguments and len(arguments) != len(networks):
        raise StudyError(
            f"{len(arguments)} arguments for {len(networks)} networks: give one for each, or none"
        )
    variants: dict[str, Any] = {}
    for place, network in enumerate(networks):
        values = _mapping(arguments[place]) if arguments else {}
        name = network.rpartition(":")[2]
        while name in variants:
            name += "-again"
        variants[name] = {"network": network, "arguments": values}
    return variants


def _mapping(text: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise StudyError(f"arguments {text!r} are not YAML") from error
    if not isinstance(values, dict):
        raise StudyError(f"arguments {text!r} must be a mapping such as '{{dim: 32}}'")
    return values
