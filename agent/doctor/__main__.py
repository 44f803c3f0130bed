"""``python -m agent.doctor``: what an agent that runs has looked into beside itself; see agent/control/checking.py.

Its configuration comes as the agent has it, on standard input; the findings leave as JSON on standard output.
"""

import os
import pickle
import sys

from agent.config.tree import Config
from agent.doctor import checks
from agent.observe import logs


def main() -> None:
    """Examine the box, but for the camera: the agent holds it."""
    config: Config = pickle.load(sys.stdin.buffer)  # noqa: S301 - of the agent that has started this process
    logs.setup(config.log.model_copy(update={"level": "error"}))
    sys.stdout.write(checks.as_json(checks.run(config, camera_is_held=True)))
    sys.stdout.flush()
    # Not through the interpreter's end: a check that hangs in a driver would hold it.
    os._exit(0)


if __name__ == "__main__":
    main()
