"""The command line. Each command stands in :mod:`controller.commands` and is imported when it is asked for."""

import gc
import os
import sys
from typing import Final, NoReturn

import click

from agent.lazy import LazyGroup, Place
from agent.stdout import CURE, full, show_what_it_can
from controller.commands.options import connection
from controller.errors import ControllerError
from controller.interrupt import INTERRUPTED
from controller.terminal.surroundings import tell_error

EPILOG: Final = """
\b
Exit codes:
  0  done, or a job started            4  rejected by the device
  1  failed, cancelled or timed out    5  broker unreachable, or it refuses us
  2  wrong usage                     130  Ctrl-C; the device goes on
  3  no such device, job or command, offline, or no answer in time
Of several devices the worst counts, in the order 1, 4, 3, 0.
'*' is whoever is online, and says whom it left out.

\b
Environment:
  EDGEPOSE_BROKER            HOST[:PORT], mqtt://, mqtts://, ws://, wss://
  EDGEPOSE_BROKER_PASSWORD   the password, where no file holds it
  EDGEPOSE_BROKER_USERNAME, _PASSWORD_FILE, _CAFILE, _CERT, _KEY, _PREFIX and
  _TIMEOUT, EDGEPOSE_SIGNING_KEY, EDGEPOSE_PROFILE: the options of that name
  EDGEPOSE_CONTROLLER_JSON   1 for --json
  EDGEPOSE_CONTROLLER_SWEEP_RUNS and so on, by command and option: the others

\b
Completion (bash; zsh and fish alike):
  eval "$(_CONTROLLER_COMPLETE=bash_source controller)"

Every option may also stand after the command. A device's id is what `controller list` shows.
"""

