"""Two images, or two folders of them, side by side: differences, scores, a picture and a page."""

from hfmoe.comparison.measures import Comparison, Options, compare_images
from hfmoe.comparison.views import Views, read_views
from hfmoe.comparison.writing import Outcome, compare_files

__all__ = ["Comparison", "Options", "Outcome", "Views", "compare_files", "compare_images", "read_views"]
