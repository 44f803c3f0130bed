"""Discovery as data: what is announced, again when asked, and taken back, after a crash too."""

import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.config.tree import Config
from agent.output.homeassistant import Discovery, Exposed, configurations
from agent.wire.messages import DeviceInfo, HostInfo, Info, ModelInfo, Requested
from agent.wire.topics import Topics
from agent.wire.zones import Zone, Zones
from tests.samples import NOW

TOPICS = Topics("gym-01")
ZONE = Zone(polygon=((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)))
REQUESTED = Requested(model="movenet-multipose", device="AUTO", precision="FP32", hint="latency")
INFO = Info(
    device_id="gym-01",
    sent_at=NOW,
    agent_version="1",
    openvino_version="2",
    host=HostInfo(hostname="h", os="o", cpu="a chip", cores=2, memory_mb=1),
    devices=tuple(DeviceInfo(name=name, full_name=name, capabilities=()) for name in ("CPU", "GPU")),
    models=(ModelInfo(name="movenet-multipose", precisions=("FP32", "INT8")),),
    commands=(),
)


class Said:
    """An outlet and a broker that acknowledges what it is told to."""

    def __init__(self) -> None:
        self.retained: dict[str, bytes] = {}
        self.count = 0
        self.acknowledges = True

    def announce(self, topic: str, payload: bytes, expiry_s: int | None = None) -> None:
        assert expiry_s is None
        self.count += 1
        self.retained[topic] = payload

    def keeps(self, topic: str) -> bool:
        return bool(self.retained.get(topic)) or not self.acknowledges

    @property
    def entities(self) -> set[str]:
        return {topic.split("/")[3] for topic, payload in self.retained.items() if payload}


def config(**homeassistant: Any) -> Config:
    return Config.model_validate({"device_id": "gym-01", "homeassistant": {"enabled": True, **homeassistant}})


def discovery(said: Said, book: Path, given: Config | None = None) -> Discovery:
    return Discovery(given or config(), said, said, book)  # type: ignore[arg-type]


def exposed(zones: Zones | None = None) -> Exposed:
    return Exposed(INFO, REQUESTED, zones or {})


def settings(key: str, given: Config | None = None, **changes: Any) -> dict[str, Any]:
    found = configurations(given or config(), exposed(**changes))
    (payload,) = [payload for topic, payload in found.items() if topic.split("/")[3] == key]
    return dict(json.loads(payload))


def test_every_entity_is_of_one_device_and_goes_with_the_box() -> None:
    """Unique ids carry the box's id, availability is the box's, and each asks for its id by the new name."""
    found = [json.loads(payload) for payload in configurations(config(), exposed({"hall": ZONE})).values()]
    assert len({each["unique_id"] for each in found}) == len(found)
    for each in found:
        assert each["unique_id"].startswith("edgepose_gym-01_")
        assert each["availability_topic"] == TOPICS.availability
        assert each["device"]["identifiers"] == ["edgepose_gym-01"]
        assert each["default_entity_id"].split(".")[1].startswith("gym_01_")
        assert "object_id" not in each


def test_what_can_be_chosen_is_what_the_box_has() -> None:
    """Devices alone and together, precisions of the running network; and what runs is always among them."""
    assert settings("device")["options"] == ["CPU", "GPU", "AUTO", "MULTI:GPU,CPU", "HETERO:GPU,CPU"]
    assert settings("precision")["options"] == ["FP32", "INT8"]
    odd = Exposed(INFO, REQUESTED.model_copy(update={"device": "BATCH:GPU(4)"}), {})
    found = configurations(config(), odd)["homeassistant/select/gym-01/device/config"]
    assert json.loads(found)["options"][-1] == "BATCH:GPU(4)"


def test_the_size_is_offered_once_it_is_known() -> None:
    """Before an engine runs there is none; then its own long side is among those to choose."""
    topic = "homeassistant/select/gym-01/size/config"
    assert topic not in configurations(config(), exposed())
    found = json.loads(configurations(config(), Exposed(INFO, REQUESTED, {}, 352))[topic])
    assert found["options"] == ["256", "352", "384", "512", "640", "832"]


def test_who_obeys_signed_commands_alone_offers_none(tmp_path: Path) -> None:
    """Home Assistant cannot sign: what it could only be refused is not shown, unless a signature is not required."""
    (keys := tmp_path / "keys").touch()
    base = config().model_dump()
    signed = Config.model_validate(base | {"commands": {"key_file": keys}})
    kinds = {topic.split("/")[1] for topic in configurations(signed, exposed())}
    assert kinds == {"sensor", "binary_sensor", "event", "update"}
    either = Config.model_validate(base | {"commands": {"key_file": keys, "require_signature": False}})
    assert {"select", "switch", "button"} <= {topic.split("/")[1] for topic in configurations(either, exposed())}


def test_a_mask_has_no_count_and_a_zone_that_goes_takes_its_entity(tmp_path: Path) -> None:
    """Entities follow the zones; what did not change is not said again."""
    said, book = Said(), tmp_path / "book.json"
    here = discovery(said, book)
    mask = Zone(polygon=ZONE.polygon, mask=True)
    here.tell(exposed({"hall": ZONE, "mirror": mask}))
    assert "zone_hall_people" in said.entities
    assert not any("mirror" in entity for entity in said.entities)
    before = said.count
    here.tell(exposed({"hall": ZONE, "mirror": mask}))
    assert said.count == before
    here.tell(exposed())
    assert (said.count, "zone_hall_people" in said.entities) == (before + 1, False)
    here.tidy()
    assert not any("zone_hall" in topic for topic in json.loads(book.read_bytes()))


def test_all_is_said_again_when_home_assistant_is_born(tmp_path: Path) -> None:
    """`online` brings every configuration and the availability; any other word nothing."""
    said = Said()
    here = discovery(said, tmp_path / "book.json")
    here.tell(exposed())
    told = dict(said.retained)
    said.retained.clear()
    here.heard(b"offline")
    assert not said.retained
    here.heard(b"online")
    assert said.retained == told | {TOPICS.availability: b"online"}


def test_what_was_announced_is_taken_back_by_who_is_turned_off(tmp_path: Path) -> None:
    """The list on the disk outlives the process, and stays until the broker has forgotten every entity."""
    said, book = Said(), tmp_path / "state" / "book.json"
    discovery(said, book).tell(exposed())
    assert said.entities
    said.acknowledges = False
    off = discovery(said, book, config(enabled=False))
    assert not said.entities
    off.tell(exposed())
    off.tidy()
    assert not said.entities
    assert book.exists()
    said.acknowledges = True
    off.tidy()
    assert not book.exists()


def test_another_prefix_takes_the_old_one_back(tmp_path: Path) -> None:
    """Whoever renames the prefix leaves nothing below the old one."""
    said, book = Said(), tmp_path / "book.json"
    discovery(said, book).tell(exposed())
    discovery(said, book, config(prefix="ha")).tell(exposed())
    assert {topic.split("/")[0] for topic, payload in said.retained.items() if payload} == {"ha"}


@pytest.mark.parametrize("damaged", [b"{", b"5", b'["edgepose/gym-02/state", "ha/sensor/gym-02/fps/config", 5]'])
def test_a_damaged_list_clears_nothing_of_others(tmp_path: Path, damaged: bytes) -> None:
    """What is no list of this box's entities is left alone."""
    said, book = Said(), tmp_path / "book.json"
    book.write_bytes(damaged)
    with capture_logs():
        discovery(said, book, config(enabled=False))
    assert not said.retained
