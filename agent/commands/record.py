"""`agent record`: the agent without a broker, its keypoints into a file."""

from collections.abc import Callable
from pathlib import Path

import click

from agent.config.file import load
from agent.config.tree import Config
from agent.console import CONFIG_OPTION, Signals, leave
from agent.observe import logs
from agent.output.recording import FileOutlet, recording_faults
from agent.stdout import Every
from agent.wire.recording import Recording, RecordingError


@click.command()
@CONFIG_OPTION
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="FILE.jsonl: the messages of the wire, one per line. FILE.json: COCO's results, `seq` as image_id.",
)
@click.option("--video", type=click.Path(path_type=Path), help="Also write the annotated video to this file.")
@click.option("--frames", type=click.IntRange(min=1), help="End after so many frames.")
@click.option("--force", is_flag=True, help="Replace the files of --out and --video.")
def record(config_file: Path | None, out: Path, video: Path | None, frames: int | None, *, force: bool) -> None:
    """Write the source's poses to a file, without a broker.

    Of a file or folder every frame is taken once, as fast as it goes; a camera is recorded until Ctrl-C.
    """
    if video is not None and video.exists() and not force:
        raise click.UsageError(f"{video} exists; replace it with --force")
    signals = Signals()
    # A video that the file names belongs to the agent that may be running with it.
    config = load(config_file, overrides={"output.video_file": str(video or "")})
    logs.setup(config.log)
    try:
        recording = Recording(out, replace=force)
    except RecordingError as error:
        raise click.UsageError(f"{error}\n{error.cure}".rstrip()) from error
    from agent.app import Agent  # noqa: PLC0415 - takes most of the start; what is wrong with what was given comes first

    outlet = FileOutlet(recording, said_now_and_then(recording, Every()))
    running = Agent(every_frame_once(config), outlet=outlet, frames_max=frames)
    signals.then = running.stop
    with recording_faults(), recording:
        code = running.run()
    click.echo(f"{out}: {recording.tally}" if recording.tally.frames else "no frame came, nothing is written", err=True)
    leave(code)


def said_now_and_then(recording: Recording, every: Every) -> Callable[[], None]:
    """To be called after each frame: says on standard error, so often, what has been recorded by then."""

    def taken() -> None:
        if every.due():
            click.echo(f"{recording.path}: {recording.tally}", err=True)

    return taken


def every_frame_once(config: Config) -> Config:
    """A file or folder from its first frame to its last, as fast as it goes; a camera as it is."""
    if config.camera.live:
        return config
    camera = config.camera.model_copy(update={"lossless": True, "pace": "fast", "loop": False})
    return config.model_copy(update={"camera": camera})
