"""Promises of the record: what a start, an end and each change make of it."""

from datetime import datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.control.journal import (
    JOBS_MAX,
    REPLIES_BYTES,
    REPLIES_MAX,
    Boot,
    Record,
    accepted,
    attempting,
    boot,
    ended,
    fall_back,
    remember,
    reply_to,
    running,
    settled,
    sweep,
    with_job,
    with_pause,
)
from agent.control.settings import Settings
from agent.wire.commands import ErrorCode, JobStatus
from tests.control.records import CPU, NOW, SETTINGS, attempt, job

GPU = CPU.model_copy(update={"device": "GPU"})
NPU = CPU.model_copy(update={"device": "NPU"})
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def first() -> Record:
    return boot(None, CPU, NOW).record


def dying(record: Record, *minutes: float, base: Settings = CPU) -> Boot:
    """Start at these minutes, each time after a death; returns the last start."""
    starts = [boot(record, base, NOW + minutes[0] * MINUTE)]
    for minute in minutes[1:]:
        starts.append(boot(starts[-1].record, base, NOW + minute * MINUTE))
    return starts[-1]


def test_the_first_start() -> None:
    """Without a record the configuration's settings run, at version 0, and nobody is owed anything."""
    started = boot(None, CPU, NOW)
    assert running(started.record) == CPU
    assert (started.record.version, started.orphan, started.reset, started.degraded) == (0, None, False, False)


def test_what_was_asked_survives() -> None:
    """A restart, clean or not, comes up in what was asked for last, at the same version."""
    asked = accepted(first(), GPU)
    for record in (asked, ended(asked)):
        started = boot(record, CPU, NOW)
        assert running(started.record) == GPU
        assert (started.record.version, started.reset, started.degraded) == (1, False, False)


def test_an_edited_configuration_wins() -> None:
    """What commands asked for is void, version grows, and the next start with that configuration is as any other."""
    started = boot(ended(accepted(first(), GPU)), NPU, NOW)
    assert started.reset
    assert (running(started.record), started.record.version) == (NPU, 2)
    again = boot(ended(started.record), NPU, NOW)
    assert not again.reset
    assert (running(again.record), again.record.version) == (NPU, 2)


def test_a_pause_outlives_everything() -> None:
    """A camera somebody switched off stays off: over restarts, an edited configuration and a fallback."""
    paused = with_pause(accepted(settled(first()), GPU), paused=True)
    assert running(boot(paused, CPU, NOW).record).paused
    assert running(boot(paused, NPU, NOW).record).paused
    fallen = dying(paused, 1, 2, 3)
    assert running(fallen.record) == CPU.model_copy(update={"paused": True})
    assert running(with_pause(fallen.record, paused=False)) == CPU


def test_three_deaths_in_ten_minutes() -> None:
    """The fourth start runs in the last known good settings; what was asked for is not forgotten."""
    asked = accepted(settled(accepted(first(), NPU)), GPU)
    assert not dying(asked, 1, 5).degraded
    fallen = dying(asked, 1, 5, 11)
    assert fallen.degraded
    assert running(fallen.record) == NPU
    assert (fallen.record.settings, fallen.record.version) == (GPU, asked.version)


@pytest.mark.parametrize(
    "minutes",
    [(1, 5, 11.1), (0, 20, 40, 60, 80), (11, 5, 1), (1, 2, -3, -2, 9)],
    ids=["slowly", "seldom", "clock set back each time", "clock set back in between"],
)
def test_deaths_that_do_not_count(minutes: tuple[float, ...]) -> None:
    """Deaths more than ten minutes apart, and those that lie in the future, are not three in ten minutes."""
    assert not dying(accepted(settled(first()), GPU), *minutes).degraded


def test_a_change_starts_the_count_anew() -> None:
    """Deaths in what was asked for before say nothing of what is asked for now."""
    twice = dying(accepted(settled(first()), GPU), 1, 2).record
    assert not dying(accepted(twice, NPU), 3, 4).degraded
    assert not dying(twice, 3, 4, base=NPU).degraded
    assert dying(accepted(twice, NPU), 3, 4, 5).degraded


def test_clean_ends_are_no_deaths() -> None:
    """An agent that is stopped and started all day stays in its settings; deaths in between count all the same."""
    record = accepted(settled(first()), GPU)
    for _ in range(9):
        started = boot(ended(record), CPU, NOW)
        assert not started.degraded
        record = started.record
    assert dying(boot(ended(dying(record, 1, 2).record), CPU, NOW + 3 * MINUTE).record, 4).degraded


