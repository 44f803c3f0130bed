"""The devices of this box, under their own names and under aliases."""

from pathlib import Path

import openvino as ov

from agent.errors import ConfigError, EngineError
from agent.wire.messages import DeviceInfo

PLUGIN_OF = {"CPU": "libopenvino_intel_cpu_plugin.so"}
"""Plugins that may be registered a second time under another name."""
COMBINING = ("MULTI", "HETERO", "BATCH")
"""Modes that work on devices named after a colon; AUTO can do without."""


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
        if alias == device:
            raise ConfigError(f"devices.aliases: {alias!r} is the device itself", hint=f"for example SIM{device}")
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
    mode, colon, members = device.partition(":")
    alone = not colon and mode not in COMBINING
    named = [mode] if alone else [member.split("(")[0].strip() for member in members.split(",")]
    if not all(named):
        raise EngineError(f"device {device!r} does not name every device", hint="for example CPU or HETERO:GPU,CPU")
    # Of several graphics cards OpenVINO lists GPU.0, GPU.1 and takes GPU for the first; of one it lists GPU.
    present = {name.removesuffix(".0") for name in core.available_devices}
    missing = [name for name in named if name.removesuffix(".0") not in present and device != "AUTO"]
    if missing:
        here = ", ".join(sorted(core.available_devices))
        raise EngineError(
            f"device {device!r} needs {', '.join(missing)}, which this box does not have",
            hint=f"devices here: {here}; `agent doctor` says why one may be missing",
        )
