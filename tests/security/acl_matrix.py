"""Who may write and read what, measured on a real broker with the configuration operators are given.

``make acl-matrix`` prints the table and exits with 1 where it is not the one wanted. Each cell is tried in every way
there is: written by a message and by a last will; read as it is published, kept by the broker, through the topic's own
name, through ``#`` and through a shared subscription. A cell whose ways differ is a ``?``.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.wire.topics import group_command, group_reply
from tests.authority import context, make_authority, secure_lines
from tests.broker import Broker
from tests.security.visitor import TurnedAwayError, Visitor

DEVICES: Final = ("gym-01", "gym-02")
"""Both are in the group `gym`, the second in `upstairs` too: so acl.conf says."""
PEOPLE: Final = ("operator", "viewer", "homeassistant")
STRANGERS: Final = ("", "foreign", "expired")
"""No certificate; one of another authority and one of yesterday, both in the name of the first device."""
ROLES: Final = (*DEVICES, *PEOPLE, *STRANGERS)
LEAVES: Final = (
    "availability",
    "info",
    "state",
    "metrics",
    "keypoints",
    "event",
    "zone/weights",
    "job/order-9",
    "reply/me",
)
COMMANDS: Final = tuple(f"command/{name}" for name in ("pause", "set", "restart", "check", "logs", "fetch"))
GROUPS: Final = {"gym": DEVICES, "upstairs": DEVICES[1:]}
OUTSIDE: Final = ("edgepose", "elsewhere/light")
DISCOVERY: Final = (*(f"homeassistant/sensor/{device}/fps/config" for device in DEVICES), "homeassistant/status")
WITNESS: Final = "witness"
"""Of the test: may do everything, and so sees and causes what the others are tried with."""

Matrix = dict[str, dict[str, str]]


def topics() -> Iterator[str]:
    """Every kind of topic."""
    for device in DEVICES:
        yield from (f"edgepose/{device}/{leaf}" for leaf in (*LEAVES, *COMMANDS))
    for group in GROUPS:
        yield from (group_command(group, "pause"), group_command(group, "set"), group_reply(group, "me"))
    yield from (f"edgepose/{person}/state" for person in PEOPLE)
    yield from (*OUTSIDE, *DISCOVERY)


def wanted(role: str, topic: str) -> str:  # noqa: PLR0911 - one for each row of the table
    """What a role shall be able to do with a topic: any of ``r`` and ``w``; ``x``: not even connect."""
    prefix, owner, leaf, *_ = [*topic.split("/", 2), "", ""]
    if role in STRANGERS:
        return "x"
    if topic in DISCOVERY:
        return _of_discovery(role, leaf)
    if prefix != "edgepose" or not owner:
        return "r" if role == "operator" and topic == "edgepose" else ""
    members = GROUPS.get(leaf.partition("/")[0], ()) if owner == "_group" else (owner,)
    is_command = "/command/" in f"/{leaf}"
    match role:
        case "operator":
            return "" if owner == "operator" else "rw" if is_command else "r"
        case "viewer":
            told_to_all = leaf in LEAVES and not leaf.startswith("reply/")
            return "r" if owner not in {"_group", "viewer"} and told_to_all else ""
        case "homeassistant":
            told = leaf in LEAVES and not leaf.startswith(("reply/", "job/", "keypoints"))
            return "" if owner in {"_group", role} else "w" if is_command else "r" * told
        case _ if role in members and is_command:
            return "r"
    if owner != role:
        return ""
    return "rw" if leaf == "state" else "w"


def _of_discovery(role: str, leaf: str) -> str:
    """What a role shall be able to do below Home Assistant's prefix; nothing follows ``status`` there."""
    if role == "homeassistant":
        return "rw"
    # That it has started is no secret: a pattern of mosquitto's is everybody's.
    return "r" if not leaf else "w" * leaf.startswith(f"{role}/")


def measured(folder: Path, *more_access: str) -> Matrix:
    """Try every role on every topic; ``more_access`` are lines added to the access list."""
    make_authority(folder, *DEVICES, "homeassistant", WITNESS)
    everything = ["", f"user {WITNESS}", "topic readwrite #"]
    with Broker(folder, secure_lines(folder, *everything, *more_access)) as broker:
        return {role: _tried(broker.port, folder, role) for role in ROLES}


