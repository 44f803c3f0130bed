"""The box in Home Assistant: one device with its entities, by MQTT discovery; off unless it is turned on.

Every entity is one retained configuration message, which names topics of the wire that are there anyway. What has been
announced is also written down, so that it can be taken back: by a configuration that turns it off, after a crash too.
docs/home-assistant.md has the entities.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import structlog

from agent import __version__
from agent.config.tree import Config
from agent.durable import replace_file
from agent.output.keypoints import Outlet
from agent.wire.commands import ARGS
from agent.wire.messages import EVENT_CODES, OFFLINE, ONLINE, Info, Requested
from agent.wire.topics import Topics
from agent.wire.zones import Zones
from models.shelf.catalogue import PRECISIONS

log = structlog.get_logger()

BORN: Final = b"online"
"""What Home Assistant says on its status topic once it listens."""
SIDES: Final = (256, 384, 512, 640, 832)
"""Long sides that are offered, pixels; the box refuses what its network does not take."""
BENCHMARK: Final = {"runs": 3, "seconds": 20.0}
"""What the button measures: a minute, not the study's hour."""


class Keeping(Protocol):
    """An outlet that can tell what the broker has yet to forget: :class:`agent.link.Link`."""

    def keeps(self, topic: str) -> bool:
        """Whether a retained topic is announced, or its clearing is not acknowledged yet."""


@dataclass(frozen=True, slots=True)
class Entity:
    """One entity: where it stands in the device, and its configuration without what all of them share."""

    component: str
    key: str
    """Unique in the device."""
    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Exposed:
    """What the entities depend on."""

    info: Info | None
    """None until the devices are known."""
    requested: Requested
    zones: Zones
    long_side: int | None = None
    """Of what the network sees, pixels; None until an engine runs."""


def entities(config: Config, exposed: Exposed) -> Iterator[Entity]:
    """Every entity of the box. Commands are left out where only signed ones are obeyed: nobody there can sign."""
    topics = Topics(config.device_id, config.mqtt.prefix)
    yield from _sensors(topics)
    for name, zone in exposed.zones.items():
        if not zone.mask:
            settings = _figure("persons", "people", icon="mdi:account-group") | {"state_topic": topics.zone(name)}
            yield Entity("sensor", f"zone_{name}_people", f"People in {name}", settings)
    yield from _health(topics)
    if config.commands.key_file is None or not config.commands.require_signature:
        yield from _selects(topics, exposed)
        yield from _actions(topics)


