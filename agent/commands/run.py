"""`agent run`: the service."""

import faulthandler
from pathlib import Path

import click

from agent.config.file import load
from agent.console import CONFIG_OPTION, Signals, leave
from agent.observe import logs


@click.command()
@CONFIG_OPTION
def run(config_file: Path | None) -> None:
    """Run the agent until it is stopped.

    SIGTERM and Ctrl-C stop it, and so does the end of a video file or folder that does not loop.
    """
    faulthandler.enable()  # where a hung agent stood when systemd's watchdog ended it, for the journal
    signals = Signals()
    config = load(config_file)
    logs.setup(config.log)
    from agent.app import Agent  # noqa: PLC0415 - takes most of the start; a bad configuration is told before it

    running = Agent(config)
    signals.then = running.stop
    leave(running.run())
