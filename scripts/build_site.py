"""Build the page that restores photos in the browser: `python scripts/build_site.py FOLDER [MODEL ...]`.

Needs the extra onnx and `npm ci --ignore-scripts` in site/. A model is one of the page of `hfmoe web`, or a
weights file; without any, all of that page's.
"""

import json
import shutil
import sys
from hashlib import sha256
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from hfmoe.cli.export_cache import exported_copy
from hfmoe.infer.tiles import tile_geometry
from hfmoe.models.header import find_weights
from hfmoe.models.weights import load_weights
from hfmoe.web.choices import PROBLEMS, SIZES

SITE = Path(__file__).parent.parent / "site"
RUNTIME = SITE / "node_modules/onnxruntime-web/dist"
CPU_RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm", "ort-wasm-simd-threaded.mjs")
GPU_RUNTIME = (
    "ort.webgpu.bundle.min.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
    "ort-wasm-simd-threaded.asyncify.mjs",
)
"""Kept for offline use only once a browser with WebGPU has asked for it."""
MARGINS = 4
"""Largest side of a tile in margins of its network."""
CORNER = 96
"""Pixels a side that are shown before the first whole tile is there."""
OTHERS = "Other models"
"""The choice under which models stand that the page of `hfmoe web` has not."""


def main(folder: Path, wanted: list[str]) -> None:
    """Build the page into a folder, which is replaced where it holds such a page."""
    if not RUNTIME.is_dir():
        sys.exit(f"{RUNTIME} is missing: run `npm ci --ignore-scripts` in {SITE}")
    if folder.exists() and not (folder / "models.json").is_file() and any(folder.iterdir()):
        sys.exit(f"{folder} holds other things than this page; name another folder")
    ours = {problem: list(models.values()) for problem, models in PROBLEMS.items()}
    others = [name for name in wanted if name not in chain(*ours.values())]
    choices = {key: [name for name in names if not wanted or name in wanted] for key, names in ours.items()}
    with TemporaryDirectory(dir=folder.resolve().parent) as place:
        page = Path(place) / "page"
        shutil.copytree(SITE / "src", page)
        shutil.copy(SITE.parent / "src/hfmoe/web/assets/before-after.js", page)
        (page / "ort").mkdir()
        for name in (*CPU_RUNTIME, *GPU_RUNTIME):
            shutil.copy(RUNTIME / name, page / "ort")
        (page / "models").mkdir()
        entries = {
            key: [add_model(name, page) for name in names]
            for key, names in (choices | {OTHERS: others}).items()
            if names
        }
        (page / "models.json").write_text(json.dumps(entries))
        write_service_worker(page)
        shutil.rmtree(folder, ignore_errors=True)
        page.rename(folder)


def add_model(name_or_path: str, folder: Path) -> dict[str, object]:
    """Export a model and return what the page has to know of it."""
    loaded = load_weights(find_weights(name_or_path))
    name, geometry = loaded.facts.name, tile_geometry(loaded.config)
    path = folder / "models" / f"{name}.onnx"
    shutil.copy(exported_copy(name_or_path, "onnx"), path)
    return {
        "name": name,
        "words": SIZES[geometry.scale],
        "file": f"models/{name}.onnx",
        "bytes": path.stat().st_size,
        "scale": geometry.scale,
        "halo": geometry.halo,
        "margin": geometry.margin,
        "multiple": geometry.multiple,
        "corner": geometry.rounded(geometry.halo + CORNER),
        "tile": geometry.rounded(MARGINS * geometry.margin),
    }


def write_service_worker(folder: Path) -> None:
    """Tell the service worker which files there are, and a version that changes when any of them does."""
    files = sorted(
        path for path in folder.rglob("*") if path.is_file() and path.name not in (*GPU_RUNTIME, "sw.js")
    )
    digest = sha256(b"".join(sha256(path.read_bytes()).digest() for path in files)).hexdigest()[:16]
    names = json.dumps([path.relative_to(folder).as_posix() for path in files])
    worker = folder / "sw.js"
    worker.write_text(worker.read_text().replace("@VERSION@", digest).replace("/*@FILES@*/ []", names))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
