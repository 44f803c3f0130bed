"""How a command line of the box ends: a known fault is one line and its cure, never a traceback."""

import traceback

import click

from agent.errors import EdgeposeError
from agent.extras import missing
from agent.redact import redact

OWN_PACKAGES = frozenset({"agent", "configs", "controller", "models"})


def run(command: click.Command) -> int:
    """Run a click command; the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    try:
        code = command(standalone_mode=False)
    except SystemExit as end:
        code = end.code
    except click.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except EdgeposeError as error:
        return _failed(str(error), error.hint)
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
    click.echo(f"error: {message}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)
    return 1
