"""Training data: photos decoded once, and batches of aligned, degraded crops drawn from them."""

from hfmoe.data.batches import Pair, batch, draw_samples
from hfmoe.data.photos import Photo, PhotoSet, read_photos
from hfmoe.data.prefetch import prefetch
from hfmoe.data.samples import Crop, Mixture, Sample, draw, gather, make_sample
from hfmoe.data.sources import DataError, PairedFolders

__all__ = [
    "Crop",
    "DataError",
    "Mixture",
    "Pair",
    "PairedFolders",
    "Photo",
    "PhotoSet",
    "Sample",
    "batch",
    "draw",
    "draw_samples",
    "gather",
    "make_sample",
    "prefetch",
    "read_photos",
]
