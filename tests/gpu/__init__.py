"""OpenVINO's real GPU plugin, on a stand-in for the graphics driver: `make test-gpu`."""
