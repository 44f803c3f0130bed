"""Any bytes on any topic give a Command or a Refused, never anything else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire.commands import Incoming
from tests.fuzz.cases import DEVICE, GENERATORS, GROUPS, NOW, PREFIX, Case, Expected, cases
from tests.fuzz.codec import TOPICS, ViolationError, check, codec, run

TOPIC = st.text(max_size=40) | st.sampled_from(
    [*TOPICS.command_filters(GROUPS), f"{PREFIX}/{DEVICE}/command/set-device"]
)
TEXT = st.text(st.characters(codec=None), max_size=40)


def test_generated_and_mutated_commands_give_what_they_must() -> None:
    """Valid ones come out as they were written, broken ones are refused with the right code, id and address."""
    outcomes = codec(5_000, seed=2)
    assert {kind for kind, _ in outcomes} == {case.kind for case in cases(len(GENERATORS), seed=2)}


@settings(max_examples=500)
@given(
    topic=TOPIC,
    payload=st.binary(max_size=300),
    retained=st.booleans(),
    response_topic=st.none() | TEXT,
    correlation=st.none() | st.binary(max_size=700),
    expiry_s=st.none() | st.integers(0, 2**32 - 1),
)
def test_anything_gives_a_command_or_a_refusal(
    topic: str,
    payload: bytes,
    retained: bool,
    response_topic: str | None,
    correlation: bytes | None,
    expiry_s: int | None,
) -> None:
    """Whatever stands in topic, payload and properties."""
    incoming = Incoming(topic, payload, retained, NOW, response_topic, correlation, expiry_s)
    check(Case("anything", incoming, Expected()), run(incoming))


def test_the_check_notices() -> None:
    """A command that must be refused and is not, or comes out otherwise, is a violation."""
    valid = next(case for case in cases(10, seed=3) if case.kind == "valid")
    broken = next(case for case in cases(len(GENERATORS), seed=3) if case.kind == "unknown field")
    with pytest.raises(ViolationError, match="accepted what must be refused"):
        check(Case("swapped", valid.incoming, broken.expected), run(valid.incoming))
    with pytest.raises(ViolationError, match="refused what is valid"):
        check(Case("swapped", broken.incoming, valid.expected), run(broken.incoming))
    others = [case for case in cases(100, seed=3) if case.kind == "valid" and case.expected != valid.expected]
    with pytest.raises(ViolationError, match="another"):
        check(Case("swapped", others[0].incoming, valid.expected), run(others[0].incoming))
