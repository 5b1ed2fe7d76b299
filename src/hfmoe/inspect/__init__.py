"""What a network does with an image: bands, experts, gates, filters, receptive field, spectrum."""
