"""Packages that only some commands need, and how to have one where it is missing."""

import re
import sys
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec
from typing import Final

from agent.errors import EdgeposeError

EXTRA_OF: Final = {"iotcore": "demo", "nicegui": "dashboard", "nncf": "quantize", "pycocotools": "evaluate"}
"""Which of the project's extras brings a package alone; a box's own, `agent`, brings the others together."""


def require(package: str) -> None:
    """Raise EdgeposeError where a package is not installed."""
    if find_spec(package) is None:
        raise missing(package)


def missing(package: str) -> EdgeposeError:
    """What to say of a package that is not installed: what is expected, and how to have it in this environment."""
    if package not in EXTRA_OF:
        return EdgeposeError(f"{package} is not installed", hint="in the clone: pip install '.[agent]'")
    wanted = _requirement(package)
    return EdgeposeError(
        f"{package} is not installed here: {wanted} is needed, which comes with the extra `{EXTRA_OF[package]}` alone",
        hint=f"{sys.executable} -m pip install '{wanted}', as the user who installed the rest",
    )


def _requirement(package: str) -> str:
    """The package with the versions that will do, as the project asks for it; its name alone where that is unknown."""
    try:
        asked = requires("edgepose") or []
    except PackageNotFoundError:  # run from a clone that is not installed
        asked = []
    return next((line.partition(";")[0].strip() for line in asked if re.match(rf"{package}\b", line)), package)
