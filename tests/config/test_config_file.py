"""The configuration: who wins, what a fault says, and that the shipped files keep their word."""

import contextlib
import re
import tomllib
import traceback
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from agent.commands.check_config import check_config
from agent.config.faults import all_keys
from agent.config.file import load
from agent.config.tree import Config, host_id
from agent.control.settings import Settings
from agent.doctor.broker import own_id
from agent.doctor.finding import Check, Level
from agent.errors import ConfigError
from agent.wire.broker import BrokerError, read_password
from agent.wire.topics import DEVICE_ID

OPTION = re.compile(r"^# (?=[a-z_]+ = )", re.MULTILINE)


def write(folder: Path, text: str) -> Path:
    path = folder / "box.toml"
    path.write_text(text, encoding="utf-8")
    return path


def faults(
    path: Path | None, environ: dict[str, str] | None = None, overrides: dict[str, object] | None = None
) -> list[str]:
    """Lines of the error that loading must raise."""
    with pytest.raises(ConfigError) as caught:
        load(path, environ=environ or {}, overrides=overrides)
    return str(caught.value).splitlines()


def test_nothing_given_is_the_defaults() -> None:
    """Without a file and variables the configuration is the defaults, under the host's name."""
    assert load(None, environ={}) == Config()
    assert Config().device_id == host_id()


def test_environment_wins_over_file_and_command_line_over_both(tmp_path: Path) -> None:
    """A key takes the value of the strongest layer that gives it, and neighbours keep theirs."""
    path = write(tmp_path, '[mqtt]\nhost = "file"\nport = 1\nprefix = "file"\n')
    environ = {"EDGEPOSE_MQTT__HOST": "environment", "EDGEPOSE_MQTT__PORT": "2"}
    mqtt = load(path, environ=environ, overrides={"mqtt.host": "argument"}).mqtt
    assert (mqtt.host, mqtt.port, mqtt.prefix) == ("argument", 2, "file")


def test_a_secret_lies_where_systemd_put_it(tmp_path: Path) -> None:
    """$CREDENTIALS_DIRECTORY at the start of a path of the file is the folder of the service's secrets."""
    secret = tmp_path / "run" / "edgepose_password"
    secret.parent.mkdir()
    secret.touch()
    path = write(tmp_path, '[mqtt]\nusername = "box"\npassword_file = "$CREDENTIALS_DIRECTORY/edgepose_password"\n')
    assert load(path, environ={"CREDENTIALS_DIRECTORY": str(secret.parent)}).mqtt.password_file == secret
    assert [told.split(": ")[1] for told in faults(path)] == ["mqtt.password_file"]


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("EDGEPOSE_DEVICE_ID", "line-4", "device_id", "line-4"),
        ("EDGEPOSE_GROUPS", '["a", "b"]', "groups", ("a", "b")),
        ("EDGEPOSE_MQTT__TLS__ENABLED", "true", "mqtt.tls.enabled", True),
        ("EDGEPOSE_CAMERA__ROI__X", "0", "camera.roi.x", 0.0),
        ("EDGEPOSE_CAMERA__FROZEN_AFTER_S", "0", "camera.frozen_after_s", None),
        ("EDGEPOSE_MQTT__USERNAME", "123", "mqtt.username", "123"),
        ("EDGEPOSE_MQTT__USERNAME", "", "mqtt.username", None),
        ("EDGEPOSE_DEVICES__ALIASES__SIMCPU", "CPU", "devices.aliases", {"SIMCPU": "CPU"}),
        ("EDGEPOSE_DEVICES__ALIASES", '{SIMCPU = "CPU"}', "devices.aliases", {"SIMCPU": "CPU"}),
    ],
)
def test_variable_of_every_type(name: str, text: str, key: str, value: object) -> None:
    """A variable is written as its value in the file, a text without quotes."""
    found: object = load(None, environ={name: text, "EDGEPOSE_BROKER": "x", "PATH": "/bin"})
    for step in key.split("."):
        found = getattr(found, step)
    assert found == value


