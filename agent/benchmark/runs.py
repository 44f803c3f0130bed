"""A configuration on the footage of a benchmark: what it needs to be had, its input size, its engine, its runs."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from agent.benchmark.clips import Footage
from agent.benchmark.limit import Limits
from agent.benchmark.load import LoadMeter
from agent.benchmark.measure import Measured, run_once
from agent.capture.frame import Frame
from agent.config.tree import Config
from agent.control.asking import Box, require_precision
from agent.control.settings import Settings
from agent.control.workshop import Tell, Workshop
from agent.errors import CaptureError, ConfigError
from agent.inference.network import Network
from agent.pipeline import Lane, infer
from agent.poses.agreement import POSSIBLE
from agent.poses.decoders import Decoder, decoder_for
from agent.tracking import Track, track_stage
from agent.wire.devices import DeviceString, require
from agent.wire.study import Recipe
from agent.wire.wording import many
from models.shelf.inspect import inspect
from models.shelf.store import Store

FRAME_S = 10.0
GOING_ON_S = 10.0
"""So often a long run tells that it goes on: who watches the agent would take its silence for a hang."""
WARM_FRAMES = 5


@dataclass(frozen=True, slots=True)
class Bench:
    """What a study needs of the box. The footage is read from its start for every run."""

    config: Config
    store: Store
    workshop: Workshop
    limits: Limits
    box: Box
    footage: Footage


class Progress:
    """What is being done and how far it is: ``tell`` hears of each step, and then every ten seconds that it goes on."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._told_s = 0.0
        self.what = ""
        self.share = 0.0

    def step(self, what: str, share: float) -> None:
        """Begin a step, at this share of the whole."""
        self.what, self.share = what, share
        self._say(what)

    def goes_on(self, frames: int) -> None:
        """So many frames of the step are done."""
        if time.monotonic() - self._told_s > GOING_ON_S:
            self._say(f"{self.what}, {many(frames, 'frame')}")

    def _say(self, what: str) -> None:
        self._told_s = time.monotonic()
        self._tell(what, self.share)


class Runs:
    """Engines of any configuration, and runs of the footage through them.

    ``goes_on`` is told every now and then how many frames of a run are done; ``cancelled`` ends a run.
    """

    def __init__(self, bench: Bench, cancelled: threading.Event, goes_on: Callable[[int], None]) -> None:
        self._bench = bench
        self._cancelled = cancelled
        self._goes_on = goes_on
        self._first: Frame | None = None

    def require(self, recipe: Recipe) -> None:
        """Refuse what this box has no device or no variant for. Raises CommandError."""
        for device in filter(None, (recipe.device, recipe.detector)):
            require(DeviceString.parse(device), self._bench.box.devices)
        require_precision(recipe.model, recipe.precision, self._bench.box)

    def size(self, settings: Settings) -> tuple[int, int]:
        """Height and width of the input as the agent would run these settings on the footage.

        Raises ConfigError for a size the network does not take, CaptureError for footage that gives no frame.
        """
        return self._bench.workshop.size(settings, self._first_frame())

    def largest(self, settings: Settings, sides: Sequence[int]) -> tuple[int, int]:
        """The size of the longest of ``sides`` that the network takes; where it takes none, that of the settings.

        Raises as :meth:`size` does.
        """
        for side in sorted(sides, reverse=True):
            try:
                return self.size(settings.model_copy(update={"long_side": side}))
            except ConfigError:
                continue
        return self.size(settings)

    def engine(self, settings: Settings, size: tuple[int, int]) -> Network:
        """A checked engine, to be closed by the caller. Raises as :meth:`Workshop.build` does."""
        return self._bench.workshop.engine(settings, size)

    def run(self, engine: Network, model: str, score_min: float, *, keep_poses: bool = False) -> Measured:
        """Run the footage through an engine of ``model``, from its start. Raises as :func:`run_once` does."""
        return self.once(partial(run_once, Lane(engine, self.decoder(model, score_min))), keep_poses=keep_poses)

    def warm(self, engine: Network, model: str) -> None:
        """Show an idle engine the first frame a few times: the first inferences are slower. Raises EngineError."""
        first, decoder = self._first_frame(), self.decoder(model, POSSIBLE)
        for _ in range(WARM_FRAMES):
            infer(engine, decoder, first)

    def once(self, run: Callable[..., Measured], *, keep_poses: bool = False) -> Measured:
        """Run the footage from its start; ``run`` is :func:`run_once` of a lane, or of the original model."""
        with closing(self._bench.footage.open()) as source:
            return run(
                source,
                track=self._track(),
                meter=LoadMeter(),
                cancelled=self._cancelled,
                keep_poses=keep_poses,
                goes_on=self._goes_on,
            )

    def decoder(self, model: str, score_min: float) -> Decoder:
        """Reads the outputs of a network, and leaves out people below a score."""
        most = self._bench.config.model.persons_max
        return decoder_for(self._bench.store.card(model), person_score_min=score_min, persons_max=most)

    def _first_frame(self) -> Frame:
        if self._first is None:
            self._first = first_frame(self._bench.footage)
        return self._first

    def _track(self) -> Track | None:
        return track_stage(self._bench.config.tracking, self._bench.config.smoothing)


def first_frame(footage: Footage) -> Frame:
    """The first frame of the footage. Raises CaptureError where none comes."""
    with closing(footage.open()) as source:
        first = source.read(FRAME_S)
    if first is None:
        raise CaptureError(f"{footage.clip.name} gave no frame within {FRAME_S:g} s")
    return first


def gflops_per_frame(store: Store, model: str, size: tuple[int, int]) -> float:
    """Billions of operations of a frame at an input size (height, width). Raises ModelError.

    Of two stages those of one detection and one person.
    """
    card = store.card(model)
    gflops = inspect(store.seeing(card), store, *size).gflops
    return gflops if card.detector is None else gflops + inspect(card, store).gflops
