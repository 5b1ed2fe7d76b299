"""Image files, resizing, colour and cropping: everything that touches pixels but no network."""