def test_every_fault_is_one_line_with_origin_key_given_and_expected(tmp_path: Path) -> None:
    """All faults of file, environment and command line come at once, each on a line of its own."""
    path = write(tmp_path, 'port = 1\n[camera]\npace = "natve"\nfps_max = -1\npaec = 1\n[mqtt]\nport = "1883"\n')
    environ = {"EDGEPOSE_MQTTT__PORT": "1", "EDGEPOSE_CAMERA__LOOP": "maybe", "EDGEPOSE_MQTT": "x"}
    assert set(faults(path, environ, {"log.level": "loud"})) == {
        f"{path}: port: unknown key here; did you mean mqtt.port?",
        f'{path}: camera.pace: got "natve", expected one of "native", "fast"',
        f"{path}: camera.fps_max: got -1, expected a number, above 0 and at most 1000 (or 0: unset)",
        f"{path}: camera.paec: unknown key; did you mean camera.pace?",
        f'{path}: mqtt.port: got "1883", expected a whole number, at least 1 and at most 65535',
        "EDGEPOSE_MQTT: unknown variable; did you mean EDGEPOSE_MQTT__HOST?",
        "EDGEPOSE_MQTTT__PORT: unknown variable; did you mean EDGEPOSE_MQTT__PORT?",
        'EDGEPOSE_CAMERA__LOOP: camera.loop: got "maybe", expected true or false',
        'command line: log.level: got "loud", expected one of "debug", "info", "warning", "error"',
    }


def test_unknown_variable_of_ours_is_a_fault() -> None:
    """A variable with our prefix that names no key is never passed over in silence."""
    assert faults(None, {"EDGEPOSE_WHATEVER_ELSE": "1"}) == [
        "EDGEPOSE_WHATEVER_ELSE: unknown variable; two underscores step into a table, as in EDGEPOSE_MQTT__PORT"
    ]


def test_value_where_a_table_belongs(tmp_path: Path) -> None:
    """A value in a table's place is named as such, also when a variable steps into that table."""
    (line,) = faults(write(tmp_path, "mqtt = 3\n"), {"EDGEPOSE_MQTT__PORT": "1"})
    assert "mqtt: got 3, expected a table with host, port," in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[camera]\nsource = "rtsp://camera.lan/1"\nloop = true\n', "camera: loop is for a video file"),
        ('[camera]\nsource = "/dev/video3"\nlossless = true\n', "camera: lossless is for a video file"),
        ('[output]\nvideo_file = "missing/out.mp4"\n', "the folder {folder}/missing does not exist"),
        ('[output]\nvideo_file = "."\n', "it is a folder"),
        ('[mqtt.tls]\nca_file = "ca.pem"\n', 'mqtt.tls.ca_file: got "{folder}/ca.pem", no such file'),
        ("[model.input]\nheight = 64\n", "model.input: height and width go together"),
        ("[model.input]\nheight = 64\nwidth = 64\nlong_side = 64\n", "long_side excludes height and width"),
        ("[camera.roi]\nx = 0.6\nwidth = 0.6\n", "camera.roi: the region reaches beyond the frame"),
        ('[mqtt]\npassword = "x"\n', "mqtt: a password needs a username"),
    ],
)
def test_keys_that_cannot_go_together(tmp_path: Path, text: str, words: str) -> None:
    """What each key allows but not both together, or not on this box, is refused with the reason."""
    (line,) = faults(write(tmp_path, text))
    assert words.format(folder=tmp_path) in line


def test_a_long_path_is_shown_whole(tmp_path: Path) -> None:
    """What is wrong with a path is mostly at its end."""
    folder = tmp_path / ("deep" * 20)
    folder.mkdir()
    (line,) = faults(write(folder, '[mqtt.tls]\nca_file = "ca.pem"\n'))
    assert f'got "{folder}/ca.pem", no such file' in line


