"""Promises of the device list and of the names for devices."""

from typing import Any

import pytest
import structlog

from agent.errors import ConfigError, EngineError
from agent.inference.devices import CAUSE_MAX, cause, list_devices, open_core, openvino_name, require_devices
from agent.wire.messages import DeviceInfo
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


class HalfDead:
    """Stands in for the Core of a box whose graphics driver does not answer, which no test can bring about."""

    available_devices = ("CPU", "GPU")

    def get_property(self, device: str, name: str) -> Any:
        if device == "GPU":
            raise RuntimeError(
                "Exception from src/plugin.cpp:1:\n[GPU] clGetDeviceInfo, error code: -30 CL_INVALID_VALUE\n"
            )
        return CORE.get_property(device, name)


def test_a_device_whose_driver_fails_hides_no_other() -> None:
    """A device that does not answer is listed without what it did not say, and told; the others are there."""
    with structlog.testing.capture_logs() as logs:
        devices = list_devices(HalfDead())
    assert devices[0] == next(device for device in list_devices(CORE) if device.name == "CPU")
    assert devices[1] == DeviceInfo(name="GPU", full_name="?", capabilities=())
    assert {(entry["event"], entry["device"]) for entry in logs} == {("device.silent", "GPU")}
    assert logs[0]["cause"] == "[GPU] clGetDeviceInfo, error code: -30 CL_INVALID_VALUE"


@pytest.mark.parametrize(
    ("device", "canonical"),
    [
        ("cpu", "CPU"),
        ("AUTO", "AUTO"),
        ("auto:simcpu, cpu", "AUTO:SIMCPU,CPU"),
        ("hetero:simcpu,cpu", "HETERO:SIMCPU,CPU"),
        ("batch:cpu(4)", "BATCH:CPU(4)"),
    ],
)
def test_devices_that_are_here_pass(device: str, canonical: str) -> None:
    """A device string may be written in any case; what comes back is as OpenVINO reads it."""
    assert str(require_devices(CORE, device)) == canonical


@pytest.mark.parametrize(
    ("device", "missing"), [("AUTO:NPU,CPU", "NPU"), ("HETERO:SIMCPU,GPU", "GPU"), ("gpu.1", "GPU.1")]
)
def test_devices_that_are_missing_are_named(device: str, missing: str) -> None:
    """A device this box does not have is an error a person can read, and the devices that are here are listed."""
    with pytest.raises(EngineError, match=f"this box has no {missing}") as caught:
        require_devices(CORE, device)
    assert caught.value.hint.startswith("devices here: CPU, SIMCPU;")


@pytest.mark.parametrize("device", ["", "NOPE", "HETERO:", "CPU,SIMCPU", "AUTO:AUTO"])
def test_what_is_no_device_string_is_told(device: str) -> None:
    """What is no device string is an error a person can read, with an example or a list."""
    with pytest.raises(EngineError) as caught:
        require_devices(CORE, device)
    assert caught.value.hint


STREAMS = """Exception from src/inference/src/cpp/core.cpp:117:
Exception from src/inference/src/dev/plugin_config.cpp:90:
Invalid value: 1 for property: NUM_STREAMS
Property description: Number of streams to be used for inference


"""
HINT = """Exception from src/inference/src/dev/plugin_config.cpp:90:
Invalid value: bf16 for property: INFERENCE_PRECISION_HINT
Property description: Model floating-point inference precision. Supported values: { f16, f32, dynamic }
"""
OPTION = """Exception from src/inference/src/cpp/core.cpp:117:
Failed to create plugin "/somewhere/libopenvino_intel_gpu_plugin.so" for device GPU
Please, check your environment
Check 'it != m_options_map.end()' failed at src/inference/dev_api/openvino/runtime/plugin_config.hpp:214:
Option not found: INFERENCE_NUM_THREADS
"""


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (STREAMS, "Invalid value: 1 for property: NUM_STREAMS"),
        (HINT, "Invalid value: bf16 for property: INFERENCE_PRECISION_HINT Supported values: { f16, f32, dynamic }"),
        (OPTION, "Option not found: INFERENCE_NUM_THREADS"),
        ("one thing", "one thing"),
        ("Caught exception: Exception from src/ocl_common.hpp:62: [GPU] CL_OUT_OF", "[GPU] CL_OUT_OF"),
        ("", "RuntimeError"),
        ("Exception from src/here.cpp:1:\n", "Exception from src/here.cpp:1:"),
        ("first\nsecond", "first second"),
    ],
)
def test_the_cause_is_told(told: str, wanted: str) -> None:
    """Of an error of OpenVINO what happened is told, not where in its source, nor what a property is about."""
    assert cause(RuntimeError(told)) == wanted


def test_a_cause_has_an_end() -> None:
    """What a compiler of kernels says in pages is told in lines."""
    assert len(cause(RuntimeError("word " * 1000))) <= CAUSE_MAX + len(" ...")


def test_what_auto_leaves_out_is_resolved() -> None:
    """OpenVINO is told the devices that are left, in its own grammar."""
    assert openvino_name(CORE, require_devices(CORE, "auto:-simcpu")) == "AUTO:CPU"
    assert openvino_name(CORE, require_devices(CORE, "auto")) == "AUTO"
