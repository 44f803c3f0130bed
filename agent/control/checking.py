"""The command `check`: what `agent doctor` finds on this box, told by the agent that runs on it.

Doctor looks in a process of its own: what it opens is gone with it, and a driver that hangs does not hang the agent.
The camera is the agent's, which alone may hold it: what it knows of it stands in place of a look.
"""

import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Final

from pydantic import TypeAdapter, ValidationError

from agent.config.tree import Config
from agent.control.events import Informed
from agent.wire.commands import CheckResult, Command, Finding
from agent.wire.messages import CameraState, State

LIMIT_S: Final = 60.0
"""Doctor takes ten seconds at most, once a busy box has begun it."""
PROGRAM: Final = (sys.executable, "-m", "agent.doctor")
FINDINGS: Final = TypeAdapter(tuple[Finding, ...])


class Checking:
    """One check at a time; whoever asks meanwhile is told the same. :meth:`ask` is called in the supervisor's thread.

    ``state`` says how the agent stands, ``post`` takes each answer.
    """

    def __init__(self, config: Config, state: Callable[[], State], post: Callable[[Informed], None]) -> None:
        self._config = config
        self._state = state
        self._post = post
        self._lock = threading.Lock()
        self._asking: dict[str, Command] = {}

    def ask(self, command: Command) -> None:
        """Begin, unless it is under way."""
        with self._lock:
            begun = bool(self._asking)
            self._asking.setdefault(command.id, command)
        if not begun:
            camera = of_camera(self._state().camera)
            threading.Thread(target=self._run, args=(camera,), name="check", daemon=True).start()

    def _run(self, camera: Finding) -> None:
        result = CheckResult(checks=(camera, *examined(self._config))).model_dump(mode="json")
        with self._lock:
            asking, self._asking = self._asking, {}
        for command in asking.values():
            self._post(Informed(command, result))


def of_camera(camera: CameraState) -> Finding:
    """What the agent knows of its camera."""
    since = f" since {camera.since:%Y-%m-%d %H:%M:%S} UTC" if camera.since else ""
    told = f"{camera.source} is {camera.status}{since}" + (f": {camera.cause}" if camera.cause else "")
    if camera.status == "lost":
        return Finding(name="camera", level="fail", finding=told, cure="look at its cable, power, address and account")
    return Finding(name="camera", level="warn" if camera.status == "opening" else "ok", finding=told)


def examined(config: Config) -> tuple[Finding, ...]:
    """What doctor finds; that it did not come to an end is a finding too."""
    try:
        # As JSON the configuration would hide its passwords, as it has to.
        given = pickle.dumps(config)
        done = subprocess.run(PROGRAM, input=given, capture_output=True, timeout=LIMIT_S, check=True)  # noqa: S603 - our own program
        return FINDINGS.validate_json(done.stdout)
    except subprocess.TimeoutExpired:
        told = f"no answer within {LIMIT_S:g} s"
    except subprocess.CalledProcessError as error:
        told = f"it ended with {error.returncode}"
    except (OSError, ValidationError) as error:
        told = f"{type(error).__name__}"
    return (Finding(name="doctor", level="fail", finding=told, cure="run `agent doctor` on the box"),)
