"""Training data: folders of photos decoded once, and batches of aligned crops drawn from them."""

from hfmoe.data.batches import Crop, Pair, batch, draw, gather
from hfmoe.data.photos import DataError, Photo, PhotoSet, read_photos
from hfmoe.data.prefetch import prefetch

__all__ = [
    "Crop",
    "DataError",
    "Pair",
    "Photo",
    "PhotoSet",
    "batch",
    "draw",
    "gather",
    "prefetch",
    "read_photos",
]
