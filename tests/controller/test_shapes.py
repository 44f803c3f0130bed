"""One shape of JSON, one exit code a meaning, and options by a name."""

import json
import subprocess
from pathlib import Path

import click
import pytest

from agent.config.file import load
from agent.wire.commands import ErrorCode, JobStatus, Reply, ReplyError, ReplyStatus
from agent.wire.part import Part
from controller.cli import cli
from controller.errors import UsageError
from controller.profiles import file_of, profile
from tests.broker import Broker
from tests.controller import shapes
from tests.controller.conftest import COMMAND, controller, environment, put_agent
from tests.controller.responder import Asked, Responder, job, publish_job, put_member, reply
from tests.controller.shapes import FILE, SHAPE


@pytest.mark.parametrize(
    ("words", "schema", "devices"),
    [
        (("list",), "edgepose.devices/1", ["edge-1", "edge-2"]),
        (("status", "edge-1"), "edgepose.status/1", None),
        (("status", "*"), "edgepose.devices/1", ["edge-1", "edge-2"]),
        (("describe", "edge-*"), "edgepose.devices/1", ["edge-1", "edge-2"]),
        (("pause", "edge-2"), "edgepose.reply/1", None),
        (("pause", "edge-*", "--no-wait"), "edgepose.devices/1", ["edge-1", "edge-2"]),
        (("forget", "edge-2", "--yes"), "edgepose.forgotten/1", None),
    ],
)
def test_the_result_is_one_object_with_a_schema(
    fleet: str, words: tuple[str, ...], schema: str, devices: list[str] | None
) -> None:
    """It names its device, or holds those of several in `devices`."""
    found = json.loads(controller(*words, "--json", "--broker", fleet).stdout)
    assert found["schema"] == schema
    if devices is None:
        assert found["device_id"] == words[1]
    else:
        assert [each["device_id"] for each in found["devices"]] == devices


def test_the_published_schema_is_that_of_the_shapes() -> None:
    """docs/controller.schema.json is what the types say; `python -m tests.controller.test_report` writes it anew."""
    assert json.loads(FILE.read_text(encoding="utf-8")) == shapes.schema()


@pytest.mark.parametrize(
    ("words", "shape"),
    [
        (("list",), shapes.Devices),
        (("status", "edge-1"), shapes.Status),
        (("status", "*"), shapes.Devices),
        (("describe", "edge-1"), shapes.Description),
        (("describe", "edge-*"), shapes.Devices),
        (("watch", "edge-1", "--count", "1"), shapes.Availability),
        (("pause", "gym-1"), Reply),
        (("pause", "edge-1", "--no-wait"), shapes.NoReply),
        (("pause", "*", "--timeout", "1"), shapes.Devices),
        (("pause", "gym-3"), shapes.NoReply),
        (("quantize", "gym-1"), shapes.Started),
        (("quantize", "gym-3"), shapes.NotStarted),
        (("forget", "edge-2", "--yes"), shapes.Forgotten),
        (("forget", "edge-[2]", "--yes"), shapes.Devices),
        (("status", "nobody"), shapes.Error),
        (("nonsense",), shapes.Error),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value.__name__,
)
def test_what_is_printed_keeps_to_the_schema(fleet: str, words: tuple[str, ...], shape: type[Part]) -> None:
    """Each command's output is of the shape that the page names, no key more and none less."""
    port = int(fleet.rpartition(":")[2])
    put_member(port, "gym-3", availability=b"offline")

    def answers(asked: Asked) -> list[Reply]:
        if asked.name != "quantize":
            return [reply("gym-1", asked)]
        publish_job(port, job(status=JobStatus.SUCCEEDED, progress=1.0))
        return [reply("gym-1", asked, ReplyStatus.ACCEPTED, result={"job": "quantize-1"})]

    with Responder(port, "gym-1", answers):
        done = controller("--broker", fleet, "--json", *words)
    printed = done.stdout if shape is not shapes.Error else done.stderr.splitlines()[-1]
    found = shape.model_validate_json(printed, strict=True)
    assert SHAPE.validate_json(printed, strict=True) == found
    assert done.returncode == 0 or shape in {shapes.Error, shapes.NoReply, shapes.NotStarted, shapes.Devices}


def test_a_recording_keeps_to_the_schema(fleet: str, tmp_path: Path) -> None:
    """What `record` prints of a box that says nothing."""
    out = str(tmp_path / "none.jsonl")
    done = controller("record", "edge-1", "--out", out, "--seconds", "0.1", "--json", "--broker", fleet)
    assert shapes.Recorded.model_validate_json(done.stdout, strict=True).frames == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("status", "gone"), 3, "no device 'gone'"),
        (("list", "--broker", "127.0.0.1:1"), 5, "nothing listens there"),
        (("status", "UPPER"), 2, "neither a device id"),
        (("pause", "edge-1", "--nonsense"), 2, "--nonsense"),
        (("nonsense",), 2, "nonsense"),
    ],
)
def test_an_error_is_json_where_it_was_asked_for(fleet: str, words: tuple[str, ...], code: int, message: str) -> None:
    """It stands on standard error, alone, with the exit code; without --json it is text."""
    done = controller("--broker", fleet, "--json", *words)
    error = json.loads(done.stderr)
    assert (done.returncode, done.stdout, error["schema"]) == (code, "", "edgepose.error/1")
    assert error["error"]["exit_code"] == code
    assert message in error["error"]["message"]
    text = controller("--broker", fleet, *words)
    assert (text.returncode, "Error: " in text.stderr) == (code, True)


