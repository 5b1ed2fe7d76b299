"""Inspection of a network on an image: bands, experts, gates, filters, receptive field, spectrum."""
