"""Write the card of a shipped model: docs/cards/<name>.md and its pictures.

    python scripts/card.py nano-x4 Set5=bench/Set5 Set14=bench/Set14 B100=bench/B100

Sets are named as in scripts/ship.py. The pictures are made of photos that come with scikit-image.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import skimage.data
import torch
from contenders import contenders, in_turn
from einops import rearrange
from sets import TestSet, read_set
from torch import Tensor

from hfmoe.evaluate.pictures import WorstCrop, baseline_name, draw_crops, unrestored, worst_crop
from hfmoe.evaluate.protocols import EvaluationProtocol, ImagePair, as_given, bicubic
from hfmoe.evaluate.report import Report, evaluate
from hfmoe.evaluate.scores import score_image
from hfmoe.export.files import SUFFIX, Order, export_model
from hfmoe.export.verify import SIZES, verify
from hfmoe.image.files import Picture, flatten, read_picture, write_picture
from hfmoe.infer.eager import make_restorer
from hfmoe.infer.restorer import Restorer
from hfmoe.metrics.psnr import psnr
from hfmoe.models.cost import count_parameters, multiply_adds
from hfmoe.models.header import file_sha256, find_weights
from hfmoe.models.weights import Loaded, load_weights
from hfmoe.report.figure import new_figure, save_figure, show_image
from hfmoe.runtime.machine import machine

CARDS = Path(__file__).parents[1] / "docs/cards"
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
SIDE, ROUNDS = 256, 9
DATA = {
    "cid22": "CID22 (training part, CC BY-SA 4.0)",
    "hr480": "517 free photos",
    "tiles": "357 windows of photos",
    "graphics": "140 rendered graphics",
}
ATTRIBUTION = "../../src/hfmoe/models/shipped/ATTRIBUTION.md"
TASKS = {
    "sr": "enlarges photos that were made smaller by bicubic",
    "denoise": "removes colour Gaussian noise of unknown strength, sigma 0 to 55",
    "jpeg": "removes the artefacts of JPEG files of unknown quality, 5 to 95",
    "photo": "cleans photos of blur, noise and JPEG artefacts together",
}
LIMITS = {
    "sr": "It expects a clean input: noise and JPEG artefacts are enlarged with the rest. Texture finer than "
    "the input's pixels comes out smooth, and repeated fine structure can come out in a wrong direction.",
    "denoise": "It expects independent noise in each pixel: the noise of a phone or of a JPEG file has a "
    "grain that it leaves in part. Weak texture under strong noise is smoothed away.",
    "jpeg": "Detail that quantisation removed is not invented; files that were enlarged after saving have "
    "larger blocks than those it knows.",
    "photo": "It takes weak texture for noise in part, leaves the grain of old prints in part, and does not "
    "invent detail.",
}


def main() -> None:
    """Measure, draw and write one card."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("sets", nargs="*", metavar="SET=FOLDER")
    options = parser.parse_args()
    torch.set_num_threads(1)
    loaded = load_weights(find_weights(options.model))
    restore = make_restorer(loaded, device="cpu")
    sets = [read_set(entry, loaded) for entry in options.sets]
    CARDS.mkdir(exist_ok=True)
    draw(restore, sets[0].protocol, loaded.facts.name)
    parts = [
        heading(loaded),
        scores_table(restore, sets),
        cost_section(loaded),
        paths_section(loaded, restore),
        pictures_section(loaded),
    ]
    path = CARDS / f"{loaded.facts.name}.md"
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    sys.stdout.write(f"{path}\n")