def test_an_unknown_job_and_an_unknown_command_are_alike(broker: Broker) -> None:
    """`job` and `cancel` of an id that nobody knows end with 3."""

    def unknown(asked: Asked) -> list[object]:
        error = ReplyError(code=ErrorCode.NOT_FOUND, message="no job or command 'x'", hint="`jobs` lists the jobs")
        return [reply("gym-1", asked, ReplyStatus.FAILED, error=error)]

    with Responder(broker.port, "gym-1", unknown):  # type: ignore[arg-type]
        at = ("--broker", f"127.0.0.1:{broker.port}", "--timeout", "2")
        assert controller("cancel", "gym-1", "x", *at).returncode == 3
        assert controller("job", "gym-1", "x", *at).returncode == 3


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    """The folder of the settings, with a file of profiles; returns the file."""
    file = file_of({"XDG_CONFIG_HOME": str(tmp_path)})
    file.parent.mkdir()
    return file


def test_a_profile_names_the_broker(fleet: str, profiles: Path) -> None:
    """`default` counts without being asked for; variables, and options at either place, win over a profile."""
    home = str(profiles.parents[1])
    profiles.write_text(f'[default]\nbroker = "{fleet}"\n[other]\nbroker = "127.0.0.1:1"\ntimeout = 2\n')
    assert controller("list", XDG_CONFIG_HOME=home).returncode == 0
    assert controller("--profile", "other", "list", XDG_CONFIG_HOME=home).returncode == 5
    assert controller("list", XDG_CONFIG_HOME=home, EDGEPOSE_PROFILE="other").returncode == 5
    assert controller("list", XDG_CONFIG_HOME=home, EDGEPOSE_PROFILE="other", EDGEPOSE_BROKER=fleet).returncode == 0
    assert controller("--profile", "other", "list", "--broker", fleet, XDG_CONFIG_HOME=home).returncode == 0
    unknown = controller("--profile", "none", "list", XDG_CONFIG_HOME=home)
    assert (unknown.returncode, "it has: default, other" in unknown.stderr) == (2, True)


def test_every_option_is_a_variable(fleet: str) -> None:
    """Each that says which broker, and how: a prefix nobody uses finds nobody, a short patience is kept to."""
    done = controller("list", EDGEPOSE_BROKER=fleet, EDGEPOSE_BROKER_PREFIX="nobody", EDGEPOSE_BROKER_TIMEOUT="2")
    assert (done.returncode, "'nobody'" in done.stderr) == (0, True)
    missing = controller("list", EDGEPOSE_BROKER=fleet, EDGEPOSE_BROKER_PASSWORD_FILE="/none")
    assert (missing.returncode, "--password-file" in missing.stderr) == (2, True)


