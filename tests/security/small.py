"""An agent that takes a moment to start: a small network, and a folder of pictures that goes round."""

from pathlib import Path

from tests import broken_networks
from tests.capture.pictures import write_folder
from tests.system.small import variables


def small(folder: Path) -> dict[str, str]:
    """Environment of such an agent; what it needs, keeps and caches is in the folder."""
    networks = folder / "networks"
    broken_networks.sound(networks)
    return variables(networks, write_folder(folder / "pictures", 10), folder)
