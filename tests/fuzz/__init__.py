"""Generated and mutated commands, and what must come of each."""
