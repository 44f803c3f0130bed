"""The npm packages of package.json, kept in the user's cache."""

import shutil
from pathlib import Path
from typing import Final

from tests.tools import RigError, kept, run

HERE: Final = Path(__file__).parent
WANTED: Final = HERE / "package.json"


def packages() -> Path:
    """The folder that has them; installed now (a minute) unless they were before. Raises RigError."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise RigError("node and npm are not installed")
    return kept("node", WANTED.read_bytes(), _install)


def _install(folder: Path) -> None:
    shutil.copy(WANTED, folder)
    run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"], "them", folder)
