"""The command ``agent``. Each command stands in :mod:`agent.commands` and is imported when it is asked for."""

from typing import Final

import click

from agent import __version__, console
from agent.lazy import LazyGroup, Place

COMMANDS: Final = {
    "cameras": Place("agent.commands.cameras", "cameras", "List the cameras of this box and what they can do."),
    "check-config": Place("agent.commands.check_config", "check_config", "Say what is wrong in a configuration file."),
    "demo": Place("agent.commands.demo", "demo", "Show poses flowing, with nothing but this machine."),
    "doctor": Place("agent.commands.doctor", "doctor", "Say what is wrong on this box, and the cure."),
    "forget": Place(
        "agent.commands.forget", "forget", "Clear what the broker keeps of this device, which is taken away."
    ),
    "record": Place("agent.commands.record", "record", "Write the source's poses to a file, without a broker."),
    "run": Place("agent.commands.run", "run", "Run the agent until it is stopped."),
    "schema": Place("agent.commands.schema", "schema", "Print the JSON Schemas of all messages and commands."),
}


@click.group(
    cls=LazyGroup,
    places=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="edgepose %(version)s")
def agent() -> None:
    """Find every person's pose in a camera's picture and publish it over MQTT.

    New here? `agent demo` shows it at work; `agent doctor` says what a box still lacks.

    Exit codes: 0 done or asked to stop, 1 failed, 2 wrong usage.
    """


def main() -> None:
    """Entry point."""
    console.leave(console.run(agent))
