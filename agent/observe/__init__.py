"""What the agent knows of itself and tells whoever looks: figures, logs, the host, Prometheus."""
