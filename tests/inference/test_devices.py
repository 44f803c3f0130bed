"""Promises of the device list and of the names for devices."""

import pytest

from agent.errors import ConfigError, EngineError
from agent.inference.devices import list_devices, open_core, require_devices
from tests.inference.engines import CORE


def test_every_device_is_listed_with_what_it_can() -> None:
    """The processor is there under its name and its alias, each with its full name and its precisions."""
    devices = {device.name: device for device in list_devices(CORE)}
    assert {"CPU", "SIMCPU"} <= set(devices)
    assert devices["SIMCPU"].full_name == devices["CPU"].full_name != ""
    assert {"FP32", "INT8"} <= set(devices["SIMCPU"].capabilities)


def test_an_alias_belongs_to_its_core_alone() -> None:
    """A core opened without aliases knows nothing of those of another."""
    assert "SIMCPU" not in [device.name for device in list_devices(open_core({}))]


@pytest.mark.parametrize(
    ("alias", "device", "message"),
    [
        ("SIMNPU", "NPU", "SIMNPU stands for 'NPU', but only CPU can have an alias"),
        ("SIMCPU", "cpu", "SIMCPU stands for 'cpu', but only CPU can have an alias"),
        ("OTHER", "CPU", "'OTHER' must be in capitals and contain the name it stands for"),
        ("simCPU", "CPU", "'simCPU' must be in capitals"),
        ("SIM:CPU", "CPU", "'SIM:CPU' must be in capitals"),
        ("SIM,CPU", "CPU", "'SIM,CPU' must be in capitals"),
        ("CPU", "CPU", "'CPU' is the device itself"),
    ],
)
def test_aliases_that_cannot_be_are_refused(alias: str, device: str, message: str) -> None:
    """An alias OpenVINO cannot have is a fault of the configuration that names the key and the alias."""
    with pytest.raises(ConfigError, match=message) as caught:
        open_core({alias: device})
    assert str(caught.value).startswith("devices.aliases: ")


@pytest.mark.parametrize(
    "device",
    [
        "CPU",
        "SIMCPU",
        "AUTO",
        "AUTO:CPU",
        "AUTO:SIMCPU,CPU",
        "MULTI:SIMCPU,CPU",
        "HETERO:SIMCPU, CPU",
        "BATCH:CPU(4)",
    ],
)
def test_devices_that_are_here_pass(device: str) -> None:
    """Every device string of the contract passes when its devices are here."""
    require_devices(CORE, device)


@pytest.mark.parametrize(
    ("device", "missing"),
    [
        ("NOPE", "NOPE"),
        ("AUTO:NOPE,CPU", "NOPE"),
        ("HETERO:SIMCPU,NOPE", "NOPE"),
        ("MULTI:NOPE,NADA", "NOPE, NADA"),
        ("BATCH:NOPE(4)", "NOPE"),
        ("hetero:cpu", "cpu"),
        ("CPU.1", "CPU.1"),
        ("AUTO:AUTO", "AUTO"),
    ],
)
def test_devices_that_are_missing_are_named(device: str, missing: str) -> None:
    """A device this box does not have is refused, wherever it stands, and the devices that are here are listed."""
    with pytest.raises(EngineError) as caught:
        require_devices(CORE, device)
    assert str(caught.value) == f"device {device!r} needs {missing}, which this box does not have"
    assert caught.value.hint.startswith("devices here: CPU, SIMCPU;")


@pytest.mark.parametrize("device", ["", "HETERO", "HETERO:", "MULTI", "BATCH:", "AUTO:", "AUTO:CPU,", "MULTI:,CPU"])
def test_a_device_left_out_is_told(device: str) -> None:
    """A string in which a device is left out is refused with an example."""
    with pytest.raises(EngineError, match="does not name every device") as caught:
        require_devices(CORE, device)
    assert "HETERO:GPU,CPU" in caught.value.hint


class TwoCards:
    """Stands in for the Core of a box with two graphics cards, of which there is none here."""

    available_devices = ("CPU", "GPU.0", "GPU.1")


@pytest.mark.parametrize("device", ["GPU", "GPU.0", "GPU.1", "HETERO:GPU,CPU", "AUTO:GPU.1,CPU"])
def test_gpu_is_the_first_of_several(device: str) -> None:
    """With two cards, which OpenVINO lists as GPU.0 and GPU.1, GPU alone is the first."""
    require_devices(TwoCards(), device)


def test_a_third_card_is_missing() -> None:
    """A number beyond the last card is a device this box does not have."""
    with pytest.raises(EngineError, match=r"needs GPU\.2"):
        require_devices(TwoCards(), "GPU.2")
