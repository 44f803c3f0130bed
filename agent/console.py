"""What every command of the box shares: its configuration, its signals, and how it ends.

A known fault is one line and its cure, never a traceback.
"""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

import click

from agent.errors import EdgeposeError
from agent.extras import missing
from agent.redact import redact
from agent.stdout import CURE, fitted, full, show_what_it_can

OWN_PACKAGES: Final = frozenset({"agent", "configs", "controller", "models"})
STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
CONFIG_OPTION = click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="EDGEPOSE_CONFIG",
    help="TOML file; without it every option has its default. EDGEPOSE_* variables override any key.",
)


def run(command: click.Command) -> int:
    """Run a click command; the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    show_what_it_can()
    try:
        code = command(standalone_mode=False)
        sys.stdout.flush()
    except SystemExit as end:
        code = end.code
    except click.Abort as error:  # Ctrl-C, or a question answered with no
        return 130 if isinstance(error.__context__, KeyboardInterrupt) else 1
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except EdgeposeError as error:
        return _failed(str(error), error.hint)
    except OSError as error:
        told = full(error)
        return _crashed() if told is None else _failed(told, CURE)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in OWN_PACKAGES:
            absent = missing(package)
            return _failed(str(absent), absent.hint)
        return _crashed()
    except Exception:  # noqa: BLE001 - top of the main thread: a defect, shown as one
        return _crashed()
    return code if isinstance(code, int) else 0


def _crashed() -> int:
    click.echo(redact(traceback.format_exc()), err=True, nl=False)
    return 1


def _failed(message: str, hint: str) -> int:
    click.echo(fitted(f"Error: {message}", sys.stderr), err=True)
    if hint:
        click.echo(fitted(f"Hint: {hint}", sys.stderr), err=True)
    return 1


class Signals:
    """SIGTERM and Ctrl-C, taken by a thread of their own; to be made before any other thread, which inherits the mask.

    A handler would run in the main thread, and Python misses the signal that comes just before that thread waits on a
    lock: it would be answered when the wait is over.
    """

    def __init__(self) -> None:
        # Until there is an agent nobody has been told of it: there is nothing to end but the process.
        self.then: Callable[[str], None] = lambda _reason: leave(0)
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        threading.Thread(target=self._run, name="signals", daemon=True).start()

    def _run(self) -> None:
        while True:
            reason = signal.Signals(signal.sigwait(STOPPING)).name
            self.then(reason)


def leave(code: int) -> NoReturn:
    """End the process at once.

    A thread may still be in a compile or a driver. It cannot be interrupted, must not hold up the end, and would crash
    in an interpreter that is being taken down around it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
