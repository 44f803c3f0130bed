"""How agents come back to a broker."""

from agent.policies import RECONNECT_BROKER, RECONNECT_TAKEN_OVER, pause_s

DRAWS = 5000


def test_a_crowd_is_spread_by_the_policy() -> None:
    """The first attempt after a loss is anywhere in eight seconds, as often early as late."""
    pauses = [pause_s(RECONNECT_BROKER) for _ in range(DRAWS)]
    assert 0 <= min(pauses) < 0.5
    assert 7.5 < max(pauses) <= 8
    assert 0.45 < sum(pause < 4 for pause in pauses) / DRAWS < 0.55


def test_two_agents_with_one_id_are_slow() -> None:
    """Each throws the other out when it comes: two of the shortest waits are six connects a minute at most."""
    assert min(pause_s(RECONNECT_TAKEN_OVER) for _ in range(DRAWS)) >= 60 / 6
