"""What commands do, as conversations with the state machine."""

import copy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agent.control.events import Asked, Informed, Note, Send
from agent.control.machine import IllegalEvent, diagram, step
from agent.control.state import REPLIES_BYTES, REPLIES_MAX, Phase, State
from agent.wire.commands import Reply, ReplyStatus
from agent.wire.messages import Changed
from tests.control.conversation import BASE, BOX, NOW, command, first_state, replay


def test_a_device_is_changed() -> None:
    """What is asked for is saved together with the reply, before the reply goes out, and not before it is true."""
    check("""
> started
    ready
> set-device a SIMCPU
    save v0 CPU attempt=a
    begin 1 SIMCPU
    note switch.started
    switching
> built
    swap 1
    measuring
> done
    save v1 SIMCPU replies=a
    reply a succeeded v1
    note switch.done
    ready
""")


def test_a_switch_that_fails_leaves_everything() -> None:
    """What did not work is answered and not asked for: settings and version stay, and nothing is swapped."""
    check("""
> started
    ready
> set-device a SIMCPU
    save v0 CPU attempt=a
    begin 1 SIMCPU
    note switch.started
    switching
> failed
    save v0 CPU replies=a
    reply a failed trial_failed v0
    note switch.failed
    ready
""")


def test_a_size_that_fits_is_taken_and_is_nobody_s_wish() -> None:
    """It is switched to and remembered; what is asked for, and its version, stay as they were."""
    check("""
> started
    ready
> size-found
    begin 1 CPU
    note switch.started
    switching
> built
    swap 1
    measuring
> done
    remember 512
    note switch.done
    note input.fitted
    ready
> size-stays
    remember 512
    note input.fitted
> no-size
    remember None
    note input.fitted
""")


def test_a_size_that_does_not_keep_up_is_not_remembered() -> None:
    """The engine it was measured beside gets the frames back, and no command waits for an answer."""
    check("""
> started
    ready
> size-found
    begin 1 CPU
    note switch.started
    switching
> built
    swap 1
    measuring
> failed
    swap back 1
    note switch.failed
    ready
""")


def test_a_size_is_found_too_late() -> None:
    """Whatever somebody asked for meanwhile wins: another engine, a pause, or a switch that is under way."""
    check("""
> started
    ready
> set-device a SIMCPU
    save v0 CPU attempt=a
    begin 1 SIMCPU
    note switch.started
    switching
> size-found
> built
    swap 1
    measuring
> size-found
> done
    save v1 SIMCPU replies=a
    reply a succeeded v1
    note switch.done
    ready
> size-found
> size-stays
""")


def test_a_picture_of_another_shape_is_followed() -> None:
    """What runs is built anew for it, be it what somebody asked for; nobody's wish, and no version, changes."""
    check("""
> started
    ready
> set-device a SIMCPU
    save v0 CPU attempt=a
    begin 1 SIMCPU
    note switch.started
    switching
> reshaped
> built
    swap 1
    measuring
> done
    save v1 SIMCPU replies=a
    reply a succeeded v1
    note switch.done
    ready
> reshaped
    begin 2 SIMCPU
    note switch.started
    switching
> reshaped
> set-precision b FP16
    note command.accepted
> built
    swap 2
    measuring
> done
    note switch.done
    save v1 SIMCPU attempt=b replies=a
    begin 3 SIMCPU+FP16
    note switch.started
    switching
""")


def test_a_shape_that_does_not_work_changes_nothing() -> None:
    """The old engine never stopped; in a pause none is built for a picture nobody looks at."""
    check("""
> started
    ready
> reshaped
    begin 1 CPU
    note switch.started
    switching
> failed
    note switch.failed
    ready
> reshaped
    begin 2 CPU
    note switch.started
    switching
> built
    swap 2
    measuring
> failed
    swap back 2
    note switch.failed
    ready
> pause a
    flow off
    save v1 CPU+paused replies=a
    reply a succeeded v1
    note agent.paused
> reshaped
""")


def test_a_precision_that_was_named_is_kept() -> None:
    """Be it what the configuration says anyway: nothing that is measured chooses another."""
    check("""
> started
    ready
> set-precision a FP32
    save v0 CPU attempt=a
    begin 1 CPU
    note switch.started
    switching
> built
    swap 1
    measuring
> done
    save v1 CPU replies=a
    reply a succeeded v1
    note switch.done
    ready
> size-found
> size-stays
""")


