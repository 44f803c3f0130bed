"""One step of the state machine under way."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType

from pydantic import JsonValue

from agent.control import journal
from agent.control.asking import Box
from agent.control.events import Asked, Begin, Effect, Event, Informed, Note, Save, Send, Work
from agent.control.state import REPLIES_BYTES, REPLIES_MAX, State
from agent.wire.commands import Command, CommandError, Reply, ReplyError, ReplyStatus
from agent.wire.messages import Severity


@dataclass(slots=True)
class Turn:
    """One step under way."""

    state: State
    event: Event
    box: Box
    now: datetime
    refusal: CommandError | None = None
    effects: list[Effect] = field(default_factory=list)

    def command(self) -> Command:
        """The command that came."""
        assert isinstance(self.event, Asked | Informed)
        return self.event.command

    def hear(self) -> None:
        """Keep the sequence of a signed command before it is obeyed or refused: it counts once, whatever came of it."""
        if not isinstance(self.event, Asked) or (proof := self.event.command.proof) is None:
            return
        if proof.sequence > self.state.record.sequences.get(proof.key, 0):
            self.save(journal.heard(self.state.record, proof.key, proof.sequence))
        self.event = Asked(replace(self.event.command, proof=None, key=proof.key))

    def note(
        self, code: str, message: str, severity: Severity = Severity.INFO, **facts: str | int | float | None
    ) -> None:
        """Tell everybody."""
        self.effects.append(Note(code, severity, message, dict(facts)))

    def answer(
        self,
        command: Command,
        status: ReplyStatus,
        result: Mapping[str, JsonValue] | None = None,
        error: CommandError | None = None,
        *,
        keep: bool = False,
    ) -> None:
        """Reply; with ``keep`` the record has the reply before it goes out, together with what it promises."""
        reply = Reply(
            device_id=self.box.device_id,
            sent_at=self.now,
            id=command.id,
            command=command.name,
            status=status,
            error=ReplyError(code=error.code, message=error.message, hint=error.hint) if error else None,
            result=dict(result) if result is not None else None,
            state_version=self.state.record.version,
        )
        payload = reply.encode()
        self.state = replace(self.state, replies=_recent({**self.state.replies, command.id: payload}))
        if keep:
            self.save(journal.remember(self.state.record, command.id, payload.decode(), self.now))
        self.effects.append(Send(command.reply_to, payload))

    def begin(self, work: Work) -> None:
        """Start work; a command it carries out is owed a reply from now on, whatever happens to this process."""
        self.state = replace(self.state, work=work, works=work.number)
        if (command := work.command) is not None:
            attempt = journal.Attempt(
                id=command.id, command=command.name, reply_to=command.reply_to, started_at=self.now
            )
            self.save(journal.attempting(self.state.record, attempt))
        self.effects.append(Begin(work))

    def ended(self) -> tuple[Work, journal.Record]:
        """Lay down the work that has ended."""
        work = self.state.work
        assert work is not None
        self.state = replace(self.state, work=None)
        return work, self.state.record

    def save(self, record: journal.Record) -> None:
        """Keep a record, on disk before anything that follows."""
        self.state = replace(self.state, record=record)
        self.effects.append(Save(record))


def _recent(replies: dict[str, bytes]) -> Mapping[str, bytes]:
    """As many of the last as may be kept; the newest always is. Takes the dictionary over."""
    excess = sum(map(len, replies.values())) - REPLIES_BYTES
    while len(replies) > REPLIES_MAX or (excess > 0 and len(replies) > 1):
        excess -= len(replies.pop(next(iter(replies))))
    return MappingProxyType(replies)
