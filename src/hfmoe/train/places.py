"""Where a recipe's photos lie: a folder, tar shards, or two folders whose images are pairs."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator

from hfmoe.data import PairedFolders
from hfmoe.data.sources import Place, is_shard


def _place(value: Any) -> Place:
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


def _plain(place: Place) -> Any:
    if isinstance(place, PairedFolders):
        return {name: str(folder) for name, folder in place._asdict().items()}
    return str(place)


TrainingPlace = Annotated[Place, PlainValidator(_place), PlainSerializer(_plain)]


def may_hold_pairs(place: Place) -> bool:
    """Tell whether photos of a place can come with their degraded sides."""
    return isinstance(place, PairedFolders) or is_shard(place)