def test_variable_that_is_not_utf8_is_named_without_its_value() -> None:
    """Bytes that are no text are a fault of the variable or option that holds them."""
    lines = faults(None, {"EDGEPOSE_MQTT__PASSWORD": "geh\udce4im"}, {"camera.source": "\udcff"})
    assert lines == [
        "EDGEPOSE_MQTT__PASSWORD: mqtt.password: is not UTF-8",
        "command line: camera.source: is not UTF-8",
    ]


@pytest.mark.parametrize("number", ["nan", "inf", "1e999", "-0.0"])
def test_numbers_that_are_none(tmp_path: Path, number: str) -> None:
    """Infinity, nothing and not-a-number are no frame rate."""
    (line,) = faults(write(tmp_path, f"[camera]\nfolder_fps = {number}\n"))
    assert "expected a number, above 0 and at most 1000" in line


def test_fault_between_two_layers_names_both() -> None:
    """Where two keys contradict each other, everybody who gave one of them is named."""
    (line,) = faults(None, {"EDGEPOSE_CAMERA__SOURCE": "rtsp://camera.lan"}, {"camera.loop": True})
    assert line.startswith("EDGEPOSE_CAMERA__SOURCE, command line: camera: ")


@pytest.mark.parametrize(
    "text",
    [
        '[mqtt]\npassword = ["geheim"]\n',
        "[mqtt]\npassword = 80515\n",
        '[mqtt]\npasword = "geheim"\n',
        '[[mqtt]]\npassword = "geheim"\n',
        'mqtt = "mqtt://user:geheim@broker.lan"\n',
        '[mqtt]\nhost = "mqtt://user:ge/h@geheim@broker.lan"\n',
        '[mqtt]\npassword = "geheim"\n',
        '[camera]\nsource = "rtsp://user:geheim@camera.lan"\nloop = true\n',
        '[mqtt]\npassword = "geheim\n',
        f'[mqtt]\nhost = "mqtt://{"user" * 30}:geheim{"x" * 99}@host"\n',
        '[output]\nvideo_file = "rtsp://user:geheim@camera.lan/1/2"\n',
        '[mqtt.tls]\nca_file = "https://user:geheim@host/ca.pem"\n',
    ],
)
def test_no_fault_shows_a_password(tmp_path: Path, text: str) -> None:
    """Whatever is wrong, and wherever it stands, a password is in no message, no hint and no traceback."""
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text), environ={})
    shown = "".join(traceback.format_exception(caught.value)) + caught.value.hint
    assert "geheim" not in shown
    assert "80515" not in shown


def test_syntax_error_names_line_and_column(tmp_path: Path) -> None:
    """A file that is no TOML says where it stops being TOML."""
    (line,) = faults(write(tmp_path, 'device_id = "a"\n[mqtt\n'))
    assert "box.toml: not valid TOML" in line
    assert "line 2, column 6" in line


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, a folder and a file of bytes each say so in one line."""
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'device_id = "\xe4"')
    assert faults(tmp_path / "none.toml") == [f"{tmp_path}/none.toml: no such file"]
    assert faults(tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]
    assert faults(latin) == [f"{latin}: byte 13 is not UTF-8; a configuration is TOML in UTF-8"]


def test_relative_paths_of_a_file_start_at_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file means the same from every working directory; addresses, clips and variables stay as they are."""
    monkeypatch.chdir("/")
    path = write(tmp_path, '[camera]\nsource = "clips/a.mp4"\n[paths]\nmodels = "m"\ncache = "/c"\n')
    config = load(path, environ={})
    assert config.camera.source == f"{tmp_path}/clips/a.mp4"
    assert (config.paths.models, config.paths.cache) == (tmp_path / "m", Path("/c"))
    assert load(path, environ={"EDGEPOSE_CAMERA__SOURCE": "a.mp4"}).camera.source == "a.mp4"
    for source in ("clip:vtest", "rtsp://camera.lan/1", "/dev/video0", "0"):
        assert load(write(tmp_path, f'[camera]\nsource = "{source}"\n'), environ={}).camera.source == source


