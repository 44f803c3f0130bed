"""Get the packages and run the tests with them; arguments go to pytest."""

import os
import sys

import pytest

from tests.node.rig import HERE, packages
from tests.tools import RigError


def main() -> int:
    """Answer pytest's exit code; where they cannot be had every test is skipped with the reason."""
    try:
        os.environ["NODE_PACKAGES"] = str(packages())
    except RigError as problem:
        os.environ["NODE_ABSENT"] = str(problem)
    return pytest.main([str(HERE), *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
