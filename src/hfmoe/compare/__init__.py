"""Two images, or two folders of them, side by side: differences, scores, a picture and a page."""

from hfmoe.compare.files import Written, compare_files
from hfmoe.compare.measures import Comparison, Options, compare_images
from hfmoe.compare.views import Views, read_views

__all__ = ["Comparison", "Options", "Written", "Views", "compare_files", "compare_images", "read_views"]