@pytest.mark.parametrize(
    ("camera", "hint"),
    [
        ('source = "a.mp4"\npace = "fast"', "throughput"),
        ('source = "a.mp4"\nlossless = true', "latency"),
        ('source = "clip:vtest"\npace = "fast"\nloop = true', "throughput"),
        ('source = "a.mp4"', "latency"),
        ('source = "rtsp://camera/1"\npace = "fast"', "latency"),
    ],
)
def test_a_file_at_full_speed_gets_the_most_frames(tmp_path: Path, camera: str, hint: str) -> None:
    """What has a pace gets the soonest answer; whoever names a hint has it."""
    assert Settings.of(load(write(tmp_path, f"[camera]\n{camera}\n"), environ={})).hint == hint
    for named in ("latency", "throughput"):
        path = write(tmp_path, f'[camera]\n{camera}\n[inference]\nhint = "{named}"\n')
        assert Settings.of(load(path, environ={})).hint == named


def test_agent_toml_uncommented_is_the_defaults(tmp_path: Path) -> None:
    """The reference file shows every option at its true default, and commented it changes nothing but one.

    What a box is installed with has its input size fitted to the camera; code and laboratories keep the network's own.
    """
    text = files("configs").joinpath("agent.toml").read_text(encoding="utf-8")
    fitted = Config().model.model_copy(update={"fit_age_ms": 150.0})
    shipped = Config().model_copy(update={"model": fitted})
    assert Config().model.fit_age_ms is None
    assert load(write(tmp_path, OPTION.sub("", text)), environ={}) == shipped
    assert load(write(tmp_path, text), environ={}) == shipped


def test_agent_toml_lists_every_key_with_an_explanation() -> None:
    """No option of the agent is missing from the reference file, and each has a line above it that explains it."""
    text = files("configs").joinpath("agent.toml").read_text(encoding="utf-8")
    shown = tomllib.loads(OPTION.sub("", text))
    for steps in all_keys():
        found = shown
        for step in steps:
            assert step in found, f"{'.'.join(steps)} is missing from configs/agent.toml"
            found = found[step]
    lines = text.splitlines()
    for above, line in pairwise(lines):
        if OPTION.match(line):
            assert above.startswith("# "), line
            assert not OPTION.match(above), f"no explanation above: {line}"


def test_demo_toml_is_a_looped_clip_on_the_cpu_of_this_machine() -> None:
    """The demo's configuration loads as shipped and needs no camera, GPU or far broker."""
    with_file = load(Path(str(files("configs").joinpath("demo.toml"))), environ={})
    assert (with_file.device_id, with_file.camera.source, with_file.camera.loop) == ("demo", "clip:vtest", True)
    assert (with_file.inference.device, with_file.devices.aliases) == ("CPU", {"SIMCPU": "CPU"})
    assert (with_file.mqtt.host, with_file.mqtt.port) == ("localhost", 1883)


@pytest.mark.parametrize("steps", list(all_keys()), ids=".".join)
def test_every_key_says_what_it_expects(steps: tuple[str, ...]) -> None:
    """No key answers a wrong value with words a person cannot use."""
    # No key takes a list of lists, so this is a wrong value for all of them.
    (line,) = faults(None, overrides={".".join(steps): [[]]})
    key, _, words = line.removeprefix("command line: ").partition(": ")
    assert key.startswith(".".join(steps))
    assert re.fullmatch(r"got (a list|\*\*\*), expected \w.*", words)


