"""Home Assistant's core in this process, on a running broker; run by its own interpreter, see rig.py.

Every state it takes is a JSON line on standard output: ``{"entity_id", "state", "attributes"}``, the state null where
the entity is gone. A JSON line on standard input is a service to call: ``{"domain", "service", "data"}``.
"""

import asyncio
import json
import sys
import threading
from pathlib import Path
from typing import Any

from homeassistant import auth, bootstrap, config_entries, core, loader
from homeassistant.helpers import device_registry, entity_registry
from homeassistant.setup import async_setup_component


def tell(said: dict[str, Any]) -> None:
    """Print one line at once."""
    print(json.dumps(said, default=str), flush=True)  # noqa: T201


def tell_state(event: Any) -> None:
    """Print what an entity has become."""
    new = event.data["new_state"]
    state, attributes = (new.state, dict(new.attributes)) if new else (None, {})
    tell({"entity_id": event.data["entity_id"], "state": state, "attributes": attributes})


async def started(port: int, folder: str) -> Any:
    """Start the core with the integration of MQTT alone."""
    Path(folder, "configuration.yaml").write_text("homeassistant:\n", encoding="utf-8")
    hass = core.HomeAssistant(folder)
    hass.config.skip_pip = True
    loader.async_setup(hass)
    hass.config_entries = config_entries.ConfigEntries(hass, {})
    await bootstrap.async_load_base_functionality(hass)
    hass.auth = await auth.auth_manager_from_config(hass, [], [])
    await async_setup_component(hass, "homeassistant", {})
    hass.bus.async_listen("state_changed", core.callback(tell_state))
    data = {"broker": "127.0.0.1", "port": port, "discovery": True, "discovery_prefix": "homeassistant"}
    entry = config_entries.ConfigEntry(
        version=1, minor_version=1, domain="mqtt", title="broker", data=data, source="user"
    )
    await hass.config_entries.async_add(entry)
    await hass.async_block_till_done()
    await hass.async_start()
    return hass


async def main(port: int, folder: str) -> None:
    """Run until standard input ends."""
    hass = await started(port, folder)
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    async def call(order: dict[str, Any]) -> None:
        if order["domain"] == "registry":
            entities = entity_registry.async_get(hass).entities.values()
            told = [
                {
                    "entity_id": e.entity_id,
                    "unique_id": e.unique_id,
                    "name": e.original_name,
                    "off": bool(e.disabled_by),
                }
                for e in entities
            ]
            tell({"registry": told})
            devices = device_registry.async_get(hass).devices.values()
            tell({"devices": [{"name": d.name, "version": d.sw_version, "ids": list(d.identifiers)} for d in devices]})
            return
        await hass.services.async_call(order["domain"], order["service"], order["data"], blocking=True)

    def listen() -> None:
        for line in sys.stdin:
            asyncio.run_coroutine_threadsafe(call(json.loads(line)), loop).result()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=listen, daemon=True).start()
    tell({"ready": True})
    await ended.wait()
    await hass.async_stop(force=True)


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
