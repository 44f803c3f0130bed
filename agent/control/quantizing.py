"""The `quantize` job: frames of the camera into a private folder, the INT8 variant made beside the running agent.

The work is done by `models quantize` in a process of its own, at the lowest priority: what a quantiser needs of memory
and time is not the agent's. The folder is emptied whatever happens.
"""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import psutil
from pydantic import JsonValue

from agent.config import Config
from agent.control.events import Work
from agent.control.samples import Samples, shrunk
from agent.errors import CancelledError, EdgeposeError
from agent.pipeline import Result
from agent.wire.commands import Quantize

Tell = Callable[[str, float], None]

FRAMES_MIN = 40
EVERY_S = 0.2
"""Seconds between two frames: neighbours add nothing."""
LOWEST = 19
"""Priority of the quantiser, as `nice` counts: the people in view come first."""
RECORDING_SHARE = 0.3
"""Of the job's progress."""


class Quantizing:
    """Does the job, one at a time; :meth:`run` blocks and belongs in a thread of its own."""

    def __init__(self, config: Config, samples: Samples) -> None:
        self._config = config
        self._samples = samples
        self._folder = config.paths.state / f"{config.device_id}-calibration"
        shutil.rmtree(self._folder, ignore_errors=True)  # a killed agent may have left pictures of people

    def run(self, work: Work, tell: Tell, cancelled: threading.Event) -> dict[str, JsonValue]:
        """Record and quantize; what `models quantize` reports. Raises EdgeposeError, CancelledError when cancelled."""
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
            return self._quantize(args.model or work.settings.model, tell, cancelled)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _record(self, args: Quantize, tell: Tell, cancelled: threading.Event) -> int:
        """Write frames with people in view until there are enough or the time is over; how many there are."""
        recorder = _Recorder(self._folder, args.frames)
        self._samples.recorder = recorder.offer
        try:
            deadline = time.monotonic() + args.seconds
            while not recorder.enough.wait(1.0) and time.monotonic() < deadline:
                if cancelled.is_set():
                    raise CancelledError("cancelled while it recorded frames")
                tell(f"recording frames with people: {recorder.taken} of {args.frames}", _share(recorder.taken, args))
        finally:
            self._samples.recorder = None
        return recorder.taken

    def _quantize(self, name: str, tell: Tell, cancelled: threading.Event) -> dict[str, JsonValue]:
        size = ("--long-side", str(self._config.model.input.long_side)) if self._config.model.input.long_side else ()
        command = [sys.executable, "-m", "models.cli", "quantize", name, "--clip", str(self._folder), "--json"]
        command += ["--progress", "json", "--models-dir", str(self._config.paths.models), *size]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own program
            psutil.Process(process.pid).nice(LOWEST)
            ended = threading.Event()
            watcher = threading.Thread(target=_end_when, args=(process, cancelled, ended), daemon=True)
            watcher.start()
            assert process.stderr is not None
            assert process.stdout is not None
            said = _follow(process.stderr, tell)
            told = process.stdout.read()
            ended.set()
        if cancelled.is_set():
            raise CancelledError("cancelled while it quantized")
        if process.returncode:
            raise EdgeposeError(said or f"models quantize ended with {process.returncode}", hint="see the agent's log")
        report: dict[str, JsonValue] = json.loads(told)
        return report


class _Recorder:
    """Takes frames with people off the pipeline and writes them as pictures."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._most = most
        self._next_s = 0.0
        self.taken = 0
        self.enough = threading.Event()

    def offer(self, result: Result) -> None:
        """Look at a result, in the pipeline's thread."""
        frame = result.frame
        if self.enough.is_set() or frame.scene_s < self._next_s or not len(result.poses.certain()):
            return
        self._next_s = frame.scene_s + EVERY_S
        cv2.imwrite(str(self._folder / f"{self.taken:05}.jpg"), shrunk(frame).image, (cv2.IMWRITE_JPEG_QUALITY, 95))
        self.taken += 1
        if self.taken >= self._most:
            self.enough.set()


def _share(taken: int, args: Quantize) -> float:
    return RECORDING_SHARE * taken / args.frames


def _end_when(process: "subprocess.Popen[str]", cancelled: threading.Event, ended: threading.Event) -> None:
    while not ended.wait(0.2):
        if cancelled.is_set():
            process.terminate()
            return


def _follow(lines: Iterable[str], tell: Tell) -> str:
    """Pass on the progress that stands in the lines; returns the last of the others, which says what was wrong."""
    last = ""
    for line in lines:
        try:
            news = json.loads(line)
            tell(str(news["step"]), RECORDING_SHARE + (1 - RECORDING_SHARE) * float(news["progress"]))
        except (ValueError, KeyError, TypeError):
            last = line.strip() or last
    return last
