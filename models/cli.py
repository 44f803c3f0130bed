"""The command ``models``. Each command stands in :mod:`models.commands` and is imported when it is asked for."""

import sys
from typing import Final

import click

from agent import __version__, console
from agent.lazy import LazyGroup, Place

COMMANDS: Final = {
    "add": Place("models.commands.fetch", "add", "Install a network of your own."),
    "compare": Place("models.commands.compare", "compare", "Show where two networks or sizes disagree."),
    "evaluate": Place("models.commands.evaluate", "evaluate", "Measure average precision on your pictures."),
    "fetch": Place("models.commands.fetch", "fetch", "Fetch networks and clips into the cache."),
    "inspect": Place("models.commands.inspect", "inspect", "Show what a network is made of."),
    "list": Place("models.commands.list_all", "list_", "List networks and clips, installed or not."),
    "quantize": Place("models.commands.quantize", "quantize", "Make the INT8 variant of a network."),
    "remove": Place("models.commands.remove", "remove", "Take networks and clips out of the cache."),
}


@click.group(
    cls=LazyGroup,
    places=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="edgepose %(version)s")
def cli() -> None:
    """Fetch networks and sample clips, look into them, and measure them.

    A newcomer needs none of this: `agent demo` fetches what it runs.
    """


def main() -> None:
    """Entry point."""
    sys.exit(console.run(cli))


if __name__ == "__main__":
    main()