def test_a_repeated_id_does_nothing_twice() -> None:
    """While it is done nothing is said; once it is done the same reply comes again, and nothing else happens."""
    check("""
> started
    ready
> set-precision a FP16
    save v0 CPU attempt=a
    begin 1 CPU+FP16
    note switch.started
    switching
> set-precision a FP16
> set-device b SIMCPU
    note command.accepted
> set-device b SIMCPU
> built
    swap 1
    measuring
> done
    save v1 CPU+FP16 replies=a
    reply a succeeded v1
    note switch.done
    save v1 CPU+FP16 attempt=b replies=a
    begin 2 SIMCPU+FP16
    note switch.started
    switching
> set-precision a FP32
    reply a succeeded v1
> failed
    save v1 CPU+FP16 replies=a,b
    reply b failed trial_failed v1
    note switch.failed
    ready
> set-device b CPU
    reply b failed trial_failed v1
""")


def test_a_stale_version_is_refused() -> None:
    """`if_version` must be the version there is, when the command comes and when its turn comes."""
    check("""
> started
    ready
> set-device a SIMCPU if=1
    reply a rejected version_conflict v0
> set-device b SIMCPU if=0
    save v0 CPU attempt=b
    begin 1 SIMCPU
    note switch.started
    switching
> set-precision c FP16 if=0
    note command.accepted
> built
    swap 1
    measuring
> done
    save v1 SIMCPU replies=b
    reply b succeeded v1
    note switch.done
    reply c rejected version_conflict v1
    ready
""")


def test_what_waits_is_judged_when_its_turn_comes() -> None:
    """What cannot be done now may be possible after the command before it, and the other way round."""
    check("""
> started
    ready
> set-device a HETERO:SIMCPU,CPU
    save v0 CPU attempt=a
    begin 1 HETERO:SIMCPU,CPU
    note switch.started
    switching
> plan-affinity b split
    note command.accepted
> set-affinity c split
    note command.accepted
> set-precision d FP16
    note command.accepted
> set-model e other
    note command.accepted
> built
    swap 1
    measuring
> done
    save v1 HETERO:SIMCPU,CPU replies=a
    reply a succeeded v1
    note switch.done
    save v1 HETERO:SIMCPU,CPU attempt=b replies=a
    begin 2 HETERO:SIMCPU,CPU+split
    note command.accepted
    planning
> done
    save v1 HETERO:SIMCPU,CPU replies=a,b
    reply b succeeded v1
    save v1 HETERO:SIMCPU,CPU attempt=c replies=a,b
    begin 3 HETERO:SIMCPU,CPU+split
    note switch.started
    switching
> failed
    save v1 HETERO:SIMCPU,CPU replies=a,b,c
    reply c failed trial_failed v1
    note switch.failed
    save v1 HETERO:SIMCPU,CPU attempt=d replies=a,b,c
    begin 4 HETERO:SIMCPU,CPU+FP16
    note switch.started
> built
    swap 4
    measuring
> done
    save v2 HETERO:SIMCPU,CPU+FP16 replies=a,b,c,d
    reply d succeeded v2
    note switch.done
    reply e rejected unavailable_precision v2
    ready
""")


def test_what_expires_while_it_waits_is_refused() -> None:
    """A command is as late at its turn as it would have been on arrival."""
    check("""
> started
    ready
> set-device a SIMCPU
    save v0 CPU attempt=a
    begin 1 SIMCPU
    note switch.started
    switching
> set-precision b FP16 expires=1
    note command.accepted
> set-precision c FP16 expires=-1
    reply c rejected expired v0
> later 2
> failed
    save v0 CPU replies=a
    reply a failed trial_failed v0
    note switch.failed
    reply b rejected expired v0
    ready
""")


def test_a_job_keeps_others_off() -> None:
    """A job is accepted at once and tells the rest itself; until it ends changes are busy and questions answered."""
    state = check("""
> started
    ready
> quantize a
    save v0 CPU attempt=a
    begin 1 quantize-20260131-063000
    save v0 CPU replies=a
    reply a accepted v0
    note job.started
    publish running 0
    working
> set-device b SIMCPU
    reply b rejected busy v0
> pause c
    reply c rejected busy v0
> jobs d
    inform d
> informed d
    reply d succeeded v0
> broken
> done
    save v0 CPU replies=a
    note job.done
    publish succeeded 1
    ready
> set-device b SIMCPU
    reply b rejected busy v0
> set-model e other
    save v0 CPU attempt=e replies=a
    begin 2 CPU+other
    note switch.started
    switching
""")
    assert [(job.id[-2:], job.result) for job in state.record.jobs] == [("-1", {"fps": 30})]


