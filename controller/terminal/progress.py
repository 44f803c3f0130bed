"""What a person sees while waiting: lines on standard error that vanish afterwards.

Without a terminal a line now and then.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from agent.stdout import Every
from agent.wire.commands import Job
from agent.wire.messages import Status
from controller.client.fleet import printable
from controller.client.request import SILENCE_S, UNHEARD, Request
from controller.terminal.surroundings import tell

DEVICES_SHOWN: Final = 10
LOOK_S: Final = 1.0
"""How often it is looked whether there is something to say."""
ACCEPTED: Final = "command.accepted"
"""The event of a box that has a command whose turn comes later."""
SAY_S: Final = 30.0
"""Without a terminal it is said so often how far things are."""


class Waiting:
    """What is said while devices have not answered, as a context manager.

    On a terminal one line for each of them: what it is doing, and for how long. Without one a line now and then; and
    once, either way, which of them have not even acknowledged the command.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._live = Live(console=Console(stderr=True), get_renderable=lambda: lines(request), transient=True)
        self._drawn = ExitStack()
        self._told_silence = False
        self._said_s = 0.0
        """After so many seconds it was last said how far things are."""

    def __enter__(self) -> "Waiting":
        if sys.stderr.isatty():
            self._drawn.enter_context(drawn(self._live))
        return self

    def __exit__(self, *_: object) -> None:
        self._drawn.close()

    def look(self) -> None:
        """Say what there is to say by now; to be called every :data:`LOOK_S`."""
        elapsed_s = time.monotonic() - self._request.sent_at
        if elapsed_s >= SILENCE_S and not self._told_silence:
            self._told_silence = True
            for device in self._request.silent:
                why = why_silent(self._request, device)
                tell(f"{device}: no word within {elapsed_s:.0f} s that it has the command; {why}")
        if elapsed_s - self._said_s >= SAY_S and not sys.stderr.isatty():
            self._said_s = elapsed_s
            for line in said(self._request):
                tell(line)


def why_silent(request: Request, device: str) -> str:
    """Why a device may not have acknowledged a command."""
    if request.session.fleet.agents[device].availability != "online":
        return "it is offline"
    if device in request.unheard:
        return UNHEARD
    return "it is busy, an older agent, or hangs"


def lines(request: Request) -> Group:
    """Make the lines; called from the thread that refreshes the screen."""
    return Group(*(Text(line) for line in said(request)))


def said(request: Request) -> list[str]:
    """Say of each device that has not answered what it is doing, and for how long; of many that there are more."""
    devices = request.waiting
    elapsed_s = time.monotonic() - request.sent_at
    shown = [f"{device}  {doing(request, device)}  {elapsed_s:.0f} s" for device in devices[:DEVICES_SHOWN]]
    if len(devices) > DEVICES_SHOWN:
        shown.append(f"and {len(devices) - DEVICES_SHOWN} more")
    return shown


def doing(request: Request, device: str) -> str:
    """What a device says it is doing with a command."""
    agent = request.session.fleet.agents[device]
    if agent.availability != "online":
        return "offline"
    event = request.said.get(device)
    if event is not None and event.code != ACCEPTED:
        return printable(event.message)
    if agent.state is not None and agent.state.status in {Status.SWITCHING, Status.BENCHMARKING}:
        return f"is {agent.state.status}, ours waits its turn"
    return printable(event.message) if event is not None else "sent"


def left_s(job: Job) -> float | None:
    """How long a job will still take if it goes on as fast as it did, by its device's own clock; None at its start."""
    took_s = (job.sent_at - job.started_at).total_seconds()
    return took_s * (1 - job.progress) / job.progress if job.progress > 0 and took_s > 0 else None


class Left(ProgressColumn):
    """The time left, counted down from what the last message of the job said."""

    def render(self, task: Task) -> Text:
        """Say nothing while there is nothing to go by."""
        ends_at = task.fields.get("ends_at")
        if ends_at is None:
            return Text("")
        return Text(f"about {timedelta(seconds=round(max(0.0, ends_at - time.monotonic())))} left")


@contextmanager
def drawn(display: Live | Progress) -> Iterator[None]:
    """Draw it until the block ends. Ctrl-C may come amid its start, which has hidden the cursor by then."""
    try:
        display.start()
        yield
    finally:
        display.stop()


@contextmanager
def counted(text: Callable[[], str]) -> Iterator[Callable[[], None]]:
    """Show how far something that goes on is, in the words of ``text``; call what is yielded as it goes on.

    On a terminal one line that changes; without one a line now and then.
    """
    if sys.stderr.isatty():
        live = Live(console=Console(stderr=True), get_renderable=lambda: Text(printable(text())), transient=True)
        with drawn(live):
            yield lambda: None
        return
    every = Every(SAY_S)
    yield lambda: tell(text()) if every.due() else None


class Steps(Progress):
    """Bars, each below the line that says what it is of: however long that is, nothing is cut."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """Both, for each task."""
        for task in self.tasks:
            yield Text(task.description)
            yield self.make_tasks_table([task])


class Bars:
    """One bar for each device whose job is followed, as a context manager; without a terminal a line now and then.

    The first such line has the job's id.
    """

    def __init__(self) -> None:
        columns = (
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            Left(),
        )
        self._progress = Steps(*columns, console=Console(stderr=True), transient=True)
        self._drawn = ExitStack()
        self._tasks: dict[str, TaskID] = {}
        self._said_at: dict[str, float] = {}
        """Of each device when a line was last said, on the monotonic clock."""

    def __enter__(self) -> "Bars":
        if sys.stderr.isatty():
            self._drawn.enter_context(drawn(self._progress))
        return self

    def __exit__(self, *_: object) -> None:
        self._drawn.close()

    def update(self, job: Job) -> None:
        """Show how far it is."""
        if not sys.stderr.isatty():
            self._say(job)
            return
        text = printable(f"{job.device_id}  {job.command}: {job.step}")
        if job.device_id not in self._tasks:
            self._tasks[job.device_id] = self._progress.add_task(text, total=1.0)
        left = left_s(job)
        ends_at = None if left is None else time.monotonic() + left
        self._progress.update(self._tasks[job.device_id], description=text, completed=job.progress, ends_at=ends_at)

    def _say(self, job: Job) -> None:
        now, before = time.monotonic(), self._said_at.get(job.device_id)
        if job.status in Job.FINAL or (before is not None and now - before < SAY_S):
            return
        self._said_at[job.device_id] = now
        left = left_s(job)
        more = f", about {timedelta(seconds=round(left))} left" if left is not None else ""
        tell(printable(f"{job.device_id}: {job.id} at {job.progress:.0%}: {job.step}{more}"))
