"""What a configuration needs around and under a pixel: grid and halo of tiles, memory of a run."""

from hfmoe.models.config import HFMoEConfig

BYTES_PER_CHANNEL = 72
"""Peak bytes per channel of the full-resolution path; 42 to 74 measured from nano to base, float32, CPU."""
BYTES_PER_SAMPLE = 8
"""Peak bytes per sample of the result, beside what the network holds."""


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
    """Forecast of an inference's peak memory in bytes per input pixel."""
    network = BYTES_PER_CHANNEL * config.dim // config.folding**2
    return network + BYTES_PER_SAMPLE * config.channels * config.scale**2


def result_bytes(config: HFMoEConfig, height: int, width: int, *, ensemble: bool = False) -> int:
    """Bytes of the whole result of a height x width input: floats, and 16-bit levels to be written.

    With an ensemble, also the floats of its mean and of a position turned back.
    """
    return (14 if ensemble else 6) * config.channels * height * width * config.scale**2
