"""The jobs `benchmark` and `sweep`: the study on this box, while live publishing is paused.

What is measured is written down after every row, so that the job goes on where it was when the process ends amid it.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import cv2
from pydantic import BaseModel, ConfigDict, ValidationError

from agent import __version__
from agent.benchmark.clips import Clips, Footage
from agent.benchmark.limit import Limits
from agent.benchmark.rows import best, recipe_of, recipes, settings_of
from agent.benchmark.runs import Bench, first_frame, gflops_per_frame
from agent.benchmark.sweep import Studying
from agent.config.tree import Config
from agent.control.asking import Box, benchmarked
from agent.control.events import Done, Work
from agent.control.inventory import Known, installed
from agent.control.samples import Samples
from agent.control.settings import Settings
from agent.control.workshop import Tell, Workshop
from agent.durable import replace_file
from agent.errors import EdgeposeError
from agent.inference.devices import Core
from agent.observe.host import host_info
from agent.wire.commands import Benchmark, Sweep
from agent.wire.messages import DeviceInfo
from agent.wire.study import Bar, Recipe, Study
from agent.wire.wording import cause_of
from models.shelf.store import Store

DEATHS_MAX = 2
"""A row during which the process died so often is given up, and the sweep goes on with the next."""


class Ledger(BaseModel):
    """A study under way, as it stands on the disk."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str
    recipes: tuple[Recipe, ...]
    args: Sweep | Benchmark
    study: Study
    begun: int = -1
    """Place of the row that was being measured."""
    tries: int = 0
    """How often it was begun."""
    done: bool = False
    """Whether every run was made."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a study needs of the agent."""

    config: Config
    core: Core
    store: Store
    workshop: Workshop
    samples: Samples
    devices: tuple[DeviceInfo, ...]
    hold: Callable[[], object]
    """Stops live publishing, and returns when the device is free; it goes on when the job is over."""

    def box(self) -> Box:
        """What this box can do now: a variant may have been made since the start."""
        return Known(self.devices, installed(self.store)).box(self.config)


