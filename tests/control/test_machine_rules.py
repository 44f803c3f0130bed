"""Rules that hold in every conversation with the state machine, judged by an account of its own.

The account knows of threads that build or measure, of a disk that holds the last record saved, of who asked what and
what each was answered. It reads effects alone, never the machine's state, to say what should be.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.control import events, journal
from agent.control.events import Effect, Event
from agent.control.journal import Record
from agent.control.machine import IllegalEvent, step
from agent.control.settings import SAID, Settings
from agent.control.state import WAITING_MAX, State
from agent.wire.affinity import Affinity
from agent.wire.commands import Command, CommandError, ErrorCode, Reply, ReplyStatus
from tests.control.conversation import BASE, BOX, ERROR, FIT, NOW, command, first_state

CHANGES = {
    "set-device": ("device", ("CPU", "SIMCPU", "HETERO:SIMCPU,CPU", "NPU")),
    "set-precision": ("precision", ("FP32", "FP16")),
    "set-model": ("model", ("movenet-multipose", "other", "nobody")),
    "set-hint": ("hint", ("latency", "throughput")),
}
ASKED = st.one_of(
    *(st.tuples(st.just(name), st.sampled_from(values)) for name, (_key, values) in CHANGES.items()),
    st.sampled_from([("pause", None), ("resume", None), ("quantize", None), ("describe", None), ("jobs", None)]),
    st.sampled_from([("set-affinity", "split"), ("plan-affinity", "split"), ("snapshot", None)]),
)
LATER = st.sampled_from([timedelta(0), timedelta(seconds=1), timedelta(minutes=20), timedelta(hours=30)])


@dataclass(slots=True)
class Thread:
    """Something that runs beside the machine."""

    work: events.Work
    measures: bool = False
    wanted: bool = True
    """Nobody has given it up."""


class Conversations(RuleBasedStateMachine):
    """Everything that can happen, in any order; each step is judged by its effects."""

    @initialize(
        paused=st.booleans(),
        good=st.sampled_from([None, "CPU", "SIMCPU"]),
        device=st.sampled_from(["CPU", "HETERO:SIMCPU,CPU"]),
        version=st.integers(0, 5),
        late=st.integers(0, 9),
    )
    def begins(self, paused: bool, good: str | None, device: str, version: int, late: int) -> None:
        known = BASE.model_copy(update={"device": good}) if good else None
        wanted = BASE.model_copy(update={"device": device, "paused": paused})
        self.state: State = first_state(version=version, settings=wanted, good=known)
        self.disk: Record = self.state.record
        self.version = version
        self.now = NOW
        self.asked: dict[str, Command] = {}
        self.answers: dict[str, bytes] = {}
        self.threads: dict[int, Thread] = {}
        self.numbers = 0
        self.jobs: dict[str, int] = {}
        self.quiet_since = 0
        self.paused = paused
        self.on_trial: int | None = None
        self.started = self.stopped = self.ended = False
        if late:
            self.starts(fell=False)

    # What happens

    @precondition(lambda self: not self.started)
    @rule(fell=st.booleans())
    def starts(self, fell: bool) -> None:
        fallen = journal.fall_back(self.disk) if fell else None
        self.happens(events.Started(fallen or self.disk, "the device is gone" if fallen else None))
        self.started = True

    @precondition(lambda self: self.stopped or not self.ended)
    @rule(
        wanted=ASKED,
        version=st.sampled_from([None] * 8 + [0, 1]),
        expires=st.sampled_from([None] * 8 + [timedelta(seconds=0), timedelta(minutes=1)]),
    )
    def somebody_asks(self, wanted: tuple[str, str | None], version: int | None, expires: timedelta | None) -> None:
        asked = command(wanted[0], f"c{len(self.asked)}", wanted[1])
        if version is not None:
            asked = replace(asked, if_version=self.disk.version + version)
        if expires is not None:
            asked = replace(asked, expires_at=self.now + expires)
        self.ask(asked)

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), wanted=ASKED)
    def an_id_is_used_again(self, data: st.DataObject, wanted: tuple[str, str | None]) -> None:
        """With whatever content."""
        again = data.draw(st.sampled_from(sorted(self.asked)))
        known = self.answers.get(again)
        effects = self.happens(events.Asked(command(wanted[0], again, wanted[1])))
        assert effects == (() if known is None else (events.Send(self.asked[again].reply_to, known),))

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def somebody_cancels(self, data: st.DataObject) -> None:
        unanswered = sorted(self.asked.keys() - self.answers.keys())
        target = data.draw(st.sampled_from([*unanswered, *sorted(self.jobs), *list(self.asked)[-2:]]))
        self.ask(command("cancel", f"c{len(self.asked)}", target))

    @precondition(lambda self: self.threads)
    @rule(data=st.data())
    def a_thread_succeeds(self, data: st.DataObject) -> None:
        thread = self.takes_a_thread(data)
        builds = not thread.measures and thread.work.job is None and not plans(thread.work)
        number = thread.work.number
        self.hears(thread, events.Built(number) if builds else events.Done(number, {"fps": 30}))

    @precondition(lambda self: self.threads)
    @rule(data=st.data(), cancelled=st.booleans())
    def a_thread_fails(self, data: st.DataObject, cancelled: bool) -> None:
        thread = self.takes_a_thread(data)
        status = ReplyStatus.CANCELLED if cancelled and thread.work.job else ReplyStatus.FAILED
        self.hears(thread, events.Failed(thread.work.number, status, ERROR))

    @precondition(lambda self: self.current() is not None)
    @rule()
    def the_limit_is_over(self) -> None:
        current = self.current()
        assert current is not None
        overdue = events.Overdue(current.work.number, CommandError(ErrorCode.COMPILE_FAILED, "it takes too long"))
        if current.measures or current.work.job is not None:
            self.cannot_happen(overdue)
        else:
            self.happens(overdue)

    @precondition(lambda self: self.started and (len(self.asked) > 12 or journal.fall_back(self.disk) is not None))
    @rule()
    def the_engine_breaks(self) -> None:
        self.happens(events.Broken("the device is gone"))

    @precondition(lambda self: self.started)
    @rule(switch=st.booleans())
    def a_size_is_found(self, switch: bool) -> None:
        self.happens(events.SizeFound(self.disk.base, FIT, 256, switch=switch))

    @precondition(lambda self: self.started)
    @rule()
    def the_picture_gets_another_shape(self) -> None:
        self.happens(events.Reshaped((768, 576), (256, 192), (256, 256)))

    @precondition(lambda self: self.quiet_since < len(self.asked))
    @rule(later=LATER)
    def time_goes_by(self, later: timedelta) -> None:
        self.quiet_since = len(self.asked)
        self.now += later
        self.happens(events.Tidied() if later > timedelta(hours=1) else events.Settled())

    @precondition(lambda self: not self.stopped and (len(self.asked) > 20 or self.ended))
    @rule()
    def it_is_stopped(self) -> None:
        self.happens(events.Stopped())
        self.stopped = True

    # What must hold

    def ask(self, asked: Command) -> None:
        self.asked[asked.id] = asked
        effects = self.happens(events.Asked(asked))
        if events.Inform(asked) in effects:
            assert effects == (events.Inform(asked),)
            self.happens(events.Informed(asked, {"fps": 30}))

    def takes_a_thread(self, data: st.DataObject) -> Thread:
        return self.threads.pop(data.draw(st.sampled_from(sorted(self.threads))))

    def hears(self, thread: Thread, news: Event) -> None:
        """As the agent takes what a thread has to say: when nobody waits for it, then that a stray has ended."""
        if thread.wanted and thread.measures and isinstance(news, events.Done):
            self.on_trial = None
        effects = self.happens(news)
        if not thread.wanted:
            assert effects == ()
            self.happens(events.StrayEnded(thread.work.number))

    def cannot_happen(self, event: Event) -> None:
        with pytest.raises(IllegalEvent):
            step(self.state, event, BOX, self.now)

    def happens(self, event: Event) -> Sequence[Effect]:
        before = self.disk
        repeated = isinstance(event, events.Asked) and event.command.id in self.answers
        self.state, effects = step(self.state, event, BOX, self.now)
        for effect in effects:
            if isinstance(effect, events.Send) and not repeated:
                if self.answered(effect.payload, before):
                    before, self.version = self.disk, self.version + 1
            else:
                self.does(effect)
        if isinstance(event, events.Stopped):
            for thread in self.threads.values():
                thread.wanted = False
        assert (self.disk.version, self.disk.settings) == (before.version, before.settings), "nobody was told"
        assert self.paused == self.disk.settings.paused
        return effects

    def does(self, effect: Effect) -> None:
        match effect:
            case events.Save(record):
                self.disk = record
            case events.Begin(work):
                self.begins_work(work)
            case events.Swap(work):
                self.threads[work.number] = Thread(work, measures=True)
                self.on_trial = work.number
            case events.SwapBack(work):
                assert self.on_trial == work.number
                self.on_trial = None
                self.gives_up(work.number)
            case events.Abandon(number):
                self.gives_up(number)
            case events.Flow(paused):
                self.paused = paused
            case events.End():
                self.ended = True

    def gives_up(self, number: int) -> None:
        thread = self.threads.get(number)  # none, where its failure is the news
        if thread is not None and thread.work.job is None:  # a job ends by itself
            thread.wanted = False

    def begins_work(self, work: events.Work) -> None:
        assert self.numbers < work.number
        self.numbers = work.number
        rivals = [thread for thread in self.threads.values() if not thread.measures or thread.wanted]
        if work.command is not None:
            assert not rivals, f"{work} beside {rivals}"
            assert self.disk.attempt is not None or work.job
            assert work.command.if_version in {None, self.disk.version}
            assert work.command.expires_at is None or work.command.expires_at > self.now
        else:
            assert not [thread for thread in rivals if thread.wanted], f"{work} beside {rivals}"
            unasked = work.fit is not None or work.reshaping
            assert self.disk.fallback or (unasked and not self.disk.settings.paused)
        self.threads[work.number] = Thread(work)
        if work.job is not None:
            self.jobs[work.job] = work.number

    def answered(self, payload: bytes, before: Record) -> bool:
        """Judge a first reply; whether it accepts a change."""
        reply = Reply.decode(payload)
        assert reply.id not in self.answers, f"{reply.id} is answered twice"
        self.answers[reply.id] = payload
        asked = self.asked[reply.id]
        assert reply.command == asked.name
        assert reply.state_version == self.disk.version
        assert (reply.error is None) == (reply.status in {ReplyStatus.SUCCEEDED, ReplyStatus.ACCEPTED})
        wanted = after_change(before.settings, asked)
        if reply.status is not ReplyStatus.SUCCEEDED or wanted is None:
            return False
        assert journal.reply_to(self.disk, reply.id) == payload.decode(), "told before it was written down"
        assert self.paused == wanted.paused
        if wanted == before.settings and asked.name in {"pause", "resume"}:
            return False  # it was so before
        assert (self.disk.version, self.disk.settings) == (before.version + 1, wanted)
        assert not self.disk.fallback or asked.name in {"pause", "resume"}
        return True

    def current(self) -> Thread | None:
        return next((thread for thread in self.threads.values() if thread.wanted), None)

    @invariant()
    def it_does_not_start_twice(self) -> None:
        if self.started and not self.stopped:
            self.cannot_happen(events.Started(self.disk))

    @invariant()
    def the_disk_has_what_the_machine_knows(self) -> None:
        assert self.state.record == self.disk
        assert self.disk.version == self.version

    @invariant()
    def the_old_engine_comes_back(self) -> None:
        current = self.current()
        measuring = current is not None and current.measures
        assert self.stopped or (self.on_trial is not None) == measuring

    @invariant()
    def few_wait(self) -> None:
        current = self.current()
        doing = current.work.command.id if current is not None and current.work.command is not None else None
        waiting = self.asked.keys() - self.answers.keys() - {doing}
        assert len(waiting) <= WAITING_MAX
        assert not waiting or not self.started or current is not None or self.ended, "they wait for nothing"

    @invariant()
    def one_thing_at_a_time(self) -> None:
        assert sum(thread.wanted for thread in self.threads.values()) <= 1

    def teardown(self) -> None:
        if not hasattr(self, "state"):
            return
        self.happens(events.Stopped())
        assert self.answers.keys() == self.asked.keys(), "somebody was never answered"
        assert not self.disk.alive
        assert self.disk.attempt is None
        assert all(job.status in job.FINAL for job in self.disk.jobs)


def plans(work: events.Work) -> bool:
    return work.command is not None and work.command.name == "plan-affinity"


def after_change(settings: Settings, asked: Command) -> Settings | None:
    """What is asked for after a command; None for one that changes nothing."""
    if asked.name in {"pause", "resume"}:
        return settings.model_copy(update={"paused": asked.name == "pause"})
    if asked.name == "set-affinity":
        return settings.model_copy(update={"affinity": Affinity(preset="split")})
    if asked.name not in CHANGES:
        return None
    key = CHANGES[asked.name][0]
    value = getattr(asked.args, key)
    lost = key == "device" and not value.startswith("HETERO")
    said = tuple(dict.fromkeys((*settings.said, key))) if key in SAID else settings.said
    return settings.model_copy(update={key: value, "said": said} | ({"affinity": None} if lost else {}))


TestConversations = Conversations.TestCase
TestConversations.settings = hypothesis_settings(max_examples=120, stateful_step_count=50)
