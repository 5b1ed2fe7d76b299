"""Test sets as they are named on a command line: NAME[@PROTOCOL][:STRENGTH]=FOLDER."""

from pathlib import Path
from typing import NamedTuple

from hfmoe.evaluate.protocols import EvaluationProtocol, ProtocolSettings, choose_protocol, default_protocol
from hfmoe.models.weights import Loaded


class TestSet(NamedTuple):
    """A folder, the protocol it is scored by, and its title, such as "CBSD68 25"."""

    title: str
    folder: Path
    protocol: EvaluationProtocol


def read_set(entry: str, loaded: Loaded) -> TestSet:
    """Take an entry apart; the protocol is that of the model's task, the strength a sigma or a quality."""
    label, _, folder = entry.partition("=")
    place, _, strength = label.partition(":")
    name, _, protocol = place.partition("@")
    config = loaded.config
    protocol = protocol or default_protocol(loaded.facts.task, scale=config.scale, channels=config.channels)
    given = float(strength or 25)
    settings = ProtocolSettings(sigma=given, quality=round(given))
    chosen = choose_protocol(protocol, scale=config.scale, settings=settings)
    return TestSet(f"{name} {strength}".strip(), Path(folder), chosen)
