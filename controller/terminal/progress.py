"""What a person sees while waiting: lines on standard error that vanish afterwards, and nothing without a terminal."""

import contextlib
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from agent.wire.commands import Job
from agent.wire.messages import Status
from controller.client.fleet import Agent, printable
from controller.client.request import Request

DEVICES_SHOWN: Final = 10


@contextlib.contextmanager
def waiting(request: Request) -> Iterator[None]:
    """Show one line for each device that has not answered: what it is doing, and for how long."""
    if not sys.stderr.isatty():
        yield
        return
    with Live(console=Console(stderr=True), get_renderable=lambda: lines(request), transient=True):
        yield


def lines(request: Request) -> Group:
    """Make the lines; called from the thread that refreshes the screen."""
    devices = request.waiting
    elapsed_s = time.monotonic() - request.sent_at
    shown = [
        f"{device}  {doing(request.session.fleet.agents[device], request.id)}  {elapsed_s:.0f} s" for device in devices
    ]
    if len(devices) > DEVICES_SHOWN:
        shown[DEVICES_SHOWN:] = [f"and {len(devices) - DEVICES_SHOWN} more"]
    return Group(*(Text(line) for line in shown))


def doing(agent: Agent, command_id: str) -> str:
    """What a device says it is doing with a command."""
    if agent.availability != "online":
        return "offline"
    event = agent.event
    if event is not None and event.facts.get("id") == command_id:
        return printable(event.message)
    if agent.state is not None and agent.state.status in {Status.SWITCHING, Status.BENCHMARKING}:
        return f"is {agent.state.status}, ours waits its turn"
    return "sent"


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


class Bars:
    """One bar for each device whose job is followed, as a context manager."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            Left(),
        )
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Bars":
        if sys.stderr.isatty():
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if sys.stderr.isatty():
            self._progress.stop()

    def update(self, job: Job) -> None:
        """Show how far it is."""
        text = printable(f"{job.device_id}  {job.command}: {job.step}")
        if job.device_id not in self._tasks:
            self._tasks[job.device_id] = self._progress.add_task(text, total=1.0)
        left = left_s(job)
        ends_at = None if left is None else time.monotonic() + left
        self._progress.update(self._tasks[job.device_id], description=text, completed=job.progress, ends_at=ends_at)
