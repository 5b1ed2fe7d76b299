"""Write the entries of models for OpenModelDB: one JSON file a model, as its folder data/models takes them.

    python scripts/openmodeldb.py entries/ --author NAME --base https://host/releases/v1 [nano-x4 ...]

Each is checked against that database's rules (src/lib/schema.ts and model-props.ts of
OpenModelDB/open-model-database, as of 2024): those of types and ranges, its forms of identifiers, its tags.
The architecture hf-moe-ir and the author are to be entered there first. Without names: all that ship.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hfmoe.models.header import file_sha256, find_weights, shipped
from hfmoe.models.weights import read_header
from hfmoe.runtime.files import write_atomically

TAGS = {
    "sr": ["general-upscaler", "photo", "research"],
    "denoise": ["denoise", "photo", "restoration", "research"],
    "jpeg": ["jpeg", "photo", "restoration", "research"],
    "photo": ["deblur", "denoise", "jpeg", "photo", "restoration", "research"],
}
"""Tags of the database, by our tasks."""
KNOWN_TAGS = frozenset(
    [
        "anime",
        "anti-aliasing",
        "cartoon",
        "colorization",
        "dds",
        "debanding",
        "deblur",
        "dedither",
        "dehalo",
        "denoise",
        "faces",
        "game-textures",
        "general-upscaler",
        "inpainting",
        "jpeg",
        "manga",
        "photo",
        "pixel-art",
        "pretrained",
        "research",
        "restoration",
        "text",
        "texture-generation",
        "video-frame",
    ]
)
MODEL_ID = re.compile(r"\d+x-[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*")
WORD = re.compile(r"[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*")
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
PURPOSE = {
    "sr": "Enlarges clean photos.",
    "denoise": "Removes Gaussian noise of unknown strength.",
    "jpeg": "Removes JPEG artefacts of unknown quality.",
    "photo": "Cleans photos of blur, noise and JPEG artefacts together.",
}


def main() -> None:
    """Write the entries that the command line names."""
    parser = argparse.ArgumentParser(description="Write the entries of models for OpenModelDB.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", default=None)
    parser.add_argument("--author", required=True)
    parser.add_argument("--base", required=True, help="address of the folder that holds the weights files")
    options = parser.parse_intermixed_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for model in options.models or shipped():
        name, made = entry(find_weights(model), author=options.author, base=options.base)
        if faults := check(name, made):
            parser.error(f"{model}: {'; '.join(faults)}")
        write_atomically(options.folder / f"{name}.json", json.dumps(made, indent=4) + "\n")


def entry(path: Path, *, author: str, base: str) -> tuple[str, dict[str, Any]]:
    """Return the identifier and the entry of a weights file, which lies at `base` under its own name."""
    config, facts, _ = read_header(path)
    recipe = facts.recipe
    scores = ", ".join(f"{name} {value:.4g}" for name, value in sorted(facts.scores.items()))
    text = [PURPOSE[facts.task], "Loads in programs on spandrel after `hfmoe.spandrel.install()`."]
    resource = {
        "platform": "pytorch",
        "type": "safetensors",
        "size": path.stat().st_size,
        "sha256": file_sha256(path),
        "urls": [f"{base.rstrip('/')}/{path.name}"],
    }
    made: dict[str, Any] = {
        "name": facts.name,
        "author": author,
        "license": facts.licence or None,
        "tags": TAGS[facts.task],
        "description": " ".join([*text, f"Scores: {scores}."] if scores else text),
        "date": facts.date,
        "architecture": "hf-moe-ir",
        "size": [f"{config.dim}dim"],
        "scale": config.scale,
        "inputChannels": config.channels,
        "outputChannels": config.channels,
        "resources": [resource],
        "images": [],
    }
    trained = {"trainingIterations": "stopped_at", "trainingBatchSize": "batch"}
    made |= {field: recipe[key] for field, key in trained.items() if recipe.get(key)}
    return f"{config.scale}x-{re.sub('[^a-zA-Z0-9]+', '-', facts.name).strip('-')}", made


def check(name: str, made: dict[str, Any]) -> list[str]:
    """Return which of the database's rules an entry breaks, each with the value."""
    rules = {
        "identifier": MODEL_ID.fullmatch(name),
        "name": made["name"],
        "author": WORD.fullmatch(made["author"]),
        "license": made["license"] is None or made["license"],
        "tags": made["tags"] and set(made["tags"]) <= KNOWN_TAGS,
        "description": made["description"] == made["description"].strip(),
        "date": DATE.fullmatch(made["date"]),
        "architecture": WORD.fullmatch(made["architecture"]),
        "size": all(made["size"]),
        "scale": made["scale"] in range(1, 17),
        "inputChannels": made["inputChannels"] in range(1, 5),
        "outputChannels": made["outputChannels"] in range(1, 5),
        "resources": made["resources"] and all(_is_resource(each) for each in made["resources"]),
        "trainingIterations": _is_count(made.get("trainingIterations", 1)),
        "trainingBatchSize": _is_count(made.get("trainingBatchSize", 1)),
    }
    values = {"identifier": name} | made
    return [f"{field} {values[field]!r} is not valid" for field, holds in rules.items() if not holds]


def _is_resource(each: dict[str, Any]) -> bool:
    kinds = each["type"] in ("pth", "safetensors", "onnx") and each["platform"] in ("pytorch", "onnx", "ncnn")
    digest = re.fullmatch(r"[0-9a-f]{64}", each["sha256"]) is not None
    places = bool(each["urls"]) and all(urlsplit(url).scheme == "https" for url in each["urls"])
    return kinds and digest and places and _is_count(each["size"])


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


if __name__ == "__main__":
    main()
