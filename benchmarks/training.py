"""Training speed: our trainer beside a plain PyTorch loop, and where a training step's time goes.

    python benchmarks/training.py [--preset tiny-x2] [--steps 40] [--rounds 5] [--profile]

Both train the same network with the same batch, patch, loss and optimiser on one thread, float32. The plain
loop has its pairs decoded in memory and does nothing but draw crops and step; ours does all that
`hfmoe train` does: averaging, clipping, checks, checkpoint, log and TensorBoard. Rounds alternate between the
two; the ratio of images per second is formed inside a round and its median printed with the quartiles.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange

from hfmoe.image.files import Picture, write_picture
from hfmoe.models.network import HFMoE, Perturbation
from hfmoe.models.presets import PRESETS
from hfmoe.train import Recipe, train

BATCH, PATCH, PHOTOS, SIDE = 16, 32, 24, 384


def main() -> None:
    """Print the ratio of both speeds, or a profile of the step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="tiny-x2")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.profile:
        return profile(options.preset, options.steps)
    with tempfile.TemporaryDirectory() as folder:
        photos = draw_photos(Path(folder) / "photos")
        pairs = []
        for number in range(options.rounds):
            ours, waiting = train_ours(options.preset, options.steps, photos, Path(folder) / f"run{number}")
            pairs.append((ours, train_plainly(options.preset, options.steps), waiting))
    low, middle, high = statistics.quantiles([ours / plain for ours, plain, _ in pairs], n=4)
    ours, plain, waiting = (statistics.median(column) for column in zip(*pairs, strict=True))
    report(f"{options.preset}, batch {BATCH}, patch {PATCH}, one thread, torch {torch.__version__}")
    report(f"ours {ours:.1f} images/s (data {waiting:.2%} of the time), plain loop {plain:.1f} images/s")
    return report(f"ratio {middle:.3f} [{low:.3f}, {high:.3f}]")


def draw_photos(folder: Path) -> Path:
    """Write photos of noise: what they show does not change the speed."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    for number in range(PHOTOS):
        colour = torch.rand(3, SIDE, SIDE, generator=generator)
        write_picture(folder / f"{number}.png", Picture(colour=colour, alpha=None, bits=8, icc=None))
    return folder


def train_ours(preset: str, steps: int, photos: Path, run: Path) -> tuple[float, float]:
    """Images per second of `hfmoe train` after its first steps, and its share of waiting for data."""
    recipe = Recipe.model_validate(
        {
            "name": preset,
            "preset": preset,
            "train": photos,
            "run": run,
            "steps": steps,
            "batch": BATCH,
            "patch": PATCH,
            "log": {"every": steps // 2},
            "hardware": {"threads": 1, "accelerator": "cpu"},
        }
    )
    train(recipe)
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    last = [record for record in records if record["kind"] == "train"][-1]
    return last["images_per_second"], last["waiting"]


def train_plainly(preset: str, steps: int) -> float:
    """Images per second of the plain loop, after its first steps."""
    config = PRESETS[preset]
    network = HFMoE(config).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    generator = np.random.default_rng(0)
    small, large = (
        generator.integers(0, 256, (PHOTOS, SIDE // config.scale * k, SIDE // config.scale * k, 3), np.uint8)
        for k in (1, config.scale)
    )
    begin = time.perf_counter()
    for step in range(steps):
        if step == steps // 2:
            begin = time.perf_counter()
        degraded, target = crops(small, large, config.scale, generator)
        restored = network(degraded, perturb=Perturbation())
        loss = F.l1_loss(restored.image, target) + 0.01 * restored.balance + 1e-3 * restored.z
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return BATCH * (steps - steps // 2) / (time.perf_counter() - begin)


def crops(
    small: np.ndarray, large: np.ndarray, scale: int, generator: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of aligned crops in [0, 1]."""
    photos = generator.integers(len(small), size=BATCH)
    corners = generator.integers(small.shape[1] - PATCH + 1, size=(BATCH, 2))
    sides = []
    for images, k in ((small, 1), (large, scale)):
        parts = [
            images[photo, k * top : k * (top + PATCH), k * left : k * (left + PATCH)]
            for photo, (top, left) in zip(photos, corners, strict=True)
        ]
        sides.append(rearrange(torch.from_numpy(np.stack(parts)).float() / 255, "b h w c -> b c h w"))
    return sides[0], sides[1]


def profile(preset: str, steps: int) -> None:
    """Print the operations that a training step spends its time in."""
    scale = PRESETS[preset].scale
    network = HFMoE(PRESETS[preset]).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    degraded, target = (
        torch.rand(BATCH, 3, k * PATCH, k * PATCH).to(memory_format=torch.channels_last) for k in (1, scale)
    )

    def step() -> None:
        restored = network(degraded, perturb=Perturbation())
        (F.l1_loss(restored.image, target) + 0.01 * restored.balance).backward()

    step()
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    report(f"{preset}: {1e3 * (time.perf_counter() - begin) / steps:.0f} ms a step, forward and backward")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as recorded:
        for _ in range(5):
            step()
    report(recorded.key_averages().table(sort_by="self_cpu_time_total", row_limit=20))


def report(line: str) -> None:
    """Print a line of the report."""
    print(line)  # noqa: T201


if __name__ == "__main__":
    main()