def test_a_job_is_cancelled() -> None:
    """Whoever cancels a job is answered at once; the job tells of its end when it has ended, and frees the way then."""
    check("""
> started
    ready
> quantize a
    save v0 CPU attempt=a
    begin 1 quantize-20260131-063000
    save v0 CPU replies=a
    reply a accepted v0
    note job.started
    publish running 0
    working
> cancel b quantize-20260131-063000-1
    abandon 1
    save v0 CPU replies=a,b cancelling
    reply b succeeded v0
> set-model c other
    reply c rejected busy v0
> failed
    save v0 CPU replies=a,b
    note job.failed
    publish failed 0
    ready
> cancel d quantize-20260131-063000-1
    reply d rejected not_found v0
""")


def test_commands_wait_in_their_order_and_the_ninth_is_told_busy() -> None:
    """While one is done eight wait, what only asks is answered at once, and one more is refused."""
    check("""
> pause 1
    note command.accepted
> resume 2
    note command.accepted
> set-hint 3 throughput
    note command.accepted
> pause 4
    note command.accepted
> pause 5
    note command.accepted
> resume 6
    note command.accepted
> plan-affinity 7 split
    note command.accepted
> set-device 8 SIMCPU
    note command.accepted
> set-device 9 SIMCPU
    reply 9 rejected busy v0
> describe 10
    inform 10
> started
    flow off
    save v1 CPU+paused replies=1
    reply 1 succeeded v1
    note agent.paused
    flow on
    save v2 CPU replies=1,2
    reply 2 succeeded v2
    note agent.resumed
    save v2 CPU attempt=3 replies=1,2
    begin 1 CPU+throughput
    note switch.started
    switching
> failed
    save v2 CPU replies=1,2,3
    reply 3 failed trial_failed v2
    note switch.failed
    flow off
    save v3 CPU+paused replies=1,2,3,4
    reply 4 succeeded v3
    note agent.paused
    flow off
    save v3 CPU+paused replies=1,2,3,4,5
    reply 5 succeeded v3
    flow on
    save v4 CPU replies=1,2,3,4,5,6
    reply 6 succeeded v4
    note agent.resumed
    reply 7 rejected invalid_affinity v4
    save v4 CPU attempt=8 replies=1,2,3,4,5,6
    begin 2 SIMCPU
    note switch.started
""")


def test_what_waits_and_what_is_done_can_be_cancelled_but_not_what_is_measured() -> None:
    """Both are answered, the cancelled and who cancelled; a compilation that goes on in its thread keeps others off."""
    check("""
> started
    ready
> set-device a SIMCPU
    save v0 CPU attempt=a
    begin 1 SIMCPU
    note switch.started
    switching
> set-precision b FP16
    note command.accepted
> cancel c b
    reply b cancelled cancelled v0
    reply c succeeded v0
> cancel d a
    abandon 1
    save v0 CPU replies=a
    reply a cancelled cancelled v0
    reply d succeeded v0
    ready
> set-precision e FP16
    reply e rejected busy v0
> built 1
> stray-ended 1
> set-precision f FP16
    save v0 CPU attempt=f replies=a
    begin 2 CPU+FP16
    note switch.started
    switching
> built
    swap 2
    measuring
> cancel g f
    reply g rejected not_found v0
> done
    save v1 CPU+FP16 replies=a,f
    reply f succeeded v1
    note switch.done
    ready
""")


def test_what_takes_too_long_is_given_up_and_waited_for() -> None:
    """The asker is told; what waited goes on unless it needs the device; the next switch is busy until it ends."""
    check("""
> started
    ready
> set-device a SIMCPU
    save v0 CPU attempt=a
    begin 1 SIMCPU
    note switch.started
    switching
> pause b
    note command.accepted
> set-device c SIMCPU
    note command.accepted
> overdue
    abandon 1
    save v0 CPU replies=a
    reply a timed_out compile_failed v0
    note switch.failed
    flow off
    save v1 CPU+paused replies=a,b
    reply b succeeded v1
    note agent.paused
    reply c rejected busy v1
    ready
> failed 1
> set-device d SIMCPU
    reply d rejected busy v1
> stray-ended 1
> set-device e SIMCPU
    save v1 CPU+paused attempt=e replies=a,b
    begin 2 SIMCPU+paused
    note switch.started
    switching
""")


