"""The box in the real Home Assistant: what it shows is the box's, what is chosen there the box does."""

import json
from pathlib import Path
from typing import Any

from agent.wire.messages import State
from agent.wire.topics import Topics
from tests.broker import Broker
from tests.commander import Commander
from tests.homeassistant.page import hold, table
from tests.homeassistant.rig import Core
from tests.system.process import agent

TOPICS = Topics("demo")
ON = {"EDGEPOSE_HOMEASSISTANT__ENABLED": "true", "EDGEPOSE_METRICS__WINDOW_S": "1"}
ZONE = {"polygon": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]}


def positive(state: Any) -> bool:
    try:
        return float(state) > 0
    except (TypeError, ValueError):
        return False


def runs(state: State) -> tuple[str, tuple[str, ...]]:
    """What was asked for, and what does it."""
    return state.requested.device, state.effective.execution_devices if state.effective else ()


def is_state(seen: Any, wanted: Any) -> bool:
    return seen.topic == TOPICS.state and bool(wanted(State.decode(bytes(seen.payload))))


def test_the_box_is_seen_and_switched(broker: Broker, tmp_path: Path) -> None:
    """Every entity has the box's figures; a select there switches the box; it goes unavailable with it, and for good.

    Home Assistant started first, so the discovery comes live; the next start of it finds everything retained.
    """
    (tmp_path / "hass").mkdir()
    variables = ON | {"XDG_STATE_HOME": str(tmp_path / "state")}
    with Core(broker.port, tmp_path / "hass") as core, Commander(broker.port, TOPICS) as commander:
        with agent(broker.port, **variables) as box:
            assert positive(core.wait_state("sensor.demo_fps", positive)["state"])
            core.wait_state("sensor.demo_people", positive)
            core.wait_state("binary_sensor.demo_camera", "on".__eq__)
            core.wait_state("binary_sensor.demo_problem", "off".__eq__)
            core.wait_state("update.demo_version", "off".__eq__)

            commander.ask("set-zones", zones={"hall": ZONE})
            core.wait_state("sensor.demo_people_in_hall", positive)

            devices = core.wait_state("select.demo_device", "SIMCPU".__ne__)["attributes"]["options"]
            assert {"CPU", "SIMCPU", "AUTO"} <= set(devices)
            core.call("select", "select_option", entity_id="select.demo_device", option="SIMCPU")
            core.wait_state("select.demo_device", "SIMCPU".__eq__)
            commander.wait(lambda seen: is_state(seen, lambda state: runs(state) == ("SIMCPU", ("SIMCPU",))))
            core.wait(lambda: core.states["event.demo_event"]["attributes"].get("event_type") == "switch.done")

            core.call("switch", "turn_on", entity_id="switch.demo_pause")
            core.wait_state("switch.demo_pause", "on".__eq__)
            commander.wait(lambda seen: is_state(seen, lambda state: state.status == "paused"))
            core.call("switch", "turn_off", entity_id="switch.demo_pause")
            core.wait_state("switch.demo_pause", "off".__eq__)

            core.call("button", "press", entity_id="button.demo_benchmark")
            commander.wait(lambda seen: seen.topic.startswith(TOPICS.job("")) and b'"benchmark"' in seen.payload)

            hold(table(core.ask("registry"), core.states))
            (device,) = [device for device in core.ask("devices") if device["name"] == "demo"]
            assert device["ids"] == [["mqtt", "edgepose_demo"]]
            box.popen.terminate()
            assert box.end() == 0
        core.wait_state("sensor.demo_fps", "unavailable".__eq__)
        core.wait_state("select.demo_device", "unavailable".__eq__)

        off = variables | {"EDGEPOSE_HOMEASSISTANT__ENABLED": "false"}
        with agent(broker.port, **off):
            core.wait(lambda: all(said["state"] is None for name, said in core.states.items() if "demo_" in name))


def test_a_restarted_home_assistant_has_it_all_again(broker: Broker, tmp_path: Path) -> None:
    """Retained configuration and availability are there at once; its `online` makes the box say them once more."""
    (tmp_path / "hass").mkdir()
    config = "homeassistant/sensor/demo/fps/config"
    with Commander(broker.port, TOPICS) as commander, agent(broker.port, **ON):
        commander.wait(lambda seen: seen.topic == TOPICS.metrics, timeout_s=60)
        with Core(broker.port, tmp_path / "hass") as core:
            core.wait_state("sensor.demo_fps", positive)
        commander.client.subscribe([(config, 1)])
        told = json.loads(bytes(commander.wait(lambda seen: seen.topic == config).payload))
        assert told["unique_id"] == "edgepose_demo_fps"
        commander.client.publish("homeassistant/status", b"online", 1)
        commander.wait(lambda _: len(commander.payloads(config)) > 1)
