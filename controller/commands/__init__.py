"""The commands of `controller`, one file a family; :mod:`controller.cli` finds them when they are asked for."""