def _figure(field: str, unit: str, *, digits: int | None = None, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    found = {
        "value_template": f"{{{{ value_json.{field} }}}}",
        "unit_of_measurement": unit,
        "state_class": "measurement",
        **more,
    }
    return found if digits is None else found | {"suggested_display_precision": digits}


def _sensors(topics: Topics) -> Iterator[Entity]:
    timed: dict[str, Any] = {"device_class": "duration", "digits": 1}
    hardware: dict[str, Any] = {"entity_category": "diagnostic"}
    for key, name, figure in (
        ("fps", "FPS", _figure("fps_mean", "fps", digits=1, icon="mdi:speedometer")),
        ("latency_p50", "Latency p50", _figure("latency_ms_p50", "ms", **timed)),
        ("latency_p95", "Latency p95", _figure("latency_ms_p95", "ms", **timed)),
        ("age_p95", "Age p95", _figure("age_ms_p95", "ms", **timed)),
        ("people", "People", _figure("persons_mean", "people", digits=1, icon="mdi:account-group")),
        ("cpu", "CPU", _figure("cpu_percent", "%", digits=0, icon="mdi:cpu-64-bit", **hardware)),
        ("memory", "Memory", _figure("rss_mb", "MB", digits=0, device_class="data_size", **hardware)),
        (
            "temperature",
            "Temperature",
            _figure("temperature_c", "°C", digits=0, device_class="temperature", **hardware),
        ),
    ):
        yield Entity("sensor", key, name, figure | {"state_topic": topics.metrics})
    runs = {"value_template": "{{ value_json.status }}", "state_topic": topics.state, "icon": "mdi:information-outline"}
    yield Entity("sensor", "status", "Status", runs | hardware)


def _health(topics: Topics) -> Iterator[Entity]:
    camera = "{{ 'ON' if value_json.camera.status == 'live' else 'OFF' }}"
    bad = "value_json.last_error or value_json.status in ['degraded', 'failed', 'camera_lost']"
    yield Entity(
        "binary_sensor",
        "camera",
        "Camera",
        {"state_topic": topics.state, "value_template": camera, "device_class": "connectivity"},
    )
    yield Entity(
        "binary_sensor",
        "problem",
        "Problem",
        {
            "state_topic": topics.state,
            "value_template": f"{{{{ 'ON' if {bad} else 'OFF' }}}}",
            "device_class": "problem",
            "json_attributes_topic": topics.state,
            "json_attributes_template": "{{ {'last_error': value_json.last_error} | tojson }}",
        },
    )
    told = "{'event_type': value_json.code, 'severity': value_json.severity, 'message': value_json.message}"
    yield Entity(
        "event",
        "event",
        "Event",
        {
            "state_topic": topics.event,
            "event_types": list(EVENT_CODES),
            "value_template": f"{{{{ dict({told}, **value_json.facts) | tojson }}}}",
            "icon": "mdi:bell-outline",
        },
    )
    # The box knows of no newer version; the entity tells which one runs.
    version = "{'installed_version': value_json.agent_version, 'latest_version': value_json.agent_version}"
    yield Entity(
        "update",
        "version",
        "Version",
        {
            "state_topic": topics.info,
            "value_template": f"{{{{ {version} | tojson }}}}",
            "entity_category": "diagnostic",
            "title": "edgepose",
        },
    )


def _selects(topics: Topics, exposed: Exposed) -> Iterator[Entity]:
    now = exposed.requested
    devices = [device.name for device in exposed.info.devices] if exposed.info else []
    models = {model.name: model.precisions for model in exposed.info.models} if exposed.info else {}
    precisions = models.get(now.model, PRECISIONS)
    for field, name, command, offered in (
        ("device", "Device", "set-device", _placements(devices)),
        ("precision", "Precision", "set-precision", list(precisions)),
        ("model", "Network", "set-model", list(models)),
        ("hint", "Hint", "set-hint", ["latency", "throughput"]),
    ):
        current = getattr(now, field)
        unlisted = [] if current is None or current in offered else [current]  # else it would show as unknown
        settings = {
            "state_topic": topics.state,
            "value_template": f"{{{{ value_json.requested.{field} }}}}",
            "options": [*offered, *unlisted],
            **_commanding(topics, command),
            "command_template": f'{{"args": {{"{field}": {{{{ value | tojson }}}}}}}}',
            "entity_category": "config",
        }
        yield Entity("select", field, name, settings)
    if exposed.long_side is not None:
        sides = sorted({*SIDES, exposed.long_side})
        seen = "[value_json.input.width, value_json.input.height] | max"
        size = {
            "state_topic": topics.state,
            "value_template": f"{{{{ ({seen}) if value_json.input else None }}}}",
            "options": [str(side) for side in sides],
            **_commanding(topics, "set-input"),
            "command_template": '{"args": {"long_side": {{ value | int }}}}',
            "entity_category": "config",
        }
        yield Entity("select", "size", "Size", size)


def _placements(devices: list[str]) -> list[str]:
    """Every device alone, AUTO, and all of them together with the processor last."""
    together = ",".join(sorted(devices, key=lambda name: name.startswith("CPU")))
    several = [f"MULTI:{together}", f"HETERO:{together}"] if len(devices) > 1 else []
    return [*devices, *(["AUTO"] if devices else []), *several]


def _actions(topics: Topics) -> Iterator[Entity]:
    yield Entity(
        "switch",
        "paused",
        "Pause",
        {
            "state_topic": topics.state,
            "value_template": "{{ 'ON' if value_json.status == 'paused' else 'OFF' }}",
            **_commanding(topics, "set-paused"),
            "payload_on": '{"args": {"paused": true}}',
            "payload_off": '{"args": {"paused": false}}',
            "state_on": "ON",
            "state_off": "OFF",
            "icon": "mdi:pause-circle-outline",
        },
    )
    for command, name, args in (("benchmark", "Benchmark", BENCHMARK), ("quantize", "Quantise", {})):
        settings = {
            **_commanding(topics, command),
            "payload_press": json.dumps({"args": args}),
            "entity_category": "config",
            "enabled_by_default": command == "benchmark",
        }
        yield Entity("button", command, name, settings)


def _commanding(topics: Topics, command: str) -> dict[str, Any]:
    assert command in ARGS
    return {"command_topic": topics.command(command), "qos": 1, "retain": False}


def configurations(config: Config, exposed: Exposed) -> dict[str, bytes]:
    """The retained message of every entity, by its topic."""
    device_id, topics = config.device_id, Topics(config.device_id, config.mqtt.prefix)
    shared = {
        "availability_topic": topics.availability,
        "payload_available": ONLINE.decode(),
        "payload_not_available": OFFLINE.decode(),
        "device": {
            "identifiers": [f"edgepose_{device_id}"],
            "name": device_id,
            "manufacturer": "edgepose",
            "model": exposed.info.host.cpu if exposed.info else "edge box",
            "sw_version": __version__,
        },
        "origin": {"name": "edgepose", "sw_version": __version__},
    }
    found = {}
    for entity in entities(config, exposed):
        own = {
            "name": entity.name,
            "unique_id": f"edgepose_{device_id}_{entity.key}",
            # `object_id`, as it was called before, is not read since 2026.4. Older ones make the same id of the names.
            "default_entity_id": f"{entity.component}.{_slug(device_id)}_{_slug(entity.name)}",
        }
        topic = f"{config.homeassistant.prefix}/{entity.component}/{device_id}/{entity.key}/config"
        found[topic] = json.dumps(own | dict(entity.settings) | shared, ensure_ascii=False).encode()
    return found


def _slug(text: str) -> str:
    return text.lower().replace(" ", "_").replace("-", "_")


class Discovery:
    """Announces the entities when they change, again when Home Assistant asks, and takes back what is no more.

    ``book`` is where it is written which topics the broker keeps of us; without one nothing is, and nothing announced.
    """

    def __init__(self, config: Config, outlet: Outlet, keeping: Keeping | None, book: Path) -> None:
        self._config = config
        self._outlet = outlet
        self._keeping = keeping
        self._book = book
        self._enabled = config.homeassistant.enabled and keeping is not None
        self._told: dict[str, bytes] = {}
        self._kept = self._load() if keeping is not None else set[str]()
        if not self._enabled:
            self._take_back(self._kept)

    def tell(self, exposed: Exposed) -> None:
        """Announce what differs from what has been announced."""
        if not self._enabled:
            return
        wanted = configurations(self._config, exposed)
        self._write(self._kept | wanted.keys())  # before the broker has them: a crash leaves none behind
        self._take_back(self._kept - wanted.keys())
        for topic, payload in wanted.items():
            if self._told.get(topic) != payload:
                self._outlet.announce(topic, payload)
        self._told = wanted

    def heard(self, payload: bytes) -> None:
        """Home Assistant has said something on its status topic; all is said again where it was just born."""
        if payload != BORN:
            return
        for topic, announcement in self._told.items():
            self._outlet.announce(topic, announcement)
        # Those behind a bridge, or on a broker that keeps nothing, have missed this too.
        self._outlet.announce(Topics(self._config.device_id, self._config.mqtt.prefix).availability, ONLINE)

    def tidy(self) -> None:
        """Forget the topics that the broker has forgotten."""
        if self._keeping is None:
            return
        gone = {topic for topic in self._kept - self._told.keys() if not self._keeping.keeps(topic)}
        if gone:
            self._write(self._kept - gone)

    def _take_back(self, topics: set[str]) -> None:
        for topic in sorted(topics):
            self._outlet.announce(topic, b"")

    def _load(self) -> set[str]:
        try:
            found = json.loads(self._book.read_bytes())
        except FileNotFoundError:
            return set()
        except (OSError, ValueError) as error:
            log.warning("homeassistant.forgotten", file=str(self._book), cause=str(error))
            return set()
        if not isinstance(found, list):
            return set()
        # Empty payloads go to these topics: a damaged file must not clear somebody else's.
        end = f"/{self._config.device_id}/"
        return {topic for topic in found if isinstance(topic, str) and end in topic and topic.endswith("/config")}

    def _write(self, topics: set[str]) -> None:
        if topics == self._kept:
            return
        self._kept = topics
        try:
            if topics:
                replace_file(self._book, json.dumps(sorted(topics)).encode(), private=True)
            else:
                self._book.unlink(missing_ok=True)
        except OSError as error:
            log.warning("homeassistant.not_saved", file=str(self._book), cause=error.strerror or str(error))


def status_topics(config: Config) -> tuple[str, ...]:
    """Where Home Assistant says that it is there; none where nobody is to hear it."""
    return (f"{config.homeassistant.prefix}/status",) if config.homeassistant.enabled else ()
