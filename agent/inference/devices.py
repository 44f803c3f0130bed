"""The devices of this box, under their own names and under aliases."""

import re
from typing import Any, Final

import openvino as ov
import structlog

from agent.errors import ConfigError, EngineError
from agent.inference.plugins import PLUGINS, left_out, plugin_folder, sound_core
from agent.wire.commands import CommandError
from agent.wire.devices import DeviceString, canonical, require
from agent.wire.messages import DeviceInfo

log = structlog.get_logger()

Core = ov.Core
"""What finds devices and compiles networks, for those who pass it on and know no OpenVINO."""

LOCATIONS: Final = ("Exception from", "Check '")
INLINE: Final = re.compile(r"^(Caught exception: )?Exception from \S+:\d+:\s+")
"""A location that stands before the cause in its own line."""
DESCRIPTION: Final = "Property description:"
ALLOWED: Final = re.compile(r"Supported values: \{.*\}")
CAUSE_MAX: Final = 400
"""Characters of a cause; what a compiler writes can be pages."""

PLUGIN_OF = {"CPU": PLUGINS["CPU"]}
"""Plugins that may be registered a second time under another name."""


def open_core(aliases: dict[str, str]) -> ov.Core:
    """A Core that knows the configured aliases, for example ``{"SIMCPU": "CPU"}``.

    An alias is a second registration of a real plugin, so HETERO, MULTI and AUTO truly run across two devices on a box
    that has one. Raises ConfigError for an alias OpenVINO cannot have.
    """
    core = sound_core()
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
        if device not in left_out():
            core.register_plugin(str(plugin_folder() / plugin), alias)
    return core


def list_devices(core: ov.Core) -> tuple[DeviceInfo, ...]:
    """Every device OpenVINO finds, aliases included.

    One whose driver does not answer is listed all the same, with ``?`` as its full name or without capabilities.
    """

    def ask(name: str, wanted: str, otherwise: Any) -> Any:  # noqa: ANN401 - values are of many types
        try:
            return core.get_property(name, wanted)
        except RuntimeError as error:
            log.warning("device.silent", device=name, property=wanted, cause=cause(error))
            return otherwise

    return tuple(
        DeviceInfo(
            name=canonical(name),
            full_name=str(ask(name, "FULL_DEVICE_NAME", "?")),
            capabilities=tuple(sorted(ask(name, "OPTIMIZATION_CAPABILITIES", ()))),
        )
        for name in core.available_devices
    )


def require_devices(core: ov.Core, device: str) -> DeviceString:
    """Read a device string in any case and refuse one that names a device this box does not have.

    OpenVINO itself accepts ``AUTO:NOPE,CPU`` and knows no ``hetero:cpu``. Raises EngineError.
    """
    try:
        wanted = DeviceString.parse(device)
        require(wanted, core.available_devices)
    except CommandError as error:
        named = device.upper().replace(":", ",").replace("(", ",").split(",")
        for plugin in {member.partition(".")[0] for member in named} & left_out().keys():
            told = f"{plugin} is left out here: OpenVINO's plugin, asked for its devices, {left_out()[plugin]}"
            raise EngineError(told, hint="renew its driver; another device may be had: `agent doctor`") from error
        raise EngineError(error.message, hint=error.hint) from error
    return wanted


def openvino_name(core: ov.Core, device: DeviceString) -> str:
    """A device string that names no device but those here, as OpenVINO is told it: what AUTO leaves out is resolved."""
    if not device.without:
        return str(device)
    return str(DeviceString("AUTO", device.among(core.available_devices)))


def cause(error: BaseException) -> str:
    """In one line what an OpenVINO error says happened: what stands behind the last of its source locations.

    The description of a property is left out, but for the values it may have.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = max((place for place, line in enumerate(lines) if line.startswith(LOCATIONS)), default=-1)
    told = [line for line in lines[last + 1 :] if not line.startswith(DESCRIPTION)]
    allowed = [found[0] for line in lines if line.startswith(DESCRIPTION) and (found := ALLOWED.search(line))]
    text = " ".join([*told, *allowed]) or (lines or [type(error).__name__])[-1]
    text = INLINE.sub("", text) or text
    return text if len(text) <= CAUSE_MAX else f"{text[:CAUSE_MAX].rstrip()} ..."
