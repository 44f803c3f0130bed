"""`agent doctor`: what is wrong on this box."""

from pathlib import Path

import click
from rich.console import Console

from agent.config.file import load
from agent.console import CONFIG_OPTION, leave
from agent.doctor import checks
from agent.observe import logs


@click.command()
@CONFIG_OPTION
@click.option("--json", "as_json", is_flag=True, help="One JSON document for machines.")
def doctor(config_file: Path | None, *, as_json: bool) -> None:
    """Say what is wrong on this box, and the cure.

    Tries camera, GPU runtime, devices, broker, network, disk, state, service, clock and processor. Exit code 1 if one
    of them fails.
    """
    config = load(config_file)
    logs.setup(config.log.model_copy(update={"level": "error"}))
    found = checks.run(config)
    if as_json:
        click.echo(checks.as_json(found))
    else:
        Console().print(checks.as_table(found))
    leave(checks.exit_code(found))
