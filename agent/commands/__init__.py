"""The commands of `agent`, one file a family; :mod:`agent.cli` finds them when they are asked for."""
