"""Jobs, which go on after their command is answered: followed by the topic each tells about itself on."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from agent.wire.commands import Job, JobStatus
from agent.wire.messages import MessageError
from agent.wire.topics import Topics, parse
from controller.client.connection import Received
from controller.client.fleet import printable
from controller.client.session import Session


@dataclass(slots=True)
class Followed:
    """Jobs by device, and what each has said last."""

    session: Session
    wanted: Mapping[str, str]
    """Device to id of its job."""
    known: dict[str, Job] = field(default_factory=dict)

    def first(self) -> None:
        """Read where each job stands, for as long as an answer may take."""
        topics = [Topics(device, self.session.prefix) for device in self.wanted]
        # Availability first: whoever is offline has nothing new to say.
        self.session.client.subscribe([each.availability for each in topics])
        self.session.client.subscribe([each.job(self.wanted[each.device_id]) for each in topics], qos=1)
        for received in self.session.client.messages(self.session.deadline()):
            self._take(received)
            if self.known.keys() == self.wanted.keys():
                return

    def news(self) -> Iterator[Job]:
        """Yield each job that is known, then whenever one says something, until all have ended or their device has."""
        self.first()
        yield from tuple(self.known.values())
        if not self._open():
            return
        for received in self.session.client.messages(math.inf):
            if (job := self._take(received)) is not None:
                yield job
            if not self._open():
                return

    def missing(self, device: str) -> str:
        """Say why a job has not been seen to its end, which is the end of the box or ours; empty for one that has."""
        job = self.known.get(device)
        if job is None:
            return f"there is no job {self.wanted[device]} on {device}"
        if job.status in Job.FINAL:
            return ""
        stood = f"its job {job.id} stood at {job.progress:.0%}: {printable(job.step)}"
        if self.session.fleet.agents[device].availability == "online":
            return f"{device} goes on: {stood}"
        return f"{device} has gone offline; {stood}"

    def exit_code(self, device: str) -> int:
        """What the controller ends with."""
        if self.missing(device):
            return 3
        return 0 if self.known[device].status is JobStatus.SUCCEEDED else 1

    def _open(self) -> bool:
        return any(
            job.status not in Job.FINAL and self.session.fleet.agents[device].availability == "online"
            for device, job in self.known.items()
        )

    def _take(self, received: Received) -> Job | None:
        device, leaf = parse(received.topic, self.session.prefix) or ("", "")
        if device not in self.wanted or leaf != f"job/{self.wanted[device]}":
            self.session.fleet.take(received)
            return None
        try:
            job = read_job(device, received.payload)
        except MessageError as error:
            self.session.complain(f"{printable(received.topic)}: not understood, skipped: {printable(error.reason)}")
            return None
        if job is not None:
            self.known[device] = job
        return job


def read_job(device: str, payload: bytes) -> Job | None:
    """Read what a job's topic says; None where it was cleared. Raises MessageError."""
    if not payload:
        return None
    job = Job.decode(payload)
    if job.device_id != device:
        raise MessageError(f"device_id: the body names another device, {job.device_id!r}")
    return job
