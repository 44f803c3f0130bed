"""The job `tune`: what to run on this box for a wish, found on frames it looks at, while live publishing is paused.

It takes minutes and has an end set. It does not go on after a restart: it is then cancelled, and can be asked again.
"""

import threading
from datetime import UTC, datetime
from importlib.metadata import version

from agent import __version__
from agent.benchmark.choice import frontier, nearest, winner
from agent.benchmark.clips import Clips
from agent.benchmark.limit import Limits
from agent.benchmark.rows import settings_of
from agent.benchmark.runs import Bench
from agent.benchmark.tune import Found, Tuner, describe
from agent.control.events import Done, Work
from agent.control.studying import Parts
from agent.control.workshop import Tell
from agent.observe.host import host_info
from agent.wire.commands import Measuring, Tune
from agent.wire.study import Bar, Clip
from agent.wire.tuning import Trial, Tuning, Wish


class Tunings:
    """Does the job, one at a time; :meth:`run` blocks and belongs in a thread of its own."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._clips = Clips(parts.config, parts.store, parts.samples)

    def run(self, work: Work, tell: Tell, cancelled: threading.Event) -> Done:
        """Find what holds the wish. Raises CommandError, EdgeposeError, and CancelledError when cancelled."""
        assert work.command is not None
        args = work.command.args
        assert isinstance(args, Tune)
        parts, started = self._parts, datetime.now(UTC)
        shown = Measuring(runs=1, frames=args.frames, clip=args.clip)
        with self._clips.footage(shown, lambda what: tell(what, 0.0), cancelled) as footage:
            parts.hold()
            rates = (footage.clip.fps, parts.config.camera.fps_max)
            pace = min((rate for rate in rates if rate), default=None)
            wish = Wish(fps=args.fps or pace or 1.0, pace=pace, age_ms=args.age_ms, cpu_percent=args.cpu_percent)
            bench = Bench(parts.config, parts.store, parts.workshop, Limits(parts.core), parts.box(), footage)
            switch = parts.config.switch
            bar = Bar(missed_max=switch.missed_max, oks_min=switch.oks_min)
            found = Tuner(bench, args, wish, bar, tell=tell, cancelled=cancelled).run()
        document = self._document(args, wish, footage.clip, found, started)
        chosen = found.trials[document.winner].recipe if document.applied and document.winner is not None else None
        result = document.model_dump(mode="json", by_alias=True)
        return Done(work.number, result, settings_of(chosen) if chosen is not None else None)

    def _document(self, args: Tune, wish: Wish, clip: Clip, found: Found, started: datetime) -> Tuning:
        chosen = winner(found.trials, wish)
        near = nearest(found.trials, wish) if chosen is None else None
        return Tuning(
            device_id=self._parts.config.device_id,
            started_at=started,
            finished_at=datetime.now(UTC),
            agent_version=__version__,
            openvino_version=version("openvino"),
            host=host_info(),
            clip=clip,
            wish=wish,
            reference=found.reference,
            people=found.people,
            asked=args.model_dump(mode="json"),
            trials=found.trials,
            frontier=frontier(found.trials),
            winner=chosen,
            nearest=near,
            verdict=decision(found.trials, chosen, near),
            left_out=found.left_out,
            applied=args.apply and chosen is not None,
        )


def decision(trials: tuple[Trial, ...], chosen: int | None, near: int | None) -> str:
    """What was decided, in words."""
    if chosen is not None:
        return f"{describe(trials[chosen].recipe)} holds the wish and finds most"
    if near is None:
        return "nothing could be measured in which people are seen: no choice can be made"
    trial = trials[near]
    if not trial.fails:
        return f"nothing was seen to hold the wish in the time there was; {describe(trial.recipe)} may"
    return f"nothing holds the wish; {describe(trial.recipe)} comes nearest: {', '.join(trial.fails)}"