def test_only_being_told_ends_the_fallback() -> None:
    """Restarts, time and a pause do not; the next accepted change does, be it the same as before."""
    fallen = dying(accepted(settled(first()), GPU), 1, 2, 3).record
    later = boot(ended(settled(fallen)), CPU, NOW + 5 * DAY)
    assert later.degraded
    assert running(later.record) == CPU
    assert boot(with_pause(later.record, paused=True), CPU, NOW).degraded
    told = accepted(later.record, GPU)
    assert running(told) == GPU
    assert not boot(told, CPU, NOW).degraded
    assert not boot(later.record, NPU, NOW).degraded


def test_what_kept_dying_is_not_good() -> None:
    """Where the good settings are those that die now, the configuration's take over; where they are the same, none."""
    good_once = settled(accepted(first(), GPU))
    assert running(dying(good_once, 1, 2, 3).record) == CPU
    never_good = accepted(first(), GPU)
    assert running(dying(never_good, 1, 2, 3).record) == CPU
    nothing_else = dying(settled(first()), 1, 2, 3, 4, 5)
    assert not nothing_else.degraded
    assert running(nothing_else.record) == CPU
    assert len(nothing_else.record.deaths) == 3


def test_a_fallback_that_dies_too() -> None:
    """Three more deaths in the good settings lead on to the configuration's, where it stays."""
    asked = accepted(settled(accepted(first(), NPU)), GPU)
    assert running(dying(asked, 1, 2, 3).record) == NPU
    assert running(dying(asked, 1, 2, 3, 4, 5).record) == NPU
    assert running(dying(asked, 1, 2, 3, 4, 5, 6).record) == CPU
    last = dying(asked, *range(1, 20))
    assert running(last.record) == CPU
    assert last.degraded


def test_falling_back_while_it_runs() -> None:
    """An engine that fails for good falls back the same way as a process that dies."""
    asked = accepted(settled(first()), GPU)
    fallen = fall_back(asked)
    assert fallen is not None
    assert fallen == dying(asked, 1, 2, 3).record
    assert fall_back(fallen) is None


def test_an_attempt_ends_with_its_reply() -> None:
    """Whoever asked what was being carried out at the end gets one reply, however often the agent ends before it."""
    record = attempting(first(), attempt("a1"))
    for _ in range(3):
        started = boot(record, CPU, NOW)
        assert started.orphan == attempt("a1")
        assert boot(ended(started.record), CPU, NOW).orphan == attempt("a1")
        record = started.record
    assert boot(remember(record, "other", "{}", NOW), CPU, NOW).orphan == attempt("a1")
    answered = remember(record, "a1", '{"status": "failed"}', NOW)
    assert boot(answered, CPU, NOW).orphan is None
    assert reply_to(answered, "a1") == '{"status": "failed"}'


def test_replies_are_kept() -> None:
    """The last 64 of a day, each as it was; an id that is answered anew has the new answer alone."""
    record = first()
    assert reply_to(record, "0") is None
    for number in range(100):
        record = remember(record, str(number), f"reply {number}", NOW + number * MINUTE)
    assert [reply.id for reply in record.replies] == [str(number) for number in range(100 - REPLIES_MAX, 100)]
    record = remember(record, "50", "again", NOW + 100 * MINUTE)
    assert reply_to(record, "50") == "again"
    assert len(record.replies) == REPLIES_MAX
    record, _ = sweep(record, NOW + 90 * MINUTE + DAY)
    assert [reply.id for reply in record.replies] == [*map(str, range(91, 100)), "50"]


def test_replies_of_a_clock_that_was_ahead() -> None:
    """A reply from the future is kept: to forget it would be to do its command twice."""
    record = remember(remember(first(), "late", "x", NOW + 300 * DAY), "early", "y", NOW)
    assert [reply_to(record, name) for name in ("late", "early")] == ["x", "y"]


