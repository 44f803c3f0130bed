"""Skeletons: decoding them from a network's output, and drawing them."""
