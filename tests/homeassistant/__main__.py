"""Install Home Assistant and run the tests in it; arguments go to pytest, ``--write`` renews docs/home-assistant.md."""

import os
import sys

import pytest

from tests.homeassistant.rig import HERE, interpreter
from tests.tools import RigError


def main() -> int:
    """Answer pytest's exit code; where it cannot be installed every test is skipped with the reason."""
    arguments = sys.argv[1:]
    if "--write" in arguments:
        arguments.remove("--write")
        os.environ["HOMEASSISTANT_WRITE"] = "1"
    try:
        os.environ["HOMEASSISTANT_PYTHON"] = str(interpreter())
    except RigError as problem:
        os.environ["HOMEASSISTANT_ABSENT"] = str(problem)
    return pytest.main([str(HERE), *arguments])


if __name__ == "__main__":
    sys.exit(main())
