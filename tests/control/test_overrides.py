"""Settings from afar: what they can come to, how they outlive a start, and when they are given up."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.faults import all_keys, schema_at
from agent.config.file import load
from agent.config.remote import AT_START, LIVE, REMOTE, value_of, with_values
from agent.config.tree import Config
from agent.control import events, journal, overrides
from agent.control.events import Configure, Effect, Restart, Save, Send
from agent.control.journal import DEATHS_MAX, Override, Record
from agent.control.machine import step
from agent.control.state import Phase, State
from agent.errors import ConfigError
from agent.wire.codec import Refused, decode
from agent.wire.commands import ErrorCode, Incoming, Reply, ReplyStatus
from agent.wire.settings import SettingsResult
from agent.wire.topics import Topics
from tests.control.conversation import BASE, BOX, NOW, first_state

FILE = Config.model_validate({"device_id": "hall", "camera": {"fps_max": 25.0, "width": 640, "height": 480}})
READY = replace(first_state(), phase=Phase.READY)
HERE = replace(BOX, file=FILE)
SERVICE = replace(HERE, supervised=True)
TOPICS = Topics("hall")
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**54), 2**54),
    st.integers(0, 40),
    st.floats(),
    st.floats(0, 2),
    st.sampled_from(["", "MJPG", "warning", "auto", "qsv", "udp", "/etc/passwd", "http://thief.example", "a b"]),
)
KEYS = st.one_of(
    st.sampled_from(REMOTE),
    st.sampled_from(sorted({".".join(steps) for steps in all_keys()})),
    st.text(alphabet="abcm.qt_h", min_size=1, max_size=12),
)


def asked(state: State, name: str, body: dict[str, Any], box: Any = HERE) -> tuple[State, tuple[Effect, ...], Reply]:
    """Send a command as it comes off the broker; raises Refused where it is none."""
    payload = json.dumps({"args": body}).encode()
    command = decode(Incoming(TOPICS.command(name), payload, retained=False, received_at=NOW), TOPICS)
    after, effects = step(state, events.Asked(command), box, NOW)
    (sent,) = [effect for effect in effects if isinstance(effect, Send)]
    return after, effects, Reply.decode(sent.payload)


def toml(value: object) -> str:
    """A value as a file says it."""
    return json.dumps(value if value is not None else 0)


def as_file(folder: Path, record: Record) -> Config:
    """The configuration of a file that says what commands have made of ours."""
    lines = ['device_id = "hall"', "camera.fps_max = 25.0", "camera.width = 640", "camera.height = 480"]
    said = dict(line.split(" = ") for line in lines)
    for key, made in record.overrides.items():
        said[key] = '""' if made.value is None and key == "camera.format" else toml(made.value)
    path = folder / "agent.toml"
    path.write_text("".join(f"{key} = {value}\n" for key, value in said.items()), encoding="utf-8")
    return load(path, environ={})


@given(orders=st.lists(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4), min_size=1, max_size=4))
def test_whatever_is_sent_the_file_could_have_said_it(
    orders: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """All of a command is taken, and a file could say so; or none of it. What is not on the list never changes."""
    folder = tmp_path_factory.mktemp("file")
    state = READY
    for settings in orders:
        before = state.record
        try:
            state, effects, reply = asked(state, "set", {"settings": settings})
        except (Refused, ValueError):  # not JSON, or no key or value of the wire's form
            continue
        if reply.status is ReplyStatus.REJECTED:
            assert state.record == before
            assert reply.error is not None
            assert reply.error.code in {ErrorCode.UNKNOWN_SETTING, ErrorCode.INVALID_PAYLOAD}
            continue
        assert set(settings) <= set(REMOTE)
        assert set(settings) <= state.record.overrides.keys()
        assert state.record.version == before.version + 1
        assert [effect.record.overrides for effect in effects if isinstance(effect, Save)] == [state.record.overrides]
    found = overrides.begin(state.record, FILE, NOW)
    assert not found.reasons
    assert found.config == as_file(folder, state.record)
    untouched = {key: value_of(FILE, key) for key in REMOTE if key not in state.record.overrides}
    assert with_values(found.config, {key: value_of(FILE, key) for key in REMOTE}) == FILE
    assert untouched.items() <= {key: value_of(found.config, key) for key in REMOTE}.items()


def test_nothing_on_the_list_is_secret_or_a_place() -> None:
    """No path, address, account, key or security option, and no table of the broker's, stands on the list."""
    for key in REMOTE:
        table, *_ = steps = tuple(key.split("."))
        assert table not in {"mqtt", "commands", "paths", "prometheus", "homeassistant", "output", "devices", "zones"}
        schema = schema_at(steps)
        assert schema.get("format") is None, key
        assert schema.get("type") != "string" or {"enum", "pattern"} & schema.keys(), f"{key} takes any text"
    assert not LIVE & AT_START


