"""Image files, resizing, colour and cropping: everything that touches pixels but no network."""

import os

os.environ.setdefault("VIPS_WARNING", "1")
"""libvips prints no warnings of its own where pyvips, which logs them, has stopped listening: at the exit."""