class Studies:
    """Does the jobs, one at a time; :meth:`run` blocks and belongs in a thread of its own.

    ``goes_on`` says whether the process before this one ended amid one that is still wanted.
    """

    def __init__(self, parts: Parts, *, goes_on: bool) -> None:
        self._parts = parts
        config = parts.config
        self._path: Path = config.paths.state / f"{config.device_id}-study.json"
        self._clips = Clips(config, parts.store, parts.samples)
        self._limits = Limits(parts.core)
        self._lock = threading.Lock()
        self._kept: Ledger | None = None
        self._left = False
        if not goes_on or not self._path.exists():
            self._clips.forget()

    def run(self, work: Work, tell: Tell, cancelled: threading.Event) -> Done:
        """Measure, from the start or where an earlier process ended.

        Raises CommandError, EdgeposeError, and CancelledError when cancelled.
        """
        # What was measured stays until the next job begins: only what comes of this call tells of its end.
        self._kept = None
        if work.command is not None:
            self._path.unlink(missing_ok=True)
            self._clips.forget()
        ledger = None if work.command is not None else self._load(work)
        args = work.command.args if work.command is not None else ledger.args if ledger else None
        assert isinstance(args, Benchmark | Sweep)
        if ledger is not None and ledger.done:
            return self._done(work, ledger.study, args)
        with self._clips.footage(args, lambda what: tell(what, 0.0), cancelled) as footage:
            self._parts.hold()
            ledger = ledger or self._begun(work, args, footage)
            study = self._measure(ledger, footage, tell, cancelled)
        return self._done(work, study, args)

    def leave(self) -> None:
        """The process ends because it was asked to: the row that is being measured is not to blame."""
        with self._lock:
            self._left = True
            if self._kept is not None and self._kept.tries:
                self._write(self._kept.model_copy(update={"tries": self._kept.tries - 1}))

    def _measure(self, ledger: Ledger, footage: Footage, tell: Tell, cancelled: threading.Event) -> Study:
        parts, kept = self._parts, ledger

        def begin(place: int) -> bool:
            nonlocal kept
            tries = kept.tries + 1 if kept.begun == place else 1
            kept = kept.model_copy(update={"begun": place, "tries": tries})
            self._save(kept)
            return tries <= DEATHS_MAX

        def keep(study: Study) -> None:
            nonlocal kept
            kept = kept.model_copy(update={"study": study, "begun": -1, "tries": 0})
            self._save(kept)

        bench = Bench(parts.config, parts.store, parts.workshop, self._limits, parts.box(), footage)
        studying = Studying(bench, ledger.study, begin=begin, keep=keep, tell=tell, cancelled=cancelled)
        study = studying.run(ledger.recipes, ledger.args)
        self._save(kept.model_copy(update={"study": study, "done": True}))
        return study

    def _done(self, work: Work, study: Study, args: Benchmark | Sweep) -> Done:
        winner, study = None, study.model_copy(update={"finished_at": datetime.now(UTC)})
        if isinstance(args, Sweep) and args.apply is not None:
            winner = best(study.rows, args.apply, args.max_accuracy_loss)
            study = study.model_copy(update={"applied": winner})
        result = study.model_dump(mode="json", by_alias=True)
        return Done(work.number, result, _applied(work, study.rows[winner].recipe) if winner is not None else None)

    def _begun(self, work: Work, args: Benchmark | Sweep, footage: Footage) -> Ledger:
        parts, config, first = self._parts, self._parts.config, first_frame(footage)
        runs = parts.workshop.fitted(work.settings, first)
        model, size = runs.model, parts.workshop.size(runs, first)
        assert work.job is not None
        study = Study(
            device_id=config.device_id,
            started_at=datetime.now(UTC),
            agent_version=__version__,
            openvino_version=version("openvino"),
            opencv_version=cv2.__version__,
            host=host_info(),
            devices={device.name: device.full_name for device in parts.devices},
            model=model,
            input=size,
            gflops_per_frame=gflops_per_frame(parts.store, model, size),
            clip=footage.clip,
            bar=Bar(missed_max=config.switch.missed_max, oks_min=config.switch.oks_min),
            asked=args.model_dump(mode="json"),
        )
        wanted = recipes(args, model) if isinstance(args, Sweep) else (self._one(runs, args),)
        return Ledger(job=work.job, recipes=wanted, args=args, study=study)

    def _one(self, settings: Settings, args: Benchmark) -> Recipe:
        """What a benchmark measures: what runs, but for what it names."""
        return recipe_of(benchmarked(settings, args, self._parts.box()))

    def _load(self, work: Work) -> Ledger:
        try:
            ledger = Ledger.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            raise EdgeposeError("the agent ended before the first row was begun", hint="start it again") from None
        except (OSError, ValidationError) as error:
            cause = cause_of(error, "the file")
            raise EdgeposeError(f"what was measured before the restart cannot be read: {cause}") from error
        if ledger.job != work.job:
            raise EdgeposeError("what was measured before the restart belongs to another job")
        return ledger

    def _save(self, ledger: Ledger) -> None:
        with self._lock:
            self._kept = ledger
            if not self._left:
                self._write(ledger)

    def _write(self, ledger: Ledger) -> None:
        try:
            replace_file(self._path, ledger.model_dump_json(by_alias=True).encode(), private=True)
        except OSError as error:
            why = error.strerror or error
            raise EdgeposeError(f"{self._path} cannot be written: {why}", hint="is the disk full?") from error


def _applied(work: Work, recipe: Recipe) -> Settings:
    """What is asked for once a row has won: where it names no input size, the one that runs stays."""
    wanted = settings_of(recipe)
    return wanted if wanted.long_side else wanted.model_copy(update={"long_side": work.settings.long_side})
