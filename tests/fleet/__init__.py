"""Fleets of simulated agents: real on the wire, without camera and without OpenVINO."""
