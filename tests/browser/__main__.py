"""Get what drives the browser and run the tests in it; arguments go to pytest, ``--write`` renews the pictures."""

import os
import sys

import pytest

from tests.browser.rig import HERE, chromium, library
from tests.tools import RigError


def main() -> int:
    """Answer pytest's exit code; where there is no browser every test is skipped with the reason."""
    arguments = sys.argv[1:]
    if "--write" in arguments:
        arguments.remove("--write")
        os.environ["BROWSER_WRITE"] = "1"
    try:
        os.environ["BROWSER"] = chromium()
        sys.path.append(str(library()))
    except RigError as problem:
        os.environ["BROWSER_ABSENT"] = str(problem)
    return pytest.main([str(HERE), *arguments])


if __name__ == "__main__":
    sys.exit(main())
