"""What `agent doctor` says of graphics cards and neural processors; machines are made of files."""

import os
from pathlib import Path

import pytest

from agent.config.tree import Inference
from agent.doctor import accelerators
from agent.doctor.accelerators import INTEL, gpu, npu
from agent.doctor.finding import Check, Level
from agent.wire.messages import DeviceInfo

NOTHING: tuple[DeviceInfo, ...] = ()


def listed(*names: str) -> tuple[DeviceInfo, ...]:
    return tuple(DeviceInfo(name=name, full_name=f"Intel {name}", capabilities=()) for name in names)


def render_node(machine: Path, vendor: str = INTEL) -> Path:
    """A graphics card in the files of /dev and /sys."""
    node, device = machine / "dev/dri/renderD128", machine / "sys/class/drm/renderD128/device"
    node.parent.mkdir(parents=True)
    device.mkdir(parents=True)
    node.touch()
    (device / "vendor").write_text(f"{vendor}\n", encoding="ascii")
    return node


def accel_node(machine: Path, driver: str) -> Path:
    """A neural processor in the files of /dev and /sys."""
    node, device = machine / "dev/accel/accel0", machine / "sys/class/accel/accel0/device"
    node.parent.mkdir(parents=True)
    (machine / "drivers" / driver).mkdir(parents=True)
    device.mkdir(parents=True)
    node.touch()
    (device / "driver").symlink_to(machine / "drivers" / driver)
    return node


def of_gpu(machine: Path, device: str = "CPU", *names: str) -> Check:
    return gpu(Inference(device=device), lambda: listed("CPU", *names), machine / "dev", machine / "sys")


def of_npu(machine: Path, device: str = "CPU", *names: str) -> Check:
    return npu(Inference(device=device), lambda: listed("CPU", *names), machine / "dev", machine / "sys")


@pytest.mark.parametrize("name", ["GPU", "GPU.1"])
def test_what_openvino_sees_is_there(tmp_path: Path, name: str) -> None:
    """With no device file at all: the check of the devices beside it says the same."""
    assert of_gpu(tmp_path, name, name) == Check("gpu", Level.OK, f"OpenVINO sees {name} (Intel {name})")
    assert of_npu(tmp_path, "NPU", "NPU") == Check("npu", Level.OK, "OpenVINO sees NPU (Intel NPU)")


@pytest.mark.parametrize(("check", "kind"), [(of_gpu, "GPU"), (of_npu, "NPU")])
def test_none_is_no_fault_unless_it_is_wanted(tmp_path: Path, check: type, kind: str) -> None:
    """A box without one is healthy, and so is one that leaves it out; one that is told to use it is not."""
    assert (check(tmp_path).level, check(tmp_path).finding) == (Level.OK, f"no {kind} found")
    assert check(tmp_path, f"AUTO:-{kind}").level is Level.OK
    for device in (kind, f"HETERO:{kind},CPU", f"auto:{kind.lower()},cpu"):
        wanted = check(tmp_path, device)
        assert (wanted.level, bool(wanted.cure)) == (Level.FAIL, True)
        assert device in wanted.finding


def test_wsl_reaches_its_card_another_way(tmp_path: Path) -> None:
    """/dev/dxg stands for a card that only a driver in Windows and one here bring to OpenVINO."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/dxg").touch()
    check = of_gpu(tmp_path)
    assert check.level is Level.WARN
    assert "Windows Subsystem for Linux" in check.finding
    assert "driver in Windows" in check.cure
    assert of_gpu(tmp_path, "CPU", "GPU").level is Level.OK


def test_a_card_of_another_maker_is_passed_over(tmp_path: Path) -> None:
    """OpenVINO drives Intel's: nobody is told to install a driver for another."""
    render_node(tmp_path, "0x10de")
    assert of_gpu(tmp_path).finding == "no GPU found"


def test_an_accelerator_of_another_maker_is_passed_over(tmp_path: Path) -> None:
    """/dev/accel holds more than Intel's."""
    accel_node(tmp_path, "habanalabs")
    check = of_npu(tmp_path)
    assert check.level is Level.OK
    assert "habanalabs" in check.finding


def test_what_this_user_may_not_use_names_the_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device file without the right to it is cured by its group, which the cure names."""
    nodes = render_node(tmp_path), accel_node(tmp_path, "intel_vpu")
    for node in nodes:
        node.chmod(0)
    if os.geteuid() == 0:  # no file is closed to root
        monkeypatch.setattr(os, "access", lambda *_: False)
    for check, node in zip((of_gpu(tmp_path), of_npu(tmp_path)), nodes, strict=True):
        assert check.level is Level.WARN
        assert check.finding == f"{node} may not be used by this user"
        assert f"usermod -aG {node.group()} " in check.cure


@pytest.mark.parametrize("fault", [None, "libX.so.1: cannot open shared object file"])
def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str | None) -> None:
    """A device that may be used and that OpenVINO does not see lacks a library or its driver: the cure names it."""
    render_node(tmp_path)
    accel_node(tmp_path, "intel_vpu")
    monkeypatch.setattr(accelerators, "_cannot_load", lambda _library: fault)
    card, neural = of_gpu(tmp_path, "AUTO:GPU,CPU"), of_npu(tmp_path, "NPU")
    assert (card.level, neural.level) == (Level.FAIL, Level.FAIL)
    assert "intel-opencl-icd" in card.cure
    assert "linux-npu-driver" in neural.cure
    assert (fault or "sees no") in card.finding
    assert (fault or "sees no") in neural.finding
