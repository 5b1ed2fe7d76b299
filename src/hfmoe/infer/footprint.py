"""What a configuration needs around and under a pixel: grid and halo of tiles, memory of a run."""

from hfmoe.models.config import HFMoEConfig

BYTES_PER_CHANNEL = {"dense": 28, "rep": 28, "depthwise": 72}
"""Peak bytes per channel of the full-resolution path, by the kind of the texture blocks, float32, CPU.

Dense: measured with nano and tiny (`benchmarks/memory.py`); rep is dense once it is folded; depthwise: at
most, from small to base.
"""
BYTES_PER_SAMPLE = 10
"""Peak bytes per sample of the result, beside what the network holds."""
STARTING = 40 * 2**20
"""Bytes that a first run leaves in a process, whatever its size."""
MOST_FALLOW = 128 * 2**20
"""Bytes of freed memory that runs on tiles leave between what they use, at most: four of the largest blocks
that are kept to be used again (`allocator`)."""


def grid(config: HFMoEConfig) -> int:
    """Input pixels between places where a tile can begin, aligned to windows and token groups."""
    return config.size_multiple * max(1, config.token_group)


def halo(config: HFMoEConfig) -> int:
    """Input pixels around a tile that are seen but not used: two windows of the coarsest scale.

    A tile's border reaches its first window in a plain block, half a window further in a shifted one,
    and a few positions more through deformable reads: two windows cover one such pair at each scale.
    """
    return 2 * config.size_multiple


def bytes_per_pixel(config: HFMoEConfig) -> int:
    """Forecast of an inference's peak memory in bytes per input pixel, beside `STARTING`."""
    network = BYTES_PER_CHANNEL[config.texture] * config.dim // config.folding**2
    return network + BYTES_PER_SAMPLE * config.channels * config.scale**2


def result_bytes(config: HFMoEConfig, height: int, width: int, *, ensemble: bool = False) -> int:
    """Bytes of the whole result of a height x width input: floats, and 16-bit levels to be written.

    With an ensemble, also the floats of its mean and of a position turned back.
    """
    return (14 if ensemble else 6) * config.channels * height * width * config.scale**2


def run_bytes(config: HFMoEConfig, height: int, width: int, *, tile: int | None = None) -> int:
    """Forecast of the peak memory that restoring one image adds to a process on the CPU, in bytes.

    tile: side of the tiles, None = the whole image at once. For a network as wide as the image's channels.
    """
    pixels = min(height, tile or height) * min(width, tile or width)
    once = STARTING + bytes_per_pixel(config) * pixels
    if tile is None:
        return once
    return once + fallow_bytes(config, pixels) + 4 * config.channels * height * width * config.scale**2


def fallow_bytes(config: HFMoEConfig, pixels: int) -> int:
    """Memory that runs on parts of so many pixels leave to the next ones, in bytes."""
    return min(MOST_FALLOW, 40 * config.dim * pixels)