@pytest.mark.parametrize(
    ("settings", "code", "told"),
    [
        ({"camera.fps_max": 15, "model.person_score_min": 2}, "invalid_payload", "model.person_score_min: got 2"),
        ({"camera.fps_max": 15, "mqtt.host": "thief"}, "unknown_setting", "mqtt.host"),
        ({"camera.fps_mx": 15}, "unknown_setting", "camera.fps_mx"),
        ({"camera.roi.x": 0.5}, "invalid_payload", "reaches beyond the frame"),
    ],
)
def test_one_wrong_value_refuses_all(settings: dict[str, Any], code: str, told: str) -> None:
    """The state stays what it was, and the answer names the key."""
    state, effects, reply = asked(READY, "set", {"settings": settings})
    assert state.record == READY.record
    assert len(effects) == 1
    assert reply.error is not None
    assert (reply.status, reply.error.code.value) == (ReplyStatus.REJECTED, code)
    assert told in reply.error.message


def test_what_can_hold_at_once_does() -> None:
    """Those settings are handed on with the values that count; nothing is pending, and nothing starts anew."""
    state, effects, reply = asked(READY, "set", {"settings": {"tracking.keep_s": 30, "log.level": "debug"}}, SERVICE)
    assert Configure({"tracking.keep_s": 30.0, "log.level": "debug"}) in effects
    assert not [effect for effect in effects if isinstance(effect, Restart)]
    result = SettingsResult.model_validate(reply.result)
    assert (result.restart, state.record.pending) == ("none", ())
    back, effects, reply = asked(state, "unset", {}, SERVICE)
    assert Configure({"tracking.keep_s": 2.0, "log.level": "info"}) in effects
    assert not back.record.overrides
    assert SettingsResult.model_validate(reply.result).settings["tracking.keep_s"].value == 2.0


@pytest.mark.parametrize(
    ("box", "args", "restart"), [(SERVICE, {}, "now"), (SERVICE, {"restart": False}, "due"), (HERE, {}, "due")]
)
def test_what_holds_from_the_next_start_on(box: Any, args: dict[str, Any], restart: str) -> None:
    """A supervised agent starts anew, after the answer; another says that somebody has to see to it."""
    state, effects, reply = asked(READY, "set", {"settings": {"camera.fps_max": 15}, **args}, box)
    result = SettingsResult.model_validate(reply.result)
    setting = result.settings["camera.fps_max"]
    assert (result.restart, setting.value, setting.configured, setting.pending) == (restart, 15.0, 25.0, True)
    kinds = [type(effect) for effect in effects]
    assert (Restart in kinds) is (restart == "now")
    assert restart != "now" or kinds.index(Save) < kinds.index(Send) < kinds.index(Restart)
    found = overrides.begin(state.record, FILE, NOW)
    assert value_of(found.config, "camera.fps_max") == 15.0
    assert found.record is not None
    assert found.record.pending == ()


def test_a_dry_run_changes_nothing() -> None:
    """It answers what would be, and neither keeps nor does anything."""
    state, effects, reply = asked(READY, "set", {"settings": {"camera.fps_max": 15}, "dry_run": True}, SERVICE)
    assert state.record == READY.record
    assert [type(effect) for effect in effects] == [Send]
    result = SettingsResult.model_validate(reply.result)
    assert (result.dry_run, result.restart, result.settings["camera.fps_max"].value) == (True, "now", 15.0)


def test_restart_needs_somebody_who_starts_it_again() -> None:
    """A service ends after the answer; an agent that nobody supervises refuses."""
    _state, effects, reply = asked(READY, "restart", {}, SERVICE)
    assert reply.status is ReplyStatus.SUCCEEDED
    assert isinstance(effects[-1], Restart)
    _state, effects, reply = asked(READY, "restart", {}, HERE)
    assert reply.error is not None
    assert reply.error.code is ErrorCode.UNSUPERVISED