def test_every_option_of_a_command_has_a_variable() -> None:
    """By command and option, whatever the source calls it; whom a command is for stands on its line alone."""
    group = click.Context(cli, info_name="controller", **cli.context_settings)
    for name in cli.list_commands(group):
        command = cli.get_command(group, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=group)
        for option in command.get_params(context):
            long = max(option.opts, key=len)
            if not long.startswith("--") or {"--group", "--help", *OF_THE_GROUP} & set(option.opts):
                continue
            variable = f"EDGEPOSE_CONTROLLER_{name}_{long[2:]}".upper().replace("-", "_")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv(variable, "7")
                assert option.resolve_envvar_value(context) == "7", variable


OF_THE_GROUP = {option for each in cli.params for option in each.opts}
"""They have variables of their own, which :func:`test_every_option_is_a_variable` tries."""


def test_a_variable_stands_for_an_option(fleet: str) -> None:
    """Of a command, and of --json; the option on the line wins, and the agent lets them alone."""
    variables = {"EDGEPOSE_BROKER": fleet, "EDGEPOSE_CONTROLLER_WATCH_COUNT": "2", "EDGEPOSE_CONTROLLER_JSON": "1"}
    done = controller("watch", "edge-1", **variables)
    assert (done.returncode, len([json.loads(line) for line in done.stdout.splitlines()])) == (0, 2)
    assert len(controller("watch", "edge-1", "--count", "1", **variables).stdout.splitlines()) == 1
    lost = controller("status", "nobody", **variables)
    assert json.loads(lost.stderr)["error"]["exit_code"] == lost.returncode == 3
    load(None, environ=variables)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[a]\nbroker = 3", "expected a text"),
        ("[a]\ntimeout = 0", "number of seconds"),
        ('[a]\npassword = "secret"', "no option of a profile"),
        ('[a]\ncafile = "none.pem"', "there is no file"),
        ("[b]", "no profile 'a'"),
        ("[a", "cannot be read"),
        ("a = 1", "no profile 'a'"),
    ],
)
def test_a_profile_that_is_not_in_order(profiles: Path, text: str, told: str) -> None:
    """The file, the profile and the key are told, and never a value."""
    profiles.write_text(text)
    with pytest.raises(UsageError, match=told) as caught:
        profile("a", {"XDG_CONFIG_HOME": str(profiles.parents[1])})
    assert str(profiles) in str(caught.value)
    assert "secret" not in f"{caught.value} {caught.value.hint}"


def test_files_of_a_profile_are_beside_it(profiles: Path) -> None:
    """A relative path begins at the file's folder."""
    (profiles.parent / "ca.pem").touch()
    profiles.write_text('[default]\ncafile = "ca.pem"\ntimeout = 3')
    found = profile(None, {"XDG_CONFIG_HOME": str(profiles.parents[1])})
    assert found == {"cafile": profiles.parent / "ca.pem", "timeout": 3.0}
    assert profile(None, {"XDG_CONFIG_HOME": "/none"}) == {}


def test_groups_are_looked_at_too(broker: Broker) -> None:
    """`status --group` shows the members, each with its page."""
    with Responder(broker.port, "gym-1", lambda _: [], groups=("halls",)):
        put_agent(broker.port, "gym-2")
        done = controller("status", "--group", "halls", "--broker", f"127.0.0.1:{broker.port}")
    assert (done.returncode, "gym-1" in done.stdout, "gym-2" in done.stdout) == (0, True, False)


def test_a_terminal_without_utf_8_shows_what_it_can(fleet: str) -> None:
    """What it has no letter for is a question mark, and no traceback."""
    ascii_only = environment(LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    command = [str(COMMAND), "status", "edge-1", "--broker", fleet]  # of its own: what is born has its encoding already
    done = subprocess.run(command, env=ascii_only, capture_output=True, text=True, encoding="ascii", check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "edge-1" in done.stdout
    utf8 = controller("status", "edge-1", "--broker", fleet)
    assert not utf8.stdout.isascii()
    assert "?" in done.stdout