def test_who_is_refused_for_what_still_runs_is_told_which_and_since_when() -> None:
    """The command, its device and the seconds since; and what to do."""
    _told, state = replay("> started\n> set-device a SIMCPU\n> overdue\n")
    asked = Asked(command("set-hint", "c", "latency"))
    _state, effects = step(state, asked, BOX, NOW + timedelta(seconds=42))
    (sent,) = [effect for effect in effects if isinstance(effect, Send)]
    error = Reply.decode(sent.payload).error
    assert error is not None
    told = "the compilation of set-device (SIMCPU) was given up 42 s ago and still runs: nothing can interrupt it"
    assert error.message == told
    assert "restart the agent" in error.hint


def test_only_the_end_of_what_was_given_up_frees_the_way() -> None:
    """The last word of a switch that was undone says nothing of a compilation that still runs."""
    check("""
> started
    ready
> set-device a SIMCPU
    save v0 CPU attempt=a
    begin 1 SIMCPU
    note switch.started
    switching
> built
    swap 1
    measuring
> broken
    swap back 1
    save v0 CPU replies=a
    reply a failed trial_failed v0
    note switch.failed
    ready
> set-precision b FP16
    save v0 CPU attempt=b replies=a
    begin 2 CPU+FP16
    note switch.started
    switching
> done 1
> overdue
    abandon 2
    save v0 CPU replies=a,b
    reply b timed_out compile_failed v0
    note switch.failed
    ready
> stray-ended 1
> set-precision c FP16
    reply c rejected busy v0
> stray-ended 2
> plan-affinity d split
    reply d rejected invalid_affinity v0
""")


def test_an_engine_that_breaks_falls_back_until_a_change_is_accepted() -> None:
    """It goes back to what was good and says so; a change that is accepted later ends that, a failed one does not."""
    check("""
> started
    ready
> set-device a SIMCPU
    save v0 CPU attempt=a
    begin 1 SIMCPU
    note switch.started
    switching
> built
    swap 1
    measuring
> done
    save v1 SIMCPU replies=a
    reply a succeeded v1
    note switch.done
    ready
> settled
    save v1 SIMCPU replies=a good=SIMCPU
> set-precision b FP16
    save v1 SIMCPU attempt=b replies=a good=SIMCPU
    begin 2 SIMCPU+FP16
    note switch.started
    switching
> built
    swap 2
    measuring
> done
    save v2 SIMCPU+FP16 replies=a,b good=SIMCPU
    reply b succeeded v2
    note switch.done
    ready
> broken
    note engine.failed
    save v2 SIMCPU+FP16 replies=a,b good=SIMCPU fallback
    begin 3 SIMCPU
    switching
> set-device c CPU
    note command.accepted
> broken
> built
    swap 3
    measuring
> done
    note engine.degraded
    save v2 SIMCPU+FP16 attempt=c replies=a,b good=SIMCPU fallback
    begin 4 CPU+FP16
    note switch.started
    switching
> failed
    save v2 SIMCPU+FP16 replies=a,b,c good=SIMCPU fallback
    reply c failed trial_failed v2
    note switch.failed
    ready
> settled
    save v2 SIMCPU+FP16 replies=a,b,c good=SIMCPU fallback
> set-device d CPU
    save v2 SIMCPU+FP16 attempt=d replies=a,b,c good=SIMCPU fallback
    begin 5 CPU+FP16
    note switch.started
    switching
> built
    swap 5
    measuring
> done
    save v3 CPU+FP16 replies=a,b,c,d good=SIMCPU
    reply d succeeded v3
    note switch.done
    ready
""")


def test_an_engine_that_breaks_while_it_is_measured_is_taken_out_again() -> None:
    """The old engine gets the frames back, what was asked for is as before, and late news change nothing."""
    check("""
> started
    ready
> set-device a SIMCPU
    save v0 CPU attempt=a
    begin 1 SIMCPU
    note switch.started
    switching
> built
    swap 1
    measuring
> pause b
    note command.accepted
> broken
    swap back 1
    save v0 CPU replies=a
    reply a failed trial_failed v0
    note switch.failed
    flow off
    save v1 CPU+paused replies=a,b
    reply b succeeded v1
    note agent.paused
    ready
> done 1
> stray-ended 1
> set-precision c FP16
    save v1 CPU+paused attempt=c replies=a,b
    begin 2 CPU+FP16+paused
    note switch.started
    switching
> built
    swap 2
    measuring
> failed
    swap back 2
    save v1 CPU+paused replies=a,b,c
    reply c failed trial_failed v1
    note switch.failed
    ready
""")


