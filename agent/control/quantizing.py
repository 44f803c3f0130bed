"""The `quantize` job: frames of the camera into a private folder, the INT8 variant made beside the running agent.

The work is done by `models quantize` in a process of its own, at the lowest priority: what a quantiser needs of memory
and time is not the agent's. The folder is emptied whatever happens.
"""

import shutil
import sys
import threading

from pydantic import JsonValue

from agent.capture.frame import Image
from agent.config.tree import Config
from agent.control.beside import Beside
from agent.control.events import Done, Work
from agent.control.recording import Choose, Recorder
from agent.control.samples import Samples, shrunk
from agent.control.settings import Settings
from agent.control.workshop import Tell
from agent.errors import EdgeposeError
from agent.extras import require
from agent.pipeline import Result
from agent.wire.commands import Quantize
from models.shelf.store import Store

FRAMES_MIN = 60
"""A third of them is held back, and twenty people have to be seen there."""
EVERY_S = 0.2
"""Seconds between two frames: neighbours add nothing."""
STILL_S = 120.0
"""A quantiser that computed nothing for so long hangs. Live frames go on beside it: only the job is ended."""
RECORDING_SHARE = 0.3
"""Of the job's progress."""


class Quantizing:
    """Does the job, one at a time; :meth:`run` blocks and belongs in a thread of its own."""

    def __init__(self, config: Config, samples: Samples) -> None:
        self._config = config
        self._samples = samples
        self._folder = config.paths.state / f"{config.device_id}-calibration"
        self._beside = Beside("models quantize", STILL_S)
        shutil.rmtree(self._folder, ignore_errors=True)  # a killed agent may have left pictures of people

    def run(self, work: Work, tell: Tell, cancelled: threading.Event) -> Done:
        """Record and quantize; what `models quantize` reports. Raises EdgeposeError, CancelledError when cancelled."""
        require("nncf")  # told before somebody waits for people to come into view
        assert work.command is not None
        args = work.command.args
        assert isinstance(args, Quantize)
        self._folder.mkdir(mode=0o700, parents=True)
        try:
            recorded = self._record(args, tell, cancelled)
            if recorded < FRAMES_MIN:
                raise EdgeposeError(
                    f"{recorded} frames with people in {args.seconds:g} s, at least {FRAMES_MIN} are needed",
                    hint="ask for more seconds, at an hour when people are in view",
                )
            return Done(work.number, self._quantize(args.model, work.settings, _later(tell), cancelled))
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """The agent ends, and may not wait for the job to notice: nothing of it stays behind."""
        self._beside.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _record(self, args: Quantize, tell: Tell, cancelled: threading.Event) -> int:
        """Write frames with people in view until there are enough or the time is over; how many there are."""
        recorder = Recorder(self._folder, args.frames, _calibrating())

        def taken(frames: int) -> None:
            tell(f"recording frames with people: {frames} of {args.frames}", RECORDING_SHARE * frames / args.frames)

        recorder.record(self._samples, args.seconds, taken, cancelled)
        return recorder.taken

    def _quantize(
        self, model: str | None, settings: Settings, tell: Tell, cancelled: threading.Event
    ) -> dict[str, JsonValue]:
        bar, name = self._config.switch, model or settings.model
        # A size that somebody has set is that of the network that runs.
        long_side = settings.long_side if name == settings.model else None
        command = [sys.executable, "-m", "models.cli", "quantize", name, "--clip", str(self._folder), "--json"]
        command += ["--progress", "json", "--models-dir", str(self._config.paths.models), *self._size(name, long_side)]
        command += ["--missed-max", str(bar.missed_max), "--oks-min", str(bar.oks_min)]
        report = self._beside.run(command, tell, cancelled, hint="record more frames, with people in view")
        assert isinstance(report, dict)
        return report

    def _size(self, name: str, long_side: int | None) -> list[str]:
        """The input size as the agent would run the network."""
        store = Store(self._config.paths.models)
        size, card = self._config.model.input, store.seeing(store.card(name))
        if not card.input.resizable:
            return []
        if (asked := long_side or size.long_side) is not None:
            return ["--long-side", str(asked)]
        if card.decoder.detects and size.height is None:
            return []  # its short side follows the camera
        return ["--height", str(size.height or card.input.height), "--width", str(size.width or card.input.width)]


def _calibrating() -> Choose:
    """Frames with people, some time apart, no larger than networks look at."""
    next_s = 0.0

    def choose(result: Result) -> Image | None:
        nonlocal next_s
        frame = result.frame
        if frame.scene_s < next_s or not len(result.poses.certain()):
            return None
        next_s = frame.scene_s + EVERY_S
        return shrunk(frame).image

    return choose


def _later(tell: Tell) -> Tell:
    """What is told once recording is over."""
    return lambda step, share: tell(step, RECORDING_SHARE + (1 - RECORDING_SHARE) * share)
