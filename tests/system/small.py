"""The demo's agent on a small network and a feed that loses nothing: switches take a moment."""

from pathlib import Path


def variables(networks: Path, pictures: Path, folder: Path) -> dict[str, str]:
    """Environment of an agent that runs `tiny-sound` of the networks; it remembers and caches in the folder."""
    return {
        "EDGEPOSE_MODEL__NAME": "tiny-sound",
        "EDGEPOSE_MODEL__INPUT__LONG_SIDE": "64",
        "EDGEPOSE_PATHS__MODELS": str(networks),
        "EDGEPOSE_PATHS__STATE": str(folder / "state"),
        "EDGEPOSE_PATHS__CACHE": str(folder / "cache"),
        "EDGEPOSE_CAMERA__SOURCE": str(pictures),
        "EDGEPOSE_CAMERA__LOSSLESS": "true",
        "EDGEPOSE_SWITCH__MEASURE_S": "0.3",
        "EDGEPOSE_SWITCH__GOOD_AFTER_S": "3600",
    }