def _tried(port: int, folder: Path, role: str) -> dict[str, str]:
    try:
        with Visitor(port, context(folder, role)):
            pass
    except TurnedAwayError:
        return dict.fromkeys(topics(), "x")
    with Visitor(port, context(folder, WITNESS), ["#"]) as witness:
        reads = _reads(port, folder, role, witness)
        writes = _writes(port, folder, role, witness)
    return {topic: "?" if "?" in reads[topic] + writes[topic] else reads[topic] + writes[topic] for topic in topics()}


def _reads(port: int, folder: Path, role: str, witness: Visitor) -> dict[str, str]:
    fence = f"edgepose/{role}/command/fence" if role in DEVICES else "edgepose/fence/state"
    everybody, tls = list(topics()), context(folder, role)
    for topic in everybody:
        assert witness.publish(topic, b"kept", retain=True)
    ways = ["#"], [*everybody, fence], ["$share/tried/#"]
    found: dict[str, list[bool]] = {topic: [] for topic in everybody}
    for filters in ways:
        with Visitor(port, tls, filters) as visitor:
            for topic in everybody:
                assert witness.publish(topic, b"live")
            assert witness.publish(fence, b"fence")
            visitor.wait(fence, b"fence")
            for topic in everybody:
                # What is kept is not for shared subscriptions.
                kinds = (b"live",) if filters[0].startswith("$share") else (b"live", b"kept")
                found[topic] += [visitor.heard(topic, kind) for kind in kinds]
    for topic in everybody:
        assert witness.publish(topic, b"", retain=True)
    return {topic: _agreed(ways_found, "r") for topic, ways_found in found.items()}


def _writes(port: int, folder: Path, role: str, witness: Visitor) -> dict[str, str]:
    tls = context(folder, role)
    found: dict[str, list[bool]] = {topic: [] for topic in topics()}
    with Visitor(port, tls) as visitor:
        for topic, ways_found in found.items():
            taken = visitor.publish(topic, f"by {role}".encode())
            _fence(witness, topic)
            ways_found += [taken, witness.heard(topic, f"by {role}".encode())]
    for topic, ways_found in found.items():
        ways_found.append(_by_will(port, folder, role, topic, witness))
    return {topic: _agreed(ways_found, "w") for topic, ways_found in found.items()}


def _by_will(port: int, folder: Path, role: str, topic: str, witness: Visitor) -> bool:
    """Die with a last will to the topic; whether the witness hears it."""
    tls, name, will = context(folder, role), f"{role}-dies", f"will of {role}".encode()
    try:
        with Visitor(port, tls, will=(topic, will), client_id=name) as visitor:
            visitor.vanish()
    except TurnedAwayError:
        return False
    # By the time another is let in under its name, the broker is done with the first, and with its will.
    with Visitor(port, tls, client_id=name):
        _fence(witness, topic)
    return witness.heard(topic, will)


def _fence(witness: Visitor, name: str) -> None:
    """The broker keeps the order: what the witness has not heard after this, it never will."""
    assert witness.publish("elsewhere/fence", name.encode())
    witness.wait("elsewhere/fence", name.encode())


def _agreed(found: list[bool], letter: str) -> str:
    return "?" if len(set(found)) > 1 else letter * found[0]


def table(matrix: Matrix) -> str:
    """Lay the matrix out in columns."""
    words = {"": "-", "r": "reads", "w": "writes", "rw": "reads, writes", "x": "no entry", "?": "?"}
    head = ["topic", *(role or "no certificate" for role in ROLES)]
    rows = [[topic, *(words[matrix[role][topic]] for role in ROLES)] for topic in topics()]
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows]]
    return "\n".join(line.rstrip() for line in lines)


def differences(matrix: Matrix) -> list[str]:
    """Tell where it is not as wanted."""
    return [
        f"{role or 'no certificate'} on {topic}: {matrix[role][topic] or '-'}, wanted {wanted(role, topic) or '-'}"
        for role in ROLES
        for topic in topics()
        if matrix[role][topic] != wanted(role, topic)
    ]


def main() -> int:
    """Print the matrix; 1 where it is not as wanted."""
    with tempfile.TemporaryDirectory() as folder:
        matrix = measured(Path(folder))
    print(table(matrix))
    wrong = differences(matrix)
    cells = len(ROLES) * len(list(topics()))
    print(f"\n{cells} cells, {len(wrong)} not as wanted")
    print("\n".join(wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
