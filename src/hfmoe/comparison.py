"""The package's name before it was called `compare`; what is imported from here keeps working."""

from hfmoe.compare import Comparison, Options, Views, Written, compare_files, compare_images, read_views

__all__ = ["Comparison", "Options", "Views", "Written", "compare_files", "compare_images", "read_views"]
