"""`controller set`, `get`, `unset`, `diff`: what goes out, and what is shown of the answer."""

from typing import Any

import pytest

from controller.commands.settings import pair
from controller.errors import UsageError
from tests.broker import Broker
from tests.controller.conftest import run_inside
from tests.controller.responder import Responder, reply


def setting(value: Any, configured: Any, *, changed: bool) -> Any:
    return {"value": value, "configured": configured, "changed": changed, "live": False, "pending": changed}


RESULT: Any = {
    "settings": {
        "camera.fps_max": setting(15.0, None, changed=True),
        "camera.rotate": setting(0, 0, changed=False),
    },
    "restart": "due",
    "supervised": False,
    "dry_run": False,
}


@pytest.mark.parametrize(
    ("words", "name", "args"),
    [
        (
            ("set", "gym-1", "camera.fps_max=15", "camera.format=MJPG", "tracking.enabled=false"),
            "set",
            {
                "settings": {"camera.fps_max": 15, "camera.format": "MJPG", "tracking.enabled": False},
                "dry_run": False,
                "restart": True,
            },
        ),
        (
            ("set", "gym-1", 'log.level="debug"', "--dry-run", "--no-restart"),
            "set",
            {"settings": {"log.level": "debug"}, "dry_run": True, "restart": False},
        ),
        (("unset", "gym-1", "--all"), "unset", {"keys": None, "dry_run": False, "restart": True}),
        (("unset", "gym-1", "camera.fps"), "unset", {"keys": ["camera.fps"], "dry_run": False, "restart": True}),
        (("get", "gym-1", "camera.fps"), "get", {"keys": ["camera.fps"]}),
        (("diff", "gym-1"), "get", {}),
        (("restart", "gym-1"), "restart", {}),
    ],
)
def test_what_is_asked_goes_out(broker: Broker, words: tuple[str, ...], name: str, args: dict[str, Any]) -> None:
    """Values are of the type they have in a file; the box's answer ends it with 0."""
    with Responder(broker.port, "gym-1", lambda asked: [reply("gym-1", asked, result=RESULT)]) as box:
        code, errors = run_inside(*words, "--broker", f"127.0.0.1:{broker.port}")
        asked = box.request()
    assert (code, asked.name, asked.body["args"]) == (0, name, args), errors


@pytest.mark.parametrize(("words", "other"), [(("get",), True), (("diff",), False)])
def test_what_is_shown(
    broker: Broker, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], *, other: bool
) -> None:
    """Each key with what counts and what the file says; `diff` has those alone that differ."""
    with Responder(broker.port, "gym-1", lambda asked: [reply("gym-1", asked, result=RESULT)]):
        code, _errors = run_inside(*words, "gym-1", "--broker", f"127.0.0.1:{broker.port}")
    shown = capsys.readouterr().out
    assert code == 0
    assert "camera.fps_max" in shown
    assert ("camera.rotate" in shown) is other


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("set", "gym-1", "fps=1"), "'fps' is no key of the configuration"),
        (("get", "gym-1", "Camera.fps"), "'Camera.fps' is no key of the configuration"),
        (("unset", "gym-1", "camera"), "'camera' is no key of the configuration"),
        (("set", "gym-1", "log.level=../debug"), "log.level: a setting is a number, true, false or a word"),
        (("rollout", "gym-1", "set", "fps=1"), "'fps' is no key of the configuration"),
        (("rollout", "gym-1"), "what is to change is missing"),
        (("rollout", "--resume", "/nowhere"), "File '/nowhere' does not exist."),
    ],
)
def test_slips_are_told_in_words(words: tuple[str, ...], told: str) -> None:
    """No pattern, and no advice about something else; before a broker is looked for."""
    code, errors = run_inside(*words, "--broker", "127.0.0.1:1")
    assert (code, told in errors) == (2, True), errors
    assert "pattern" not in errors
    assert "--group" not in errors


@pytest.mark.parametrize("word", ["camera.fps_max", "=15", "camera.roi=[1, 2]", "camera.roi={x = 1}", "x.y=2026-01-31"])
def test_what_is_no_setting_is_wrong_usage(word: str) -> None:
    """A list, a table, a date and what has no value are told before anything is sent."""
    with pytest.raises(UsageError):
        pair(word)


def test_a_text_needs_no_quotes() -> None:
    """Nor does one that TOML would take for something broken."""
    assert [pair(f"a.b={text}")[1] for text in ("MJPG", "1", "1.5", "true", "", '"x"', "1-2")] == [
        "MJPG", 1, 1.5, True, "", "x", "1-2",
    ]  # fmt: skip