VARIABLES: Final = "EDGEPOSE_CONTROLLER"
"""Of every option that has no other variable: behind it the command and the option."""
TRUE: Final = frozenset({"1", "true", "t", "yes", "y", "on"})
"""What click reads so, of a variable."""
GARBAGE: Final = 50_000
"""Objects that are made before Python looks for garbage: a thousand boxes are many, and none of them is any."""
LOOKING: Final = "Look"
CHANGING: Final = "Change what runs"
MEASURING: Final = "Measure, and what takes minutes"
KEEPING: Final = "Record and retire"
CHANGE: Final = "controller.commands.change"
JOBS: Final = "controller.commands.jobs"
SETTINGS: Final = "controller.commands.settings"
LOOK: Final = "controller.commands.look"
LOOK_INTO: Final = "controller.commands.look_into"
STUDY: Final = "controller.commands.study"
VIEWS: Final = "controller.commands.views"
COMMANDS: Final = {
    "list": Place(VIEWS, "list_", "Show every agent on the broker.", LOOKING),
    "top": Place(VIEWS, "top", "Follow every agent live, until Ctrl-C.", LOOKING),
    "inventory": Place(
        VIEWS, "inventory", "Show what every box is: processor, memory, devices, networks, versions.", LOOKING
    ),
    "status": Place(LOOK, "status", "Show what DEVICE runs and how fast.", LOOKING),
    "describe": Place(LOOK, "describe", "Show what DEVICE is and what it can do.", LOOKING),
    "watch": Place(LOOK, "watch", "Follow DEVICE live, until Ctrl-C.", LOOKING),
    "events": Place("controller.commands.events", "events", "Follow what happens on a device, until Ctrl-C.", LOOKING),
    "check": Place(LOOK_INTO, "check", "Have a box look for what is wrong with it, and say the cure.", LOOKING),
    "logs": Place(LOOK_INTO, "logs", "Show the last lines of a box's log.", LOOKING),
    "dashboard": Place(
        "controller.commands.dashboard",
        "dashboard",
        "Show every box on a page of this machine, and change what it runs.",
        LOOKING,
    ),
    "snapshot": Place("controller.commands.snapshot", "snapshot", "Write what the camera sees now to a file.", LOOKING),
    "set-device": Place(CHANGE, "set_device", "Run on another processor, or on several.", CHANGING),
    "set-precision": Place(CHANGE, "set_precision", "Compute in another precision.", CHANGING),
    "set-model": Place(CHANGE, "set_model", "Run another network, one that is installed on the box.", CHANGING),
    "set-input": Place(CHANGE, "set_input", "Look at the picture at another size.", CHANGING),
    "set-hint": Place(CHANGE, "set_hint", "Optimise for the time of a frame, or for frames a second.", CHANGING),
    "set-affinity": Place(CHANGE, "set_affinity", "Choose which layers run on which device.", CHANGING),
    "plan-affinity": Place(CHANGE, "plan_affinity", "Ask what set-affinity would do, changing nothing.", CHANGING),
    "set-zones": Place("controller.commands.zones", "set_zones", "Count people in other zones, live.", CHANGING),
    "set": Place(SETTINGS, "set_", "Put other values over a box's configuration.", CHANGING),
    "get": Place(SETTINGS, "get", "Show settings that may be changed from afar.", CHANGING),
    "unset": Place(SETTINGS, "unset", "Have the box's own configuration count again.", CHANGING),
    "diff": Place(SETTINGS, "diff", "Show settings that differ from the box's configuration.", CHANGING),
    "restart": Place(SETTINGS, "restart", "Have the agent start anew, where it runs as a service.", CHANGING),
    "rollout": Place(
        "controller.commands.rollout",
        "rollout",
        "Change many boxes, some at a time, and take it back where too many do not bear it.",
        CHANGING,
    ),
    "pause": Place(CHANGE, "pause", "Stop looking at frames; engine and camera stay ready.", CHANGING),
    "resume": Place(CHANGE, "resume", "Go on after a pause.", CHANGING),
    "benchmark": Place(
        STUDY, "benchmark", "Measure one configuration of DEVICE; what is left out is as it runs now.", MEASURING
    ),
    "sweep": Place(
        STUDY, "sweep", "Repeat the whole study on DEVICE: the original model, and every combination.", MEASURING
    ),
    "tune": Place(
        "controller.commands.tune",
        "tune",
        "Find the network, size, precision, device and hint that hold a wish.",
        MEASURING,
    ),
    "report": Place(
        STUDY,
        "report",
        "Show a study that --out of `controller sweep` or `benchmark` has written; no broker is needed.",
        MEASURING,
    ),
    "quantize": Place(
        JOBS,
        "quantize",
        "Make a network's INT8 variant from what the camera sees.",
        MEASURING,
    ),
    "fetch": Place(JOBS, "fetch", "Bring the network NAME of the catalogue to a box.", MEASURING),
    "jobs": Place(
        JOBS,
        "jobs",
        "List the jobs that run, or ended within a day.",
        MEASURING,
    ),
    "job": Place(
        JOBS,
        "job",
        "Show how far the job ID of DEVICE is.",
        MEASURING,
    ),
    "cancel": Place(
        JOBS,
        "cancel",
        "End a job or a command, by its ID.",
        MEASURING,
    ),
    "record": Place(
        "controller.commands.record", "record", "Write the keypoints of DEVICE to a file, until Ctrl-C.", KEEPING
    ),
    "replay": Place(
        "controller.commands.replay",
        "replay",
        "Publish the recording FILE.jsonl as its device would, until its end or Ctrl-C.",
        KEEPING,
    ),
    "forget": Place(
        "controller.commands.forget",
        "forget",
        "Clear what the broker keeps of DEVICE, a box that is gone for good.",
        KEEPING,
    ),
}


@click.group(
    cls=LazyGroup,
    places=COMMANDS,
    epilog=EPILOG,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "auto_envvar_prefix": VARIABLES,
    },
)
@connection(environment=True)
@click.version_option(package_name="edgepose", message="edgepose %(version)s")
def cli() -> None:
    """See what the edgepose agents on a broker are doing, and change it while they run."""


def main() -> None:
    """Run `controller`."""
    as_json = "--json" in sys.argv[1:] or os.environ.get(f"{VARIABLES}_JSON", "").lower() in TRUE
    show_what_it_can()
    gc.set_threshold(GARBAGE)
    try:
        _run(as_json=as_json)
    except OSError as error:
        if (told := full(error)) is None:
            raise
        tell_error(told, hint=CURE, as_json=as_json)
        sys.exit(1)


def _run(*, as_json: bool) -> NoReturn:
    try:
        code = cli.main(standalone_mode=False)
    except ControllerError as error:
        tell_error(str(error), hint=error.hint, code=error.exit_code, as_json=as_json)
        sys.exit(error.exit_code)
    except click.Abort as error:
        code = INTERRUPTED if isinstance(error.__context__, KeyboardInterrupt) else 1
        if code == 1 or as_json:  # whoever has pressed Ctrl-C knows
            tell_error("ended before it was done", code=code, as_json=as_json)
        sys.exit(code)
    except click.ClickException as error:
        if as_json:
            tell_error(error.format_message(), code=error.exit_code, as_json=True)
        else:
            error.show()
        sys.exit(error.exit_code)
    finally:
        sys.stdout.flush()
    sys.exit(code if isinstance(code, int) else 0)
