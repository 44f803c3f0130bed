"""Networks and sample clips: the catalogue, the cache folder, and the tools that fill and inspect it."""
