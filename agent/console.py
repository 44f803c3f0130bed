"""How a command line of the box ends: a known fault is one line and its cure, never a traceback."""

import traceback

import click

from agent.errors import EdgeposeError

OWN_PACKAGES = frozenset({"agent", "configs", "controller", "models"})
EXTRA_OF = {"iotcore": "demo", "nncf": "quantize", "pycocotools": "evaluate"}
"""Which of the project's extras brings a package; a box's own, `agent`, brings the others."""


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
        if (error.name or "").partition(".")[0] not in OWN_PACKAGES:
            extra = EXTRA_OF.get(error.name or "", "agent")
            return _failed(f"{error.name} is not installed", f"in the clone: pip install '.[{extra}]'")
        traceback.print_exc()
        return 1
    except Exception:  # noqa: BLE001 - top of the main thread: a defect, shown as one
        traceback.print_exc()
        return 1
    return code if isinstance(code, int) else 0


def _failed(message: str, hint: str) -> int:
    click.echo(f"error: {message}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)
    return 1
