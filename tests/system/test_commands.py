"""The other commands of the agent."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.wire.commands import ARGS
from tests import samples
from tests.broker import Broker, free_port
from tests.system.process import BIN, DEMO, finished, told


def test_the_doctor_on_a_good_box(broker: Broker) -> None:
    """Where all is there, no check fails, the exit code is 0 and standard output is JSON alone."""
    done = told("doctor", "--config", DEMO, "--json", EDGEPOSE_MQTT__PORT=str(broker.port))
    checks = json.loads("\n".join(done.out))
    assert {check["name"] for check in checks} >= {"camera", "devices", "broker", "model", "disk", "clock"}
    assert not [check for check in checks if check["level"] == "fail"]
    assert done.popen.returncode == 0
    assert done.errors == []


def test_the_doctor_on_a_bad_box(tmp_path: Path) -> None:
    """Where broker, network, camera and device are missing, each is a failed check with a cure; still JSON alone."""
    variables = {
        "EDGEPOSE_MQTT__PORT": str(free_port()),
        "EDGEPOSE_PATHS__MODELS": str(tmp_path),
        "EDGEPOSE_CAMERA__SOURCE": "/dev/video99",
        "EDGEPOSE_CAMERA__LOOP": "false",
        "EDGEPOSE_INFERENCE__DEVICE": "GPU.7",
    }
    done = told("doctor", "--config", DEMO, "--json", **variables)
    checks = {check["name"]: check for check in json.loads("\n".join(done.out))}
    failed = {name for name, check in checks.items() if check["level"] == "fail"}
    assert failed == {"camera", "gpu", "devices", "broker", "model"}
    assert all(checks[name]["cure"] for name in failed)
    assert done.popen.returncode == 1


def references(node: Any) -> Iterator[str]:
    match node:
        case dict():
            if isinstance(reference := node.get("$ref"), str):
                yield reference
            for inner in node.values():
                yield from references(inner)
        case list():
            for inner in node:
                yield from references(inner)


def test_the_schemas_describe_the_messages() -> None:
    """`agent schema` prints a JSON Schema per message: complete in itself, with exactly the fields that are sent."""
    done = told("schema")
    schemas = json.loads("\n".join(done.out))
    sent = {
        "event": samples.event(),
        "info": samples.info(),
        "keypoints": samples.keypoints(),
        "metrics": samples.metrics(),
        "state": samples.state(),
    }
    assert schemas.keys() == sent.keys() | {"job", "reply", "zone"} | {f"command/{name}" for name in ARGS}
    assert not any("additionalProperties" in schemas[name] for name in (*sent, "job", "reply", "zone"))
    for name, sample in sent.items():
        schema = schemas[name]
        assert schema["type"] == "object"
        assert schema["properties"].keys() == json.loads(sample.encode()).keys()
        assert set(schema["required"]) <= schema["properties"].keys()
        assert schema["properties"]["schema"]["const"] == f"edgepose.{name}/1"
        known = {f"#/$defs/{part}" for part in schema.get("$defs", {})}
        assert set(references(schema)) <= known


def test_help_names_every_command() -> None:
    """`agent --help` answers with the commands and the exit codes, as `python -m agent` and as `agent`."""
    shown = "\n".join(told("--help").out)
    for command in ("run", "demo", "doctor", "check-config", "schema", "Exit codes"):
        assert command in shown
    assert finished(BIN / "agent", "--version").out[0].startswith("edgepose ")
    assert told("nonsense").popen.returncode == 2


def test_check_config_says_good_or_what_is_wrong(tmp_path: Path) -> None:
    """A good file is named as such with exit code 0; a bad one with its faults and exit code 1."""
    assert told("check-config", DEMO).out == [f"{DEMO}: good"]
    bad = tmp_path / "bad.toml"
    bad.write_text("[inference]\ndevise = 'CPU'\n")
    done = told("check-config", bad)
    assert done.popen.returncode == 1
    assert "inference.device" in done.plain_errors


def test_check_config_names_what_no_box_can_run(tmp_path: Path) -> None:
    """A device, network or clip nobody knows, and a size the network cannot take, are told at once, each by its key."""
    bad = tmp_path / "bad.toml"
    bad.write_text("inference.device = 'GPUU'\ncamera.source = 'clip:vtets'\nmodel.name = 'movenet'\n")
    done = told("check-config", bad)
    assert done.popen.returncode == 1
    assert all(key in done.plain_errors for key in ("inference.device: GPUU", "camera.source: ", "model: "))
    bad.write_text("model.input.long_side = 500\n")
    done = told("check-config", bad)
    assert done.popen.returncode == 1
    assert "long_side 500 is not a multiple of 32" in done.plain_errors
    bad.write_text(
        "inference.device = 'HETERO:igpu,NPU'\ndevices.aliases.igpu = 'GPU.0'\nmodel.input.long_side = 512\n"
    )
    assert told("check-config", bad).popen.returncode == 0