def test_with_nothing_to_go_back_to_the_agent_ends() -> None:
    """An engine that breaks in what the configuration asks for, and a fallback that cannot be built, end the agent."""
    check("""
> started
    ready
> broken
    end: the device is gone
    switching
> broken
""")
    check(
        """
> started
    ready
> broken
    note engine.failed
    save v3 SIMCPU good=CPU fallback
    begin 1 CPU
    switching
> failed
    end: it does not work: nothing is left to go back to
    ready
""",
        version=3,
        settings=BASE.model_copy(update={"device": "SIMCPU"}),
    )


def test_it_starts_in_what_can_be_had() -> None:
    """When what is asked for cannot be built at the start, what it starts in instead is saved and told."""
    check(
        """
> set-precision a FP16
    note command.accepted
> started GPU is gone
    note engine.degraded
    save v7 SIMCPU good=CPU fallback
    save v7 SIMCPU attempt=a good=CPU fallback
    begin 1 SIMCPU+FP16
    note switch.started
    switching
""",
        version=7,
        settings=BASE.model_copy(update={"device": "SIMCPU"}),
    )


def test_the_stop_answers_everybody() -> None:
    """Who waits and who is being served get an answer, what was not done is not asked for, and then all is refused."""
    check("""
> started
    ready
> set-device a SIMCPU
    save v0 CPU attempt=a
    begin 1 SIMCPU
    note switch.started
    switching
> pause b
    note command.accepted
> resume c
    note command.accepted
> stop
    abandon 1
    save v0 CPU replies=a
    reply a cancelled cancelled v0
    reply b cancelled cancelled v0
    reply c cancelled cancelled v0
    save v0 CPU replies=a ended
    stopping
> built 1
> stray-ended 1
> set-device d CPU
    reply d rejected busy v0
> cancel e b
    reply e rejected not_found v0
> broken
> settled
> started
> stop
""")


def test_the_stop_ends_a_job() -> None:
    """A job the agent stops in is told as cancelled, and its topic is cleared a day later."""
    check("""
> started
    ready
> quantize a
    save v0 CPU attempt=a
    begin 1 quantize-20260131-063000
    save v0 CPU replies=a
    reply a accepted v0
    note job.started
    publish running 0
    working
> stop
    abandon 1
    save v0 CPU replies=a
    note job.cancelled
    publish cancelled 0
    save v0 CPU replies=a ended
    stopping
> later 25
> tidied
    clear job
    save v0 CPU ended
""")


def test_a_pause_survives() -> None:
    """A pause is saved before it is told, and outlives switches, a fallback and what is asked for after it."""
    check("""
> started
    ready
> pause a
    flow off
    save v1 CPU+paused replies=a
    reply a succeeded v1
    note agent.paused
> set-device b SIMCPU
    save v1 CPU+paused attempt=b replies=a
    begin 1 SIMCPU+paused
    note switch.started
    switching
> built
    swap 1
    measuring
> done
    save v2 SIMCPU+paused replies=a,b
    reply b succeeded v2
    note switch.done
    ready
> broken
    note engine.failed
    save v2 SIMCPU+paused replies=a,b good=CPU fallback
    begin 2 CPU+paused
    switching
> built
    swap 2
    measuring
> done
    note engine.degraded
    ready
> resume c
    flow on
    save v3 SIMCPU replies=a,b,c good=CPU fallback
    reply c succeeded v3
    note agent.resumed
""")


def test_a_plan_changes_nothing() -> None:
    """A plan is made beside everything else and answered; settings and version stay."""
    check(
        """
> started
    ready
> plan-affinity a split
    save v0 HETERO:SIMCPU,CPU attempt=a
    begin 1 HETERO:SIMCPU,CPU+split
    note command.accepted
    planning
> broken
> done
    save v0 HETERO:SIMCPU,CPU replies=a
    reply a succeeded v0
    ready
> plan-affinity b split
    save v0 HETERO:SIMCPU,CPU attempt=b replies=a
    begin 2 HETERO:SIMCPU,CPU+split
    note command.accepted
    planning
> overdue
    abandon 2
    save v0 HETERO:SIMCPU,CPU replies=a,b
    reply b timed_out compile_failed v0
    ready
""",
        settings=BASE.model_copy(update={"device": "HETERO:SIMCPU,CPU"}),
    )


