"""Parts of the backbone, each built from plain keyword numbers and usable alone."""