@given(st.text())
def test_host_name_always_makes_a_device_id(name: str) -> None:
    """Whatever a box is called, its device id is one the broker's topics accept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("socket.gethostname", lambda: name)
        assert DEVICE_ID.fullmatch(host_id())


@given(st.lists(st.text(max_size=80), min_size=2, max_size=2, unique_by=lambda name: name.split(".")[0].lower()))
def test_boxes_of_different_names_have_different_ids(names: list[str]) -> None:
    """Two host names never give one id, on machines of their own: 体育館 and 健身房 are two."""
    ids = []
    for number, name in enumerate(names):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("socket.gethostname", lambda name=name: name)
            patch.setattr("agent.config.tree.machine_digits", lambda number=number: f"00000{number}")
            ids.append(host_id())
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    ("host", "wanted"),
    [("hall.lan", r"hall"), ("Edge_Box", r"edge-box-\w{6}"), ("体育館", r"box-\w{6}"), ("debian", r"debian-\w{6}")],
)
def test_a_name_that_says_too_little_gets_digits(host: str, wanted: str) -> None:
    """The machine's own digits follow a name that lost something or that many boxes have; they stay the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("socket.gethostname", lambda: host)
        assert re.fullmatch(wanted, host_id())
        assert host_id() == host_id()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mqtt.prefix", "edgepose/"),
        ("mqtt.prefix", "a//b"),
        ("mqtt.prefix", "a\x01b"),
        ("mqtt.prefix", "x" * 66_000),
        ("mqtt.username", "a\x00b"),
        ("mqtt.username", "x" * 66_000),
        ("mqtt.password", "geheim" * 11_000),
        ("mqtt.host", "h:1883"),
        ("mqtt.host", "::g"),
    ],
)
def test_what_mqtt_has_no_room_for_is_refused(key: str, value: str) -> None:
    """A string that the broker would drop us for is a fault of the configuration, on one line."""
    given_too = {"mqtt.username": "me"} if key == "mqtt.password" else {}
    (line,) = faults(None, overrides={**given_too, key: value})
    assert line.startswith(f"command line: {key}: got ")
    assert "geheim" not in line


def test_a_password_file_of_another_editor(tmp_path: Path) -> None:
    """A mark at the file's beginning is no part of the password; what cannot be sent is told without repeating it."""
    file = tmp_path / "password"
    file.write_bytes(b"\xef\xbb\xbfgeheim\r\n")
    assert read_password(file) == "geheim"
    for content in (b"\xff\xfeg\0e\0h\0e\0i\0m\0", b"geheim" * 11_000):
        file.write_bytes(content)
        with pytest.raises(BrokerError) as refused:
            read_password(file)
        assert refused.value.cure
        assert "geheim" not in str(refused.value)


@given(st.dictionaries(st.text(max_size=12), st.recursive(st.integers() | st.text(), st.lists, max_leaves=4)))
def test_any_overrides_give_a_configuration_or_a_config_error(values: dict[str, object]) -> None:
    """Loading ends in a Config or in a ConfigError, never in anything else."""
    with contextlib.suppress(ConfigError):
        assert isinstance(load(None, environ={}, overrides=values), Config)


def test_an_id_that_nobody_chose_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the host name gives none of its own, check-config and doctor say so; a name of its own is well."""
    path = write(tmp_path, "")
    monkeypatch.setattr("socket.gethostname", lambda: "体育館")
    warned = CliRunner().invoke(check_config, [str(path)])
    assert warned.exit_code == 0
    assert "device_id is not set" in warned.stderr
    well = Check("device id", Level.OK, "fine")
    assert own_id(well, load(path, environ={}).device_id).level is Level.WARN
    assert own_id(well, "hall") == well
    monkeypatch.setattr("socket.gethostname", lambda: "hall.lan")
    assert CliRunner().invoke(check_config, [str(path)]).stderr == ""


def test_a_mark_at_the_beginning_is_no_fault(tmp_path: Path) -> None:
    """An editor of Windows leaves one."""
    file = tmp_path / "a.toml"
    file.write_bytes(b'\xef\xbb\xbfdevice_id = "gym-01"\n')
    assert load(file, environ={}).device_id == "gym-01"


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("password = geheim", 'a text stands in quotes: password = "..."'),
        ("source = /dev/video0", 'a text stands in quotes: source = "..."'),
        ("threads = -", ""),
        ("[mqtt", ""),
    ],
)
def test_a_text_without_quotes_is_told(tmp_path: Path, line: str, hint: str) -> None:
    """With its line and the cure, and without the text, which may be a password."""
    file = tmp_path / "a.toml"
    file.write_text(f"# first\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        load(file, environ={})
    assert "line 2" in str(caught.value)
    assert caught.value.hint == hint
    assert "geheim" not in f"{caught.value} {caught.value.hint}"