def test_replies_are_bounded_in_bytes() -> None:
    """Old replies make room for new ones; one that is larger than all the room is kept alone."""
    record = first()
    for number in range(10):
        record = remember(record, str(number), "é" * (REPLIES_BYTES // 8), NOW)  # a quarter of the room each
    assert [reply.id for reply in record.replies] == ["6", "7", "8", "9"]
    record = remember(record, "huge", "x" * (REPLIES_BYTES + 1), NOW)
    assert [reply.id for reply in record.replies] == ["huge"]


def test_a_job_ends_with_its_process() -> None:
    """A job that was running when the process ended has failed, and is told so once."""
    record = with_job(with_job(first(), job("done", JobStatus.SUCCEEDED, age=MINUTE)), job("j1", age=MINUTE))
    started = boot(record, CPU, NOW)
    (failed,) = started.jobs
    assert (failed.id, failed.status, failed.finished_at, failed.sent_at) == ("j1", JobStatus.FAILED, NOW, NOW)
    assert failed.error is not None
    assert failed.error.code is ErrorCode.INTERNAL
    assert started.record.jobs == (job("done", JobStatus.SUCCEEDED, age=MINUTE), failed)
    assert boot(started.record, CPU, NOW).jobs == ()


def test_a_job_goes_on() -> None:
    """A job that is told of again takes its own place."""
    record = with_job(with_job(first(), job("j1")), job("j2"))
    over = job("j1", JobStatus.CANCELLED)
    assert with_job(record, over).jobs == (over, job("j2"))


def test_jobs_are_cleared() -> None:
    """Jobs go a day after their end, and the oldest ended ones beyond 32 at once; one that runs stays."""
    record = first()
    for number in range(JOBS_MAX + 3):
        age = DAY - (number - 1.5) * MINUTE
        record = with_job(record, job(str(number), JobStatus.SUCCEEDED if number != 2 else JobStatus.RUNNING, age=age))
        if number == JOBS_MAX - 8:
            assert sweep(record, NOW)[1] == ("0", "1")
    swept, cleared = sweep(record, NOW)
    assert cleared == ("0", "1", "3")
    assert [known.id for known in swept.jobs] == ["2", *map(str, range(4, JOBS_MAX + 3))]
    assert sweep(swept, NOW) == (swept, ())
    swept, _ = sweep(swept, NOW + DAY)
    assert [known.id for known in swept.jobs] == ["2"]


class Life(RuleBasedStateMachine):
    """An agent that is told things, settles, ends and dies, beside a plain account of what it promises."""

    @initialize(base=SETTINGS)
    def install(self, base: Settings) -> None:
        self.now: datetime = NOW
        self.base = base
        self.asked = base
        self.fallen: Settings | None = None
        self.good: Settings | None = None
        self.version = 0
        self.deaths: list[datetime] = []
        self.owed: str | None = None
        self.record = boot(None, base, NOW).record

    @rule(minutes=st.sampled_from([0, 1, 4, 9, 11, -1, -30]))
    def time_passes(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    @rule(settings=SETTINGS)
    def is_told(self, settings: Settings) -> None:
        self.record = accepted(self.record, settings)
        self.version, self.asked, self.fallen, self.deaths = self.version + 1, settings, None, []

    @rule(paused=st.booleans())
    def is_paused(self, paused: bool) -> None:
        self.record = with_pause(self.record, paused)
        self.version, self.asked = self.version + 1, self.asked.model_copy(update={"paused": paused})

    @precondition(lambda self: self.owed is None)
    @rule(command_id=st.sampled_from("abc"))
    def begins(self, command_id: str) -> None:
        self.record = attempting(self.record, attempt(command_id))
        self.owed = command_id

    @precondition(lambda self: self.owed is not None)
    @rule(payload=st.text(max_size=5))
    def answers(self, payload: str) -> None:
        assert self.owed is not None
        self.record = remember(self.record, self.owed, payload, self.now)
        assert reply_to(self.record, self.owed) == payload
        self.owed = None

    @rule()
    def settles(self) -> None:
        self.record = settled(self.record)
        if self.fallen is None:
            self.good = self.asked

    @rule(base=SETTINGS)
    def is_edited(self, base: Settings) -> None:
        if base != self.base:
            self.base = base
            self.version, self.fallen, self.deaths = self.version + 1, None, []
            self.asked = base.model_copy(update={"paused": self.asked.paused})
            self.starts(reset=True)

    @rule()
    def ends(self) -> None:
        self.record = ended(self.record)
        self.starts()

    @rule(times=st.integers(1, 4))
    def dies(self, times: int) -> None:
        for _ in range(times):
            self.deaths = [at for at in self.deaths if timedelta() <= self.now - at <= 10 * MINUTE] + [self.now]
            if len(self.deaths) >= 3:
                self.falls()
            self.starts()

    def starts(self, *, reset: bool = False) -> None:
        started = boot(self.record, self.base, self.now)
        assert started.reset == reset
        assert started.degraded == (self.fallen is not None)
        assert (started.orphan.id if started.orphan else None) == self.owed
        self.deaths = [at for at in self.deaths if at <= self.now]
        self.record = started.record

    def falls(self) -> None:
        for known in (self.good, self.base):
            if known is not None and self.obeyed(known) != self.obeyed(self.fallen or self.asked):
                self.good = self.fallen = known
                self.deaths = []
                return

    def obeyed(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"paused": self.asked.paused})

    @invariant()
    def keeps_its_promises(self) -> None:
        assert running(self.record) == self.obeyed(self.fallen or self.asked)
        assert self.record.settings == self.asked
        assert self.record.version == self.version
        assert self.owed or self.record.attempt is None
        assert Record.model_validate_json(self.record.model_dump_json(by_alias=True), strict=True) == self.record


TestLife = Life.TestCase
