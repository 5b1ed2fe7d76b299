"""Pairs for the sharp end of a photo model that need no teacher, as a shard that training reads.

    python scripts/pairs.py soft pairs/soft.tar --count 400
    python scripts/pairs.py sr pairs/sr.tar --count 320 --photos photos/a photos/b

soft: flat and softly shaded patches with many kinds of noise, and their clean side. Networks that learn to
sharpen without them draw a grid on skin and sky (docs/log.md). sr: photos shrunk by bicubic.
"""

import argparse
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor

from hfmoe.data import draw, read_photos
from hfmoe.data.degradations import SuperResolutionTask
from hfmoe.data.samples import draw_sample, make_sample
from hfmoe.image.encoded import png_file, through_jpeg
from hfmoe.train.labels import add_member, levels
from hfmoe.train.schedule import mixture

SCALE, PATCH = 4, 64

Pair = tuple[Float[Tensor, "3 h w"], Float[Tensor, "3 H W"]]
"""Degraded and target."""


def main() -> None:
    """Write one shard."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("soft", "sr"))
    parser.add_argument("output", type=Path)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--photos", type=Path, nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    soft = options.kind == "soft"
    pairs = soft_pairs(options.seed) if soft else shrunk_pairs(options.photos, options.count, options.seed)
    with tarfile.open(options.output, "w") as archive:
        for number, (degraded, target) in zip(range(options.count), pairs, strict=False):
            key = f"{options.kind}-{number:05d}"
            add_member(archive, f"{key}.json", json.dumps({"task": "denoise" if soft else "sr"}).encode())
            add_member(archive, f"{key}.degraded.png", png_file(levels(degraded)))
            add_member(archive, f"{key}.target.png", png_file(levels(target)))


def soft_pairs(seed: int) -> Iterator[Pair]:
    """Yield patches of one colour or of soft shades, with white or grainy noise, of colour or gray."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        target = _shades(generator)
        clean = F.avg_pool2d(target[None], SCALE)[0]
        noise = torch.randn(3 if _chance(0.6, generator) else 1, PATCH, PATCH, generator=generator)
        if _chance(0.4, generator):
            noise = 2 * F.avg_pool2d(F.pad(noise[None], (1,) * 4, mode="reflect"), 3, 1)[0]
        sigma = 0.06 * torch.rand(1, generator=generator) ** 1.3
        degraded = (clean + sigma * noise).clamp(0, 1)
        if _chance(0.45, generator):
            quality = int(torch.randint(25, 98, (1,), generator=generator))
            degraded = through_jpeg(levels(degraded), quality=quality).float() / 255
        yield degraded, target


def _shades(generator: Generator) -> Float[Tensor, "3 H W"]:
    bright = 0.02 + 0.96 * torch.rand(1, generator=generator) ** 1.7
    colour = (bright + 0.15 * torch.randn(3, generator=generator) * _chance(0.5, generator)).clamp(0.02, 0.98)
    cells = int(torch.randint(2, 6, (1,), generator=generator))
    coarse = torch.randn(1, 3, cells, cells, generator=generator) * 0.5
    coarse = coarse + torch.randn(1, 1, cells, cells, generator=generator)
    side = SCALE * PATCH
    shade = F.interpolate(coarse, (side, side), mode="bicubic", align_corners=True)[0]
    depth = 0.12 * torch.rand(1, generator=generator) * _chance(0.67, generator)
    return (colour[:, None, None] + depth * shade).clamp(0, 1)


def _chance(share: float, generator: Generator) -> bool:
    return bool(torch.rand(1, generator=generator) < share)


def shrunk_pairs(folders: list[Path], count: int, seed: int) -> Iterator[Pair]:
    """Yield crops of photos, shrunk by bicubic."""
    photos = read_photos(folders, scale=SCALE, channels=3)
    tasks = mixture((SuperResolutionTask(),), 0.5)
    for number, crop in enumerate(draw(photos, seed=seed, step=0, size=count, patch=PATCH)):
        sample = draw_sample(photos, crop, tasks, seed=seed, step=0, number=number, patch=PATCH)
        made = make_sample(photos, sample, patch=PATCH)
        yield made.degraded, made.target


if __name__ == "__main__":
    main()
