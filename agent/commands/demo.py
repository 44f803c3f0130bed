"""`agent demo`: poses on this machine, with nothing but this machine."""

import signal
from pathlib import Path

import click

from agent.console import leave


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), help="End by itself after this long.")
@click.option("--model", default=None, help="A network of the catalogue; `models list` shows them.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=1883,
    show_default=True,
    help="Where the demo's broker listens; another port is taken where it is busy.",
)
@click.option(
    "--video", type=click.Path(dir_okay=False, path_type=Path), help="Also write the annotated clip to this file."
)
@click.option("--page", is_flag=True, help="Also serve `controller dashboard` for a browser on this machine.")
def demo(seconds: float | None, model: str | None, port: int, video: Path | None, *, page: bool) -> None:
    """Show poses flowing, with nothing but this machine.

    Runs an agent on the sample clip and a broker of its own, and shows live what comes over it. Needs no camera, GPU
    or broker; the first run downloads the network and the clip.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        from agent.demo import run_demo  # noqa: PLC0415 - Ctrl-C while it is imported is an end like any other

        code = run_demo(seconds=seconds, model=model, port=port, video=video, page=page)
    except KeyboardInterrupt:  # while it starts or ends
        code = 0
    leave(code)
