"""The baseline: the original model, as whoever trained it would run it without OpenVINO.

The same network in its original framework's format, run by OpenCV's DNN module on the CPU with OpenCV's own number of
threads, one frame after the other; before and behind it the application's own letterbox, decoder, tracking and
encoding.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.benchmark.load import Meter
from agent.benchmark.measure import Measured, encode, measured
from agent.capture.frame import EndOfSource, Frame, Image, Source
from agent.errors import CancelledError, EngineError, ModelError
from agent.inference.letterbox import Letterbox, prepare
from agent.observe.telemetry import Timing
from agent.pipeline import Result
from agent.poses.decoders import Decoder
from agent.poses.skeleton import Poses
from agent.tracking import Track
from models.shelf.catalogue import FrozenConversion, NetworkCard, TfjsConversion
from models.shelf.store import Store

Floats = NDArray[np.float32]

READ_S = 5.0
OPENCV_DEFAULT = -1
"""As a number of threads: as many as OpenCV would take by itself."""


class Original:
    """A network in its original format, at one input size. Nothing else may use OpenCV's threads meanwhile.

    The agent gives OpenCV a single thread; here it has its default number, put back after each run. Raises ModelError
    for a network that has no original format here, or whose original does not take an input of ``size`` (height,
    width).
    """

    def __init__(self, store: Store, card: NetworkCard, size: tuple[int, int], decoder: Decoder) -> None:
        if not isinstance(card.conversion, TfjsConversion | FrozenConversion):
            raise ModelError(f"{card.name} comes without an original model that OpenCV could run")
        cut = card.conversion.cut
        self._name = card.name
        self._decoder = decoder
        self._input: Image = np.zeros((*size, 3), np.uint8)
        self._blob = cv2.dnn.Image2BlobParams()
        self._blob.mean = card.input.mean
        self._blob.scalefactor = tuple(1 / divisor for divisor in card.input.scale)
        self._blob.swapRB = card.input.colour == "RGB"
        self._axes = (0, 2, 3, 1) if card.input.layout == "NHWC" else (0, 1, 2, 3)
        try:
            self._net = cv2.dnn.readNetFromTensorflow(str(store.original(card.name)))
            # OpenCV names an output after the last operation it has not joined to another.
            names = self._net.getUnconnectedOutLayersNames()
            self._outputs = [next(name for name in names if name.startswith(cut[role])) for role in decoder.roles]
            with opencv_threads():
                self._infer(self._blobbed())
        except (cv2.error, StopIteration) as error:
            raise ModelError(
                f"OpenCV cannot run the original {card.name} at {size[1]}x{size[0]}",
                hint="it may take other sizes, for example the network's own",
            ) from error

    def run_once(
        self,
        source: Source,
        *,
        track: Track | None,
        meter: Meter,
        cancelled: threading.Event,
        keep_poses: bool = False,
        goes_on: Callable[[int], None] = lambda _frames: None,
    ) -> Measured:
        """Run ``source`` to its end; everything else as :func:`agent.benchmark.measure.run_once` does."""
        kept: list[Poses] = []
        timings: list[Timing] = []
        with opencv_threads():
            meter.start()
            began_s = time.perf_counter()
            while (frame := _next(source)) is not None:
                if cancelled.is_set():
                    raise CancelledError("cancelled during a run")
                poses, timing = self._one(frame, track)
                timings.append(timing)
                goes_on(len(timings))
                if keep_poses:
                    kept.append(poses)
            return measured(timings, began_s, meter, kept)

    def _one(self, frame: Frame, track: Track | None) -> tuple[Poses, Timing]:
        began = time.perf_counter()
        letterbox = prepare(frame, self._input)
        blob = self._blobbed()
        prepared = time.perf_counter()
        try:
            outputs = self._infer(blob)
        except cv2.error as error:
            raise EngineError(f"inference failed: {error}") from error
        inferred = time.perf_counter()
        decoded_poses = self._decode(outputs, letterbox)
        decoded = time.perf_counter()
        poses = decoded_poses if track is None else track(decoded_poses, frame.scene_s)
        tracked = time.perf_counter()
        encode(Result(frame, poses, 0, self._name))
        finished = time.perf_counter()
        return decoded_poses, Timing(
            capture_ms=frame.capture_ms,
            prepare_ms=(prepared - began) * 1e3,
            infer_ms=(inferred - prepared) * 1e3,
            decode_ms=(decoded - inferred) * 1e3,
            track_ms=(tracked - decoded) * 1e3,
            publish_ms=(finished - tracked) * 1e3,
            age_ms=(finished - frame.captured_s) * 1e3,
            finished_s=finished,
            persons=len(poses.certain()),
        )

    def _blobbed(self) -> Floats:
        """float32 (1, 3, H, W) in the network's own colours and range."""
        return np.asarray(cv2.dnn.blobFromImageWithParams(self._input, self._blob), np.float32)

    def _infer(self, blob: Floats) -> list[Floats]:
        self._net.setInput(blob)
        return [np.asarray(output, np.float32) for output in self._net.forward(self._outputs)]

    def _decode(self, outputs: list[Floats], letterbox: Letterbox) -> Poses:
        return self._decoder.decode(
            tuple(np.ascontiguousarray(output.transpose(self._axes)) for output in outputs), letterbox
        )


def _next(source: Source) -> Frame | None:
    """The next frame, however long it takes; None at the end."""
    try:
        while (frame := source.read(READ_S)) is None:
            pass
    except EndOfSource:
        return None
    return frame


@contextmanager
def opencv_threads() -> Iterator[None]:
    """Let OpenCV have its default number of threads; puts back what it had."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(OPENCV_DEFAULT)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
