"""Capture: every source keeps its promises."""