def heading(loaded: Loaded) -> str:
    """What the model is, where it comes from, what it cannot do."""
    facts, config = loaded.facts, loaded.config
    digest = file_sha256(find_weights(facts.name))
    steps = facts.recipe.get("stopped_at", facts.recipe["steps"])
    recipe = f"hfmoe train recipes/{facts.name}.yaml --train PHOTOS --validation.folder OTHER_PHOTOS"
    rows = [
        ("task", f"{TASKS[facts.task]}, x{config.scale}"),
        ("parameters", f"{count_parameters(config).total / 1e3:.0f}K while training"),
        ("trained", f"{facts.date}, {steps} steps of {facts.recipe['batch']}, in the manner of `{recipe}`"),
        ("data", f"{'; '.join(photos(facts.recipe))}: [ATTRIBUTION.md]({ATTRIBUTION})"),
        *(
            (f"teacher, {name}", f"{teacher['licence']}, its result for {teacher['share']:.0%} of the pairs")
            for name, teacher in facts.teachers.items()
        ),
        ("licence of the weights", facts.licence),
        ("SHA-256", f"`{digest}`"),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"# {facts.name}\n\n| | |\n|---|---|\n{table}\n\n{LIMITS[facts.task]}"


def photos(recipe: dict[str, Any]) -> list[str]:
    """Name the photos that a recipe trained on; labels are of all of them."""
    places = " ".join(map(str, recipe["train"]))
    if "labels" in places:
        return list(DATA.values())
    if "tiles" not in places:
        return ["CID22 (training part, CC BY-SA 4.0) and 636 free photos"]
    return [text for folder, text in DATA.items() if folder in places]


def scores_table(restore: Restorer, sets: list[TestSet]) -> str:
    """Mean scores with 95 % bootstrap intervals over images, beside doing nothing."""
    scale = restore.scale
    plain, name = (bicubic(scale), "bicubic") if scale > 1 else (as_given, "input")
    rows = []
    for title, folder, protocol in sets:
        ours = evaluate(restore, folder, protocol=protocol)
        other = evaluate(plain, folder, protocol=protocol)
        cells = (cell(report, protocol.headline) for report in (ours, other))
        rows.append(
            f"| {title} | {protocol.name}, {protocol.headline} | {len(ours.images)} | {' | '.join(cells)} |"
        )
    head = f"| set | protocol, score | images | {restore.facts.name} | {name} |\n|---|---|---|---|---|"
    return "\n".join(("## Scores\n", head, *rows))


def cell(report: Report, metric: str) -> str:
    """A mean with its interval."""
    interval = report.interval(metric)
    span = f" [{interval.low:.2f}, {interval.high:.2f}]" if interval else ""
    return f"{getattr(report.mean(), metric):.2f}{span}"


def cost_section(loaded: Loaded) -> str:
    """Time and memory of one image on one thread, in turn with a plain network and bicubic."""
    scale, channels = loaded.config.scale, loaded.config.channels
    makers = contenders(loaded.facts.name, scale=scale, channels=channels)
    taken = in_turn(list(makers.values()), channels=channels, side=SIDE, rounds=ROUNDS)
    rows = [
        f"| {name} | {each.milliseconds:.0f} | {each.ratio:.2f} | {each.peak:.0f} |"
        for name, each in zip(makers, taken, strict=True)
    ]
    where = f"{machine().to_dict()['processor']}, torch {torch.__version__}"
    work = multiply_adds(loaded.config, SIDE, SIDE).expected / 1e9
    return "\n".join(
        (
            "## Cost\n",
            f"{SIDE} x {SIDE} x {channels} input, whole, one thread, {where}; processor time, median of "
            f"{ROUNDS} rounds in turn; memory over the process at rest. {work:.2f} G multiply-adds.\n",
            "| | ms | of its time | peak, MiB |\n|---|---|---|---|",
            *rows,
            "\nThe plain network has PReLU between its convolutions and the upsampler of ours.",
        )
    )


def paths_section(loaded: Loaded, restore: Restorer) -> str:
    """How far the ways to run the model are apart."""
    image, side = photo("astronaut")[None], max(192, restore.smallest_tile())
    whole, tiled = restore(image, tile="off"), restore(image, tile=side)
    with torch.no_grad():
        unfolded = load_weights(find_weights(restore.facts.name)).network(image).image.clamp(0, 1)
    errors = ", ".join(f"{form} {largest_error(loaded, form):.0e}" for form in ("onnx", "openvino"))
    return (
        "## The same result on every path\n\n"
        f"On a photo of 512 x 512: tiles of {side} against whole {psnr(tiled, whole).item():.0f} dB, folded "
        f"against as trained {psnr(whole, unfolded).item():.0f} dB. Exported in float32, the largest "
        f"difference from eager of any sample at {len(SIZES)} sizes: {errors}."
    )


def largest_error(loaded: Loaded, form: str) -> float:
    """How far an exported file is from eager at the worst of all sizes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{SUFFIX[form]}"
        source = file_sha256(find_weights(loaded.facts.name))
        export_model(loaded, path, Order(form, "fp32", None), source=source)
        return max(check.error for check in verify(loaded, path, rounds=1))


def pictures_section(loaded: Loaded) -> str:
    """The two pictures."""
    name = loaded.facts.name
    return "\n\n".join(
        (
            "## Pictures",
            f"![A photo before and after]({name}-sample.jpg)",
            "Where it fails most on these photos:",
            f"![The worst places]({name}-worst.jpg)",
        )
    )


def draw(restore: Restorer, protocol: EvaluationProtocol, name: str) -> None:
    """A sample and the worst crops of photos that come with scikit-image."""
    folder = CARDS / f".{name}"
    folder.mkdir(exist_ok=True)
    for title in PHOTOS:
        write_picture(folder / f"{title}.png", Picture(photo(title)))
    pairs = list(protocol.pairs(folder))
    restored = [restore(pair.degraded) for pair in pairs]
    crops = [
        worst_crop(pair, image, side=96, border=protocol.border)
        for pair, image in zip(pairs, restored, strict=True)
    ]
    crops.sort(key=lambda crop: -crop.mean_square)
    draw_worst(crops, CARDS / f"{name}-worst.jpg", model=name)
    draw_sample(pairs[0], restored[0], protocol, CARDS / f"{name}-sample.jpg", model=name)
    for title in PHOTOS:
        (folder / f"{title}.png").unlink()
    folder.rmdir()


def draw_worst(crops: list[WorstCrop], path: Path, *, model: str) -> None:
    """The worst crops as JPEG."""
    drawn = path.with_suffix(".png")
    draw_crops(crops, drawn, model=model)
    as_jpeg(drawn, path)


def draw_sample(
    pair: ImagePair, restored: Tensor, protocol: EvaluationProtocol, path: Path, *, model: str
) -> None:
    """A detail of one photo: without the network, with it, and the truth."""
    figure = new_figure(width=12.0, height=4.4)
    axes = figure.subplots(1, 3)
    shown = ((baseline_name(pair), unrestored(pair)), (model, restored), ("truth", pair.target))
    for axis, (title, image) in zip(axes, shown, strict=True):
        value = getattr(score_image(image, pair.target, border=protocol.border), protocol.headline)
        caption = title if title == "truth" else f"{title}: {value:.2f} dB"
        show_image(axis, image[0, :, 60:300, 120:360], caption)
    drawn = path.with_suffix(".png")
    save_figure(figure, drawn)
    as_jpeg(drawn, path)


def as_jpeg(drawn: Path, path: Path) -> None:
    """Turn a figure into a small file."""
    write_picture(path, flatten(read_picture(drawn)), quality=55)
    drawn.unlink()


def photo(name: str) -> Tensor:
    """A photo of scikit-image in [0, 1], (3, h, w)."""
    return rearrange(torch.from_numpy(getattr(skimage.data, name)()), "h w c -> c h w").float() / 255


if __name__ == "__main__":
    main()
