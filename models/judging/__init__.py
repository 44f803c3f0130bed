"""How good a network is: running it, accuracy, comparing, quantising. Stands above the agent's inference."""
