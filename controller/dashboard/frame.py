"""What every page has: its head, the broker's trouble, light and dark, and its style."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nicegui import ui

from controller.dashboard.hub import Hub

STYLE: Final = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
MODES: Final = ((None, "auto", "brightness_auto"), (True, "dark", "dark_mode"), (False, "light", "light_mode"))


@contextmanager
def framed(hub: Hub, title: str, *, read_only: bool) -> Iterator[None]:
    """The frame around a page's content, in whose context that is made."""
    ui.add_css(STYLE)
    dark = ui.dark_mode(None)
    with ui.header().classes("top"):
        ui.link("edgepose", "/").classes("brand").props('aria-label="edgepose: all boxes"')
        ui.label(title).classes("title").props("role=heading aria-level=1")
        ui.space()
        if read_only:
            ui.badge("read only", color="grey-7")
        button = ui.button(icon=MODES[0][2]).props('flat round color=white aria-label="Light or dark: auto"')

    def turn() -> None:
        place = next(i for i, mode in enumerate(MODES) if mode[0] is dark.value)
        value, word, icon = MODES[(place + 1) % len(MODES)]
        dark.set_value(value)
        button.props(f'icon={icon} aria-label="Light or dark: {word}"')

    button.on_click(turn)
    with ui.element("main").classes("page"):
        trouble = ui.label("").classes("trouble banner").props("role=alert")
        yield

    def look() -> None:
        trouble.set_text(f"No connection to the broker: {hub.trouble}" if hub.trouble else "")
        trouble.set_visibility(bool(hub.trouble))

    look()
    ui.timer(1.0, look)
