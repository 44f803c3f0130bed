"""The shipped unit's agent under a stand-in for systemd, one seam of which can be made to fail."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from models.shelf.store import models_dir
from tests.system.process import DEMO, ROOT, environment
from tests.systemd.stand_in import StandIn
from tests.systemd.unit import Unit

UNIT: Final = ROOT / "systemd" / "edgepose-agent@.service"
LAUNCH: Final = Path(__file__).with_name("launch.py")


def as_service(
    folder: Path,
    port: int,
    *,
    settings: dict[str, list[str]] | None = None,
    seam: str = "nothing",
    flag: Path | None = None,
    abstract: bool = False,
    output: Any = None,
    variables: Mapping[str, str] | None = None,
) -> StandIn:
    """A service on the demo's configuration and a broker on loopback, not started yet; what it keeps is in the folder.

    ``settings`` win over the unit's. ``seam`` is one of launch.py's, and fails as soon as the file ``flag`` is there.
    """
    unit = Unit.read(UNIT, "demo")
    unit = replace(unit, settings=unit.settings | (settings or {}))
    given = {
        "EDGEPOSE_MQTT__HOST": "127.0.0.1",
        "EDGEPOSE_MQTT__PORT": str(port),
        "EDGEPOSE_PATHS__MODELS": str(models_dir()),
    }
    command = [sys.executable, str(LAUNCH), seam, str(flag or folder / "now"), "run", "--config", str(DEMO)]
    everything = environment(PYTHONPATH=str(ROOT), **given) | dict(variables or {})
    return StandIn(unit, command=command, variables=everything, folder=folder, abstract=abstract, output=output)
