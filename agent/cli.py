"""The command ``agent``. Heavy imports wait until a command needs them."""

import faulthandler
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import click

from agent import __version__, console

STOPPING = (signal.SIGTERM, signal.SIGINT)
CONFIG_OPTION = click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="EDGEPOSE_CONFIG",
    help="TOML file; without it every option has its default. EDGEPOSE_* variables override any key.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="edgepose agent")
def agent() -> None:
    """Find every person's pose in a camera's picture and publish it over MQTT.

    New here? `agent demo` shows it at work; `agent doctor` says what a box still lacks.

    Exit codes: 0 done or asked to stop, 1 failed, 2 wrong usage.
    """


@agent.command()
@CONFIG_OPTION
def run(config_file: Path | None) -> None:
    """Run the agent until it is stopped.

    SIGTERM and Ctrl-C stop it, and so does the end of a video file or folder that does not loop.
    """
    from agent import logs  # noqa: PLC0415
    from agent.config_file import load  # noqa: PLC0415

    faulthandler.enable()  # where a hung agent stood when systemd's watchdog ended it, for the journal
    signals = _Signals()
    config = load(config_file)
    logs.setup(config.log)
    from agent.app import Agent  # noqa: PLC0415 - takes most of the start; a bad configuration is told before it

    running = Agent(config)
    signals.then = running.stop
    _leave(running.run())


@agent.command()
@CONFIG_OPTION
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="FILE.jsonl: the messages of the wire, one per line. FILE.json: COCO's results, `seq` as image_id.",
)
@click.option("--video", type=click.Path(path_type=Path), help="Also write the annotated video to this file.")
@click.option("--frames", type=click.IntRange(min=1), help="End after so many frames.")
@click.option("--force", is_flag=True, help="Replace the file of --out.")
def record(config_file: Path | None, out: Path, video: Path | None, frames: int | None, *, force: bool) -> None:
    """Write the source's poses to a file, without a broker.

    Of a file or folder every frame is taken once, as fast as it goes; a camera is recorded until Ctrl-C.
    """
    from agent import logs  # noqa: PLC0415
    from agent.config_file import load  # noqa: PLC0415
    from agent.wire.recording import Recording, RecordingError  # noqa: PLC0415

    signals = _Signals()
    # A video that the file names belongs to the agent that may be running with it.
    config = load(config_file, overrides={"output.video_file": str(video or "")})
    logs.setup(config.log)
    try:
        recording = Recording(out, replace=force)
    except RecordingError as error:
        raise click.UsageError(f"{error}\n{error.cure}".rstrip()) from error
    from agent.record import recording_agent, recording_faults  # noqa: PLC0415

    running = recording_agent(config, recording, frames)
    signals.then = running.stop
    with recording_faults(), recording:
        code = running.run()
    click.echo(f"{out}: {recording.tally}" if recording.tally.frames else "no frame came, nothing is written", err=True)
    _leave(code)


@agent.command()
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
def demo(seconds: float | None, model: str | None, port: int, video: Path | None) -> None:
    """Show poses flowing, with nothing but this machine.

    Runs an agent on the sample clip and a broker of its own, and shows live what comes over it. Needs no camera, GPU
    or broker; the first run downloads the network and the clip.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        from agent.demo import run_demo  # noqa: PLC0415

        code = run_demo(seconds=seconds, model=model, port=port, video=video)
    except KeyboardInterrupt:  # while it starts or ends
        code = 0
    _leave(code)


@agent.command("check-config")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--engine", is_flag=True, help="Also build the network on the CPU and check what it computes.")
def check_config(file: Path, *, engine: bool) -> None:
    """Say what is wrong in a configuration file.

    Tells every fault at once, with its place and what was expected. Exit code 0 if there is none.
    """
    from agent.config_file import load  # noqa: PLC0415

    config = load(file)
    click.echo(f"{file}: good")
    if engine:
        from agent.proof import prove_engine  # noqa: PLC0415

        click.echo(prove_engine(config))


@agent.command()
@CONFIG_OPTION
@click.option("--json", "as_json", is_flag=True, help="One JSON document for machines.")
def doctor(config_file: Path | None, *, as_json: bool) -> None:
    """Say what is wrong on this box, and the cure.

    Tries camera, GPU runtime, devices, broker, network, disk, state, service, clock and processor. Exit code 1 if one
    of them fails.
    """
    from rich.console import Console  # noqa: PLC0415

    from agent import doctor as checks  # noqa: PLC0415
    from agent import logs  # noqa: PLC0415
    from agent.config_file import load  # noqa: PLC0415

    config = load(config_file)
    logs.setup(config.log.model_copy(update={"level": "error"}))
    found = checks.run(config)
    if as_json:
        click.echo(checks.as_json(found))
    else:
        Console().print(checks.as_table(found))
    _leave(checks.exit_code(found))


@agent.command()
def schema() -> None:
    """Print the JSON Schemas of all messages."""
    from agent.wire import messages  # noqa: PLC0415

    kinds = sorted(messages.Message.__subclasses__(), key=lambda kind: kind.__name__)
    click.echo(json.dumps({kind.__name__.lower(): kind.model_json_schema() for kind in kinds}, indent=2))


class _Signals:
    """SIGTERM and Ctrl-C, taken by a thread of their own; to be made before any other thread, which inherits the mask.

    A handler would run in the main thread, and Python misses the signal that comes just before that thread waits on a
    lock: it would be answered when the wait is over.
    """

    def __init__(self) -> None:
        # Until there is an agent nobody has been told of it: there is nothing to end but the process.
        self.then: Callable[[str], None] = lambda _reason: _leave(0)
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        threading.Thread(target=self._run, name="signals", daemon=True).start()

    def _run(self) -> None:
        while True:
            reason = signal.Signals(signal.sigwait(STOPPING)).name
            self.then(reason)


def _leave(code: int) -> NoReturn:
    """End the process at once.

    A thread may still be in a compile or a driver. It cannot be interrupted, must not hold up the end, and would crash
    in an interpreter that is being taken down around it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Entry point."""
    _leave(console.run(agent))
