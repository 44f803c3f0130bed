"""The commands of `models`, one file a family; :mod:`models.cli` finds them when they are asked for."""
