"""The first page: every box, what is wrong first."""

from dataclasses import dataclass, field
from typing import Final

from nicegui import ui

from controller.dashboard.frame import framed
from controller.dashboard.hub import Box, Hub
from controller.dashboard.words import SPARK, colour, current, figure, rank, spark, status

REFRESH_S: Final = 1.0


@dataclass(slots=True)
class Card:
    """A box on the page, and what of it changes."""

    root: ui.element
    badge: ui.badge
    runs: ui.label
    figures: list[ui.label]
    line: ui.element
    trouble: ui.label
    changed: int = -1


@dataclass
class FleetPage:
    """The page of one browser."""

    hub: Hub
    read_only: bool
    cards: dict[str, Card] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    def build(self) -> None:
        """Make it, and keep it up to date."""
        with framed(self.hub, "Boxes", read_only=self.read_only):
            self.groups = ui.row().classes("groups")
            self.nobody = ui.label("No box has said anything on this broker yet.").classes("soft")
            self.grid = ui.element("div").classes("fleet").props("role=list")
        self.refresh()
        ui.timer(REFRESH_S, self.refresh)

    def refresh(self) -> None:
        """Put in what is new."""
        boxes = dict(self.hub.boxes)
        for gone in self.cards.keys() - boxes.keys():
            self.cards.pop(gone).root.delete()
        order = [box.agent.device_id for box in sorted(boxes.values(), key=rank)]
        for device in order:
            if device not in self.cards:
                with self.grid:
                    self.cards[device] = _card(device)
            self._update(self.cards[device], boxes[device])
        if order != self.order:
            for place, device in enumerate(order):
                self.cards[device].root.move(self.grid, place)
            self.order = order
        self.nobody.set_visibility(not order)
        self._group(boxes)

    def _update(self, card: Card, box: Box) -> None:
        if card.changed == box.changed:
            return
        card.changed = box.changed
        state, metrics = box.agent.state, current(box)
        card.badge.set_text(status(box))
        card.badge.props(f"color={colour(box)}")
        if state is not None:
            now = state.effective
            where = ", ".join(now.execution_devices) if now else state.requested.device
            precision = now.model_precision if now else state.requested.precision
            card.runs.set_text(f"{state.requested.model} · {where} · {precision}")
        for label, text in zip(
            card.figures,
            (
                figure(metrics, "fps_mean"),
                figure(metrics, "latency_ms_p95"),
                figure(metrics, "persons_mean"),
            ),
            strict=True,
        ):
            label.set_text(text)
        card.line.props["points"] = spark([each.fps_mean or 0.0 for _when, each in box.history][-60:])
        card.line.update()
        error = state.last_error if state and box.online else None
        card.trouble.set_text(error or "")
        card.trouble.set_visibility(bool(error))

    def _group(self, boxes: dict[str, Box]) -> None:
        members: dict[str, list[bool]] = {}
        for box in boxes.values():
            for name in box.agent.info.groups if box.agent.info else ():
                members.setdefault(name, []).append(box.online)
        texts = [f"{name}: {sum(online)} of {len(online)} online" for name, online in sorted(members.items())]
        shown = [child.text for child in self.groups.default_slot.children if isinstance(child, ui.label)]
        if texts != shown:
            self.groups.clear()
            with self.groups:
                for text in texts:
                    ui.label(text).classes("group")


def _card(device: str) -> Card:
    with ui.link(target=f"/box/{device}").classes("card").props(f"role=listitem data-device={device}") as root:
        with ui.element("div").classes("head"):
            ui.label(device).classes("name")
            badge = ui.badge("")
        runs = ui.label("").classes("soft one-line")
        figures = []
        with ui.element("div").classes("figures"):
            for unit in ("FPS", "ms p95", "people"):
                with ui.element("div"):
                    figures.append(ui.label("-").classes("figure"))
                    ui.label(unit).classes("soft")
            with ui.element("svg").props(f'viewBox="0 0 {SPARK[0]} {SPARK[1]}" aria-hidden=true').classes("spark"):
                line = ui.element("polyline").props('fill=none stroke=currentColor stroke-width=1.5 points=""')
        trouble = ui.label("").classes("trouble")
        trouble.set_visibility(False)
    return Card(root, badge, runs, figures, line, trouble)