def record(*, settings: dict[str, Any], proven: dict[str, Any] | None = None, **changes: Any) -> Record:
    def made(values: dict[str, Any]) -> dict[str, Override]:
        return {key: Override(value=value, over=value_of(FILE, key)) for key, value in values.items()}

    first = Record(version=3, base=BASE, settings=BASE, overrides=made(settings), proven=made(proven or {}))
    return first.model_copy(update=changes)


def test_an_edited_file_wins_for_its_key() -> None:
    """The other settings stay; what is void is told, and the version is another one."""
    before = record(settings={"camera.fps_max": 15.0, "camera.rotate": 90})
    edited = FILE.model_copy(update={"camera": FILE.camera.model_copy(update={"fps_max": 30.0})})
    found = overrides.begin(before, edited, NOW)
    assert (value_of(found.config, "camera.fps_max"), value_of(found.config, "camera.rotate")) == (30.0, 90)
    assert found.record is not None
    assert (set(found.record.overrides), found.record.version) == ({"camera.rotate"}, 4)
    (reason,) = found.reasons
    assert "camera.fps_max" in reason


def test_what_no_longer_fits_is_given_up() -> None:
    """Two values that are good alone and not together: the file counts."""
    before = record(settings={"camera.roi.width": 0.5, "camera.roi.x": 0.5})
    broken = before.model_copy(update={"overrides": {"camera.roi.x": before.overrides["camera.roi.x"]}})
    found = overrides.begin(broken, FILE, NOW)
    assert found.config == FILE
    assert len(found.reasons) == 1


def test_settings_it_dies_of_are_given_up_for_those_it_lived_with() -> None:
    """The third death in ten minutes: it is back to what it has run with for a while, and the engine is not blamed."""
    deaths = tuple(NOW - timedelta(seconds=9 - each) for each in range(DEATHS_MAX - 1))
    dying = record(settings={"inference.threads": 1024}, proven={"inference.threads": 2}, deaths=deaths)
    fewer = dying.model_copy(update={"deaths": deaths[1:]})
    assert value_of(overrides.begin(fewer, FILE, NOW).config, "inference.threads") == 1024
    found = overrides.begin(dying, FILE, NOW)
    assert value_of(found.config, "inference.threads") == 2
    assert found.record is not None
    booted = journal.boot(found.record, BASE, NOW)
    assert (booted.record.deaths, booted.degraded) == ((), False)
    # What it has run with is not given up: then it is not the settings.
    lived = dying.model_copy(update={"proven": dying.overrides})
    assert value_of(overrides.begin(lived, FILE, NOW).config, "inference.threads") == 1024


def test_what_waits_for_a_start_is_not_yet_proven() -> None:
    """A while without the new value says nothing of it; of the value before, what it said before."""
    before = record(settings={"inference.threads": 8, "tracking.keep_s": 9.0}, proven={"inference.threads": 2})
    waiting = before.model_copy(update={"pending": ("inference.threads",)})
    proven = journal.settled(waiting).proven
    assert {key: made.value for key, made in proven.items()} == {"inference.threads": 2, "tracking.keep_s": 9.0}
    assert journal.settled(before).proven == before.overrides


def test_the_record_keeps_them() -> None:
    """It is read again as it was written; one without settings is what a version before them reads."""
    kept = record(
        settings={"camera.fps_max": None, "log.level": "error", "tracking.enabled": False, "camera.width": 64}
    )
    assert Record.model_validate_json(kept.model_dump_json(by_alias=True), strict=True) == kept
    plain = record(settings={}).model_dump_json(by_alias=True)
    assert not [name for name in ("overrides", "proven", "pending") if name in plain]


def test_what_nobody_has_said_stays_unsaid() -> None:
    """A value beside others in its table makes nobody's choice of those: what is left open may still be measured."""
    file = Config.model_validate({"inference": {"device": "CPU"}, "camera": {"roi": {"x": 0.5, "width": 0.5}}})
    changed = with_values(file, {"inference.threads": 1, "camera.roi.width": 0.25, "camera.roi.height": 0.5})
    assert changed.inference.model_fields_set == {"device", "threads"}
    assert changed.camera.roi.model_dump() == {"x": 0.5, "y": 0.0, "width": 0.25, "height": 0.5}
    assert with_values(Config(), {"camera.roi.width": 0.5}).camera.roi.width == 0.5


def test_with_values_refuses_what_is_not_on_the_list() -> None:
    """Also where somebody inside asks."""
    with pytest.raises(ConfigError, match=r"mqtt\.host"):
        with_values(FILE, {"mqtt.host": "thief"})
