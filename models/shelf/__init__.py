"""What is installed: cards, the cache folder, manifests, golden answers. Of the agent it knows the errors."""
