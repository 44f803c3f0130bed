"""The devices of this box, under their own names and under aliases."""

from pathlib import Path

import openvino as ov

from agent.errors import ConfigError, EngineError
from agent.wire.messages import DeviceInfo

PLUGIN_OF = {"CPU": "libopenvino_intel_cpu_plugin.so"}
"""Plugins that may be registered a second time under another name."""


def open_core(aliases: dict[str, str]) -> ov.Core:
    """A Core that knows the configured aliases, for example ``{"SIMCPU": "CPU"}``.

    An alias is a second registration of a real plugin, so HETERO, MULTI and AUTO truly run across two devices on a box
    that has one. Raises ConfigError for an alias OpenVINO cannot have.
    """
    core = ov.Core()
    for alias, device in aliases.items():
        plugin = PLUGIN_OF.get(device)
        if plugin is None:
            raise ConfigError(
                f"devices.aliases: {alias} stands for {device!r}, but only {', '.join(PLUGIN_OF)} can have an alias"
            )
        if device not in alias or not alias.isalnum() or not alias.isupper():
            raise ConfigError(
                f"devices.aliases: {alias!r} must be in capitals and contain the name it stands for, {device!r}",
                hint=f"for example SIM{device}",
            )
        core.register_plugin(str(_plugin_folder() / plugin), alias)
    return core


def _plugin_folder() -> Path:
    return Path(ov.__file__).parent / "libs"


def list_devices(core: ov.Core) -> tuple[DeviceInfo, ...]:
    """Every device OpenVINO finds, aliases included."""
    return tuple(
        DeviceInfo(
            name=name,
            full_name=str(core.get_property(name, "FULL_DEVICE_NAME")),
            capabilities=tuple(sorted(core.get_property(name, "OPTIMIZATION_CAPABILITIES"))),
        )
        for name in core.available_devices
    )


def require_devices(core: ov.Core, device: str) -> None:
    """Refuse a device string that names a device this box does not have: OpenVINO itself accepts ``AUTO:NOPE,CPU``."""
    mode, _, members = device.partition(":")
    named = [member.strip().split("(")[0] for member in members.split(",")] if members else [mode]
    present = set(core.available_devices)
    virtual = {"AUTO"}
    missing = [name for name in named if name not in present | virtual and name.split(".")[0] not in present]
    if missing:
        raise EngineError(
            f"device {device!r} needs {', '.join(missing)}, which this box does not have",
            hint=f"devices here: {', '.join(sorted(present))}; `agent doctor` says why one may be missing",
        )
