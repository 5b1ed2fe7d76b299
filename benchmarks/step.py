"""A training step on a CPU: its time, beside that of another commit, and the share of each part.

    python benchmarks/step.py [nano-x2 nano-x4 tiny-x2] [--steps 30]
    python benchmarks/step.py nano-x2 --against COMMIT [--rounds 5]

Forward, L1, backward and Adam at batch 16 and patch 32 on one thread, in processor time of that thread, the
least of all steps. With --against, processes of both versions take turns, each with the sources of its own
commit, the same weights and the same batch; images and gradients are compared, the largest difference over
the largest value of each tensor. Without it, each part is also run alone, forward and backward, on what it
meets in the network.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hfmoe.models.network import HFMoE, Perturbation
from hfmoe.models.presets import PRESETS
from hfmoe.runtime.memory import reuse_memory

BATCH, PATCH = 16, 32
PARTS = ("stem", "split", "enter_low", "low", "texture", "filter", "fusion", "head", "upsampler")
HERE = Path(__file__).resolve()


def main() -> None:
    """Print times of this version, or of two that take turns."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("presets", nargs="*", default=["nano-x2", "nano-x4", "tiny-x2"])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", metavar="COMMIT")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    reuse_memory()
    for preset in options.presets:
        if options.child:
            report(json.dumps(measure(preset, options.steps, keep=options.child)))
        elif options.against:
            compare(preset, options.against, steps=options.steps, rounds=options.rounds)
        else:
            shares(preset, options.steps)


class Bench:
    """A network of a preset with weights and a batch that are always the same."""

    def __init__(self, preset: str) -> None:
        torch.manual_seed(0)
        config = PRESETS[preset]
        network = HFMoE(config)
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(0.02 * torch.randn(weight.shape))
        self.network: HFMoE = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        sides = (torch.rand(BATCH, config.channels, k * PATCH, k * PATCH) for k in (1, config.scale))
        self.image, self.target = (side.to(memory_format=torch.channels_last) for side in sides)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-5, fused=True)

    def gradients(self) -> Tensor:
        """Run forward and backward; gives the image."""
        restored = self.network(self.image, perturb=Perturbation())
        loss = F.l1_loss(restored.image, self.target) + 0.01 * restored.balance + 1e-3 * restored.z
        loss.backward()
        return restored.image.detach()

    def step(self) -> None:
        """Run a whole step."""
        self.gradients()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def measure(preset: str, steps: int, *, keep: Path) -> float:
    """Milliseconds of a step; keeps the image and gradients of the first in a file."""
    bench = Bench(preset)
    image = bench.gradients()
    named = bench.network.named_parameters()
    torch.save({"image": image, **{name: weight.grad for name, weight in named}}, keep)
    bench.optimizer.zero_grad(set_to_none=True)
    return least(bench.step, steps)


def least(work: Callable[[], Any], times: int) -> float:
    """Least milliseconds of processor time of this thread, after a first run that does not count."""
    work()
    spent = []
    for _ in range(times):
        begin = time.thread_time()
        work()
        spent.append(time.thread_time() - begin)
    return 1e3 * min(spent)


def compare(preset: str, commit: str, *, steps: int, rounds: int) -> None:
    """Let processes of a commit and of these sources take turns."""
    root = HERE.parents[1]
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "-C", str(root), "archive", commit, "src"], check=True, capture_output=True
        )
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as sources:
            sources.extractall(folder, filter="data")
        versions = {Path(folder) / "before.pt": Path(folder) / "src", Path(folder) / "after.pt": root / "src"}
        pairs = [
            [child(preset, steps, source, file) for file, source in versions.items()] for _ in range(rounds)
        ]
        before, after = (torch.load(file, weights_only=True) for file in versions)
    old, new = map(min, zip(*pairs, strict=True))
    ratio = statistics.median(new / old for old, new in pairs)
    report(f"{preset}: {old:.1f} ms at {commit}, {new:.1f} ms here, median ratio {ratio:.3f}")
    image, *gradients = ((relative(before[name], after[name]), name) for name in before)
    worst, where = max(gradients)
    report(f"{preset}: image differs by {image[0]:.1e}, gradients by up to {worst:.1e} ({where})")


def child(preset: str, steps: int, source: Path, file: Path) -> float:
    """Milliseconds that a process with these sources measures."""
    command = [sys.executable, str(HERE), preset, "--steps", str(steps), "--child", str(file)]
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONWARNINGS": "ignore"}
    answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(answer.stdout)


def relative(before: Tensor | None, after: Tensor | None) -> float:
    """Largest difference over the largest value; parts that no window reached have no gradient."""
    if before is None or after is None:
        return 0.0 if before is after else float("inf")
    return float((before - after).abs().max() / before.abs().max().clamp_min(1e-12))


def shares(preset: str, steps: int) -> None:
    """Print the time of a step and of each part alone."""
    bench = Bench(preset)
    report(f"{preset}: {least(bench.step, steps):.1f} ms a step")
    calls: dict[str, tuple[Any, Any]] = {}
    hooks = [
        bench.network.get_submodule(name).register_forward_hook(
            lambda _, given, named, __, name=name: calls.update({name: (given, named)}), with_kwargs=True
        )
        for name in PARTS
    ]
    bench.gradients()
    for hook in hooks:
        hook.remove()
    for name in PARTS:
        part = bench.network.get_submodule(name)
        report(f"  {name:10} {least(alone(part, *calls[name]), steps):5.1f} ms")


def alone(part: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> Callable[[], None]:
    """Forward and backward of a part on what it was given in the network."""
    inputs = [item.detach().requires_grad_(item.requires_grad) for item in given]

    def work() -> None:
        found = [item for item in tensors(part(*inputs, **named)) if item.requires_grad]
        torch.autograd.backward(found, [torch.ones_like(item) for item in found])
        part.zero_grad(set_to_none=True)
        for item in inputs:
            item.grad = None

    return work


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors inside nested tuples."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from tensors(item)


def report(line: str) -> None:
    """Print a line of the report."""
    print(line)  # noqa: T201


if __name__ == "__main__":
    main()
