"""The table of entities in docs/home-assistant.md, made from what Home Assistant has registered."""

import os
from pathlib import Path
from typing import Any, Final

PAGE: Final = Path(__file__).parents[2] / "docs" / "home-assistant.md"
BEGIN: Final = "<!-- made by make test-homeassistant -->\n"
END: Final = "<!-- end -->"


def table(registry: list[dict[str, Any]], states: dict[str, dict[str, Any]]) -> str:
    """One row an entity: its id for a box `demo`, its name, its unit or kind."""
    rows = ["| entity | name | unit or kind |", "|---|---|---|"]
    for entity in sorted(registry, key=lambda entity: str(entity["entity_id"])):
        attributes = states.get(entity["entity_id"], {}).get("attributes", {})
        # What there is to choose is what this box has, and differs from machine to machine.
        offered = "to choose" if "options" in attributes else ""
        kind = attributes.get("unit_of_measurement") or offered or attributes.get("device_class") or ""
        disabled = "" if attributes else "turned off until it is wanted"
        rows.append(f"| `{entity['entity_id']}` | {entity['name']} | {kind or disabled} |")
    return "\n".join(rows) + "\n"


def hold(made: str) -> None:
    """Hold the page to the table; with HOMEASSISTANT_WRITE in the environment it is written instead."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    told, _, tail = rest.partition(END)
    if os.environ.get("HOMEASSISTANT_WRITE"):
        PAGE.write_text(f"{head}{BEGIN}{made}{END}{tail}", encoding="utf-8")
        return
    assert told == made, "docs/home-assistant.md is old: make test-homeassistant ARGS=--write"
