"""Metadata of model files: configuration and facts as JSON, read and written without torch."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from hfmoe.models.config import HFMoEConfig

FORMAT = 1
METADATA_KEY = "hfmoe"
TASKS = ("sr", "denoise", "jpeg", "photo")
SUFFIX = ".safetensors"
HUB_FILE = "model.safetensors"
"""Name of the weights in a repository of the Hugging Face hub, and in a folder like one."""


class WeightsError(ValueError):
    """A weights file or model name that cannot be used; the message is one line and names it."""


@dataclass(frozen=True)
class ModelFacts:
    """Facts about trained weights.

    name: preset or chosen name; task: one of TASKS; recipe: the training recipe as plain values;
    scores: e.g. {"Set5 psnr_y": 30.7}; licence: of the weights; code: code_version() at training;
    date: ISO 8601; teachers: networks whose results they learned from, by name, each with its licence, the
    sha256 of its file and the share of the photos that it had.
    """

    name: str
    task: str = "sr"
    recipe: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    licence: str = ""
    code: str = ""
    date: str = ""
    notes: str = ""
    teachers: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"task {self.task!r} must be one of {', '.join(TASKS)}")


class Header(NamedTuple):
    """The metadata of a weights file, without its tensors; `export` is what an exported one adds."""

    config: HFMoEConfig
    facts: ModelFacts
    export: Mapping[str, Any] = {}

    @property
    def precision(self) -> str:
        """Of an exported file; fp32 where it is not said."""
        return str(self.export.get("precision", "fp32"))


_Built = TypeVar("_Built", HFMoEConfig, ModelFacts)


def header_text(config: HFMoEConfig, facts: ModelFacts, **more: object) -> str:
    """Return the metadata as JSON; `more` are tables that `parse_header` passes over."""
    known = {name: value for name, value in asdict(facts).items() if name != "teachers" or value}
    header = {"format": FORMAT, "config": asdict(config), "facts": known, **more}
    return json.dumps(header, sort_keys=True)


def shipped() -> dict[str, Path]:
    """Weights that come with the package, by name."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "shipped").glob(f"*{SUFFIX}"))}


def find_weights(name_or_path: str | Path) -> Path:
    """Path of shipped weights by name, of a file, of a folder's model.safetensors, or of hf://owner/name,
    which is fetched; else WeightsError with the known names."""
    known = shipped()
    if (name := str(name_or_path)) in known:
        return known[name]
    if name.startswith("hf://"):
        from hfmoe.models.hub import fetch

        return fetch(name)
    path = Path(name_or_path)
    if path.is_file():
        return path
    if (path / HUB_FILE).is_file():
        return path / HUB_FILE
    if path.is_dir():
        raise WeightsError(f"{path} is a folder, not a weights file")
    if path.suffix or len(path.parts) > 1:
        raise WeightsError(f"{path}: no such weights file")
    raise WeightsError(f"{name!r} is neither a weights file nor a model that ships{suggest(name, known)}")


def suggest(name: str, known: Iterable[str]) -> str:
    """End of an error sentence: the nearest known name, then all of them."""
    names = sorted(known)
    nearest = get_close_matches(name, names, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    return f"{hint} (known: {', '.join(names) or 'none'})"


def file_sha256(path: Path | str) -> str:
    """sha256 (hex) of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_header(path: Path, text: str) -> Header:
    """Configuration and facts in the text that `header_text` made; `path` is named in the WeightsError.

    A field that the text does not have, since it was written before there was one, takes its default.
    """
    try:
        header = json.loads(text)
        stored, config, facts = header["format"], header["config"], header["facts"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: its hfmoe metadata is damaged ({one_line(error)})") from error
    if stored != FORMAT:
        raise WeightsError(f"{path} has format {stored!r}; this version of hfmoe reads format {FORMAT}")
    export = header.get("export", {})
    if not isinstance(export, Mapping):
        raise WeightsError(f"{path}: export in its metadata must be a table")
    return Header(_build(HFMoEConfig, config, path), _build(ModelFacts, facts, path), export)


def _build(kind: type[_Built], values: object, path: Path) -> _Built:
    if not isinstance(values, Mapping):
        raise WeightsError(f"{path}: {kind.__name__} in its metadata must be a table")
    optional = [item.name for item in fields(kind) if item.name != "name"]
    known = {item.name for item in fields(kind)}
    match_names(path, f"{kind.__name__} field", known, set(values), optional=optional)
    if kind is ModelFacts:
        _check_kinds(values, path)
    try:
        return kind(**(_tuples(values) if kind is HFMoEConfig else values))
    except (TypeError, ValueError, ArithmeticError) as error:
        raise WeightsError(f"{path}: {kind.__name__} is not valid: {one_line(error)}") from error


def _check_kinds(facts: Mapping[str, Any], path: Path) -> None:
    for name, value in facts.items():
        kind = dict if name in ("recipe", "scores", "teachers") else str
        if not isinstance(value, kind):
            raise WeightsError(f"{path}: {name} {value!r} in its metadata must be a {kind.__name__}")
    for name, value in facts["scores"].items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise WeightsError(f"{path}: scores {name!r} {value!r} in its metadata must be a number")


def _tuples(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {name: _tuples(value) for name, value in values.items()}
    return tuple(_tuples(value) for value in values) if isinstance(values, list) else values


def match_names(
    path: Path, what: str, expected: set[str], found: set[str], *, optional: Collection[str] = ()
) -> None:
    """WeightsError with the names that are unknown, or missing and not optional."""
    for problem, names in (("unknown", found - expected), ("missing", expected - found - set(optional))):
        if names:
            listed = ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            raise WeightsError(f"{path}: {problem} {what} {listed}")


def one_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