def test_pictures_leave_only_where_the_configuration_lets_them() -> None:
    """A snapshot is refused unless the box allows it."""
    check("""
> snapshot a
    reply a rejected invalid_payload v0
""")
    told, _state = replay("> snapshot a", box=replace(BOX, snapshots=True))
    assert told == "> snapshot a\n    inform a\n"


def test_what_changed_something_is_remembered_longer_than_questions() -> None:
    """However many questions come after it, a repeated change is answered with its reply and not done again."""
    _told, state = replay("> started\n> set-device a SIMCPU\n> built\n> done")
    for number in range(REPLIES_MAX + 10):
        state, _effects = step(state, Informed(command("describe", f"q{number}"), {}), BOX, NOW)
    after, effects = step(state, Asked(command("set-device", "a", "SIMCPU")), BOX, NOW)
    (send,) = effects
    assert isinstance(send, Send)
    assert Reply.decode(send.payload).status is ReplyStatus.SUCCEEDED
    assert after == state
    assert len(state.replies) <= REPLIES_MAX


def test_remembered_pictures_are_bounded_in_bytes() -> None:
    """Replies with pictures make room for one another long before they are as many as may be remembered."""
    state = first_state()
    for number in range(20):
        picture = Informed(command("snapshot", f"q{number}"), {"jpeg": "x" * (REPLIES_BYTES // 8)})
        state, _effects = step(state, picture, BOX, NOW)
    assert sum(map(len, state.replies.values())) <= REPLIES_BYTES
    assert list(state.replies)[-1] == "q19"


@pytest.mark.parametrize(
    ("before", "impossible"),
    [
        ("", "broken"),
        ("> started", "started"),
        ("> started\n> set-device a SIMCPU", "done"),
        ("> started\n> set-device a SIMCPU\n> built", "built"),
        ("> started\n> set-device a SIMCPU\n> built", "overdue"),
        ("> started\n> quantize a", "overdue"),
        ("> started\n> quantize a", "built"),
    ],
)
def test_what_cannot_happen_raises_and_changes_nothing(before: str, impossible: str) -> None:
    """An event the table does not foresee raises IllegalEvent; the state of before goes on as if it had not come."""
    _told, state = replay(before)
    untouched = copy.deepcopy(state.record), state.phase, state.work, state.waiting
    with pytest.raises(IllegalEvent):
        replay(f"> {impossible}", state)
    assert (state.record, state.phase, state.work, state.waiting) == untouched
    assert replay("> stop", state)[1].phase is Phase.STOPPING


def test_the_diagram_shows_every_phase() -> None:
    """The drawing leads from the start through every phase of the table to the end."""
    drawn = diagram()
    for phase in Phase:
        assert f"--> {phase.value}" in drawn
        assert f"\n    {phase.value} --> " in drawn
    assert drawn.startswith("stateDiagram-v2\n    [*] --> starting\n")
    assert drawn.endswith("    stopping --> [*]\n")


def check(conversation: str, **record: Any) -> State:
    """Replay a conversation that must go as it is written; returns the last state."""
    told, state = replay(conversation, first_state(**record))
    assert told == conversation.removeprefix("\n")
    return state


def test_who_asked_is_told_and_kept() -> None:
    """The client that the topic of the reply names, with its key, stands in the events and in the record."""
    state = replace(first_state(), phase=Phase.READY)
    paused, effects = step(state, Asked(command("pause", "a", key="office")), BOX, NOW)
    (note,) = [each for each in effects if isinstance(each, Note)]
    assert (note.code, note.facts) == ("agent.paused", {"by": "test, key office"})
    assert paused.record.changed == Changed(command="pause", by="test, key office", at=NOW)
    same, effects = step(paused, Asked(command("pause", "b")), BOX, NOW)
    assert not [each for each in effects if isinstance(each, Note)]
    assert same.record.changed == paused.record.changed
    again, _effects = step(same, Asked(command("resume", "c")), BOX, NOW)
    assert again.record.changed == Changed(command="resume", by="test", at=NOW)
    switching, effects = step(again, Asked(command("set-device", "d", "SIMCPU")), BOX, NOW)
    assert [each.facts["by"] for each in effects if isinstance(each, Note)] == ["test"]
    assert switching.record.changed == again.record.changed  # it is no change before it runs
