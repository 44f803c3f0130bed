"""The page of one box: its people as they move, what runs, what can be changed, and what happened."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from nicegui import run, ui
from nicegui.events import GenericEventArguments
from pydantic import TypeAdapter, ValidationError

from agent.wire.affinity import Preset
from agent.wire.commands import Job, JobStatus
from agent.wire.messages import Status
from agent.wire.wording import in_words
from agent.wire.zones import Zones
from controller.dashboard import answer, charts
from controller.dashboard.frame import framed
from controller.dashboard.hub import Box, Hub
from controller.dashboard.live import Live
from controller.dashboard.words import clock, colour, current, figure, number, status
from controller.errors import ControllerError

REFRESH_S: Final = 0.5
EVENTS_SHOWN: Final = 40
CHOICES: Final = {
    "device": "set-device",
    "precision": "set-precision",
    "model": "set-model",
    "hint": "set-hint",
    "size": "set-input",
}
WORDS: Final = {"device": "Device", "precision": "Precision", "model": "Network", "hint": "Hint", "size": "Size"}
SIDES: Final = (256, 384, 512, 640, 832)
"""Long sides that are offered, pixels."""
QUICK: Final = {"runs": 3, "seconds": 20.0}
"""What the button measures."""


@dataclass
class BoxPage:
    """The page of one browser."""

    hub: Hub
    device: str
    read_only: bool
    changed: int = -1
    told: dict[str, Any] = field(default_factory=dict)
    """What stands in each part that is made anew only when it is another."""
    working: bool = False
    steps: dict[str, tuple[ui.linear_progress, ui.label]] = field(default_factory=dict)
    """Of each job shown, what changes while it goes on."""

    def build(self) -> None:
        """Make it, and keep it up to date."""
        with framed(self.hub, self.device, read_only=self.read_only):
            self.absent = ui.label("No such box has said anything on this broker yet.").classes("soft")
            self.content = ui.element("div").classes("column")
        self.content.set_visibility(False)
        self.refresh()
        ui.timer(REFRESH_S, self.refresh)

    def refresh(self) -> None:
        """Put in what is new."""
        box = self.hub.boxes.get(self.device)
        self.absent.set_visibility(box is None)
        self.content.set_visibility(box is not None)
        if box is None or box.changed == self.changed:
            return
        if self.changed < 0:
            with self.content:
                self._build(box)
        self.changed = box.changed
        self._facts(box)
        self._choices(box)
        self._zones(box)
        self._jobs(box)
        self._events(box)
        if self._is_new("history", box.history[-1][1].sent_at if box.history else None):
            charts.fill(self.charts, [each for _when, each in tuple(box.history)])

    def _build(self, box: Box) -> None:
        with ui.element("div").classes("box"):
            with ui.element("div").classes("column"):
                self._build_view(box)
            with ui.element("div").classes("column"):
                self._build_numbers()
                if not self.read_only:
                    self._build_controls()
        with ui.element("div").classes("charts"):
            self.charts = charts.build()
        with ui.element("div").classes("box"):
            self.events = _plate("What happened", "happened")
            self.jobs = _plate("Jobs", "column")

    def _build_view(self, box: Box) -> None:
        with ui.element("section").classes("plate"):
            self.live = Live(self.device, box.agent.info.bones if box.agent.info else ())
            self.live.on("drawn", self._drawn)
            if self.read_only:
                return
            with ui.element("div").classes("line"):
                self.zone_name = ui.input("Zone", value="").props(
                    'dense outlined maxlength=31 aria-label="Name of zone"'
                )
                self.zone_mask = ui.checkbox("Mask")
                self.zone_dwell = (
                    ui.number("Dwell s", value=0, min=0, max=86400).props("dense outlined").style("width:6rem")
                )
                ui.button("Draw", icon="polyline", on_click=self._draw).props("outline no-caps")
                ui.space()
                ui.button("Picture", icon="image", on_click=self._picture).props("flat no-caps")
            self.zone_list = ui.element("div").classes("line")

    def _build_numbers(self) -> None:
        with ui.element("section").classes("plate"):
            with ui.element("div").classes("head"):
                ui.label("Now").props("role=heading aria-level=2").classes("name")
                self.badge = ui.badge("")
            self.figures = {}
            with ui.element("div").classes("numbers"):
                for name in ("FPS", "ms p95", "ms age p95", "people", "% CPU", "MB", "°C"):
                    with ui.element("div"):
                        self.figures[name] = ui.label("-").classes("figure")
                        ui.label(name).classes("soft")
            self.trouble = ui.label("").classes("trouble")
            self.facts = ui.element("div")

    def _build_controls(self) -> None:
        with ui.element("section").classes("plate"):
            ui.label("Change").props("role=heading aria-level=2").classes("name")
            self.selects: dict[str, ui.select] = {}
            self._shown: dict[str, Any] = {}
            """What each of them showed when the box last told, or when it was sent: all else is somebody's choice."""
            for name, word in WORDS.items():
                with ui.element("div").classes("choice"):
                    self.selects[name] = ui.select([], label=word).props("dense outlined")
                    ui.button("Set", on_click=self._setter(name)).props(f'outline no-caps aria-label="Set {word}"')
            with ui.element("div").classes("choice"):
                self.preset = ui.select(list(get_args(Preset)), label="Layers (HETERO)", value="split").props(
                    "dense outlined"
                )
                with ui.element("div").classes("line"):
                    ui.button(
                        "Plan", on_click=lambda: self._send("plan-affinity", {"preset": self.preset.value})
                    ).props("flat no-caps")
                    ui.button("Set", on_click=lambda: self._send("set-affinity", {"preset": self.preset.value})).props(
                        'outline no-caps aria-label="Set layers"'
                    )
            with ui.element("div").classes("line"):
                self.pause = ui.button("Pause", on_click=self._pause).props("outline no-caps")
                ui.button("Benchmark", on_click=lambda: self._send("benchmark", QUICK)).props("outline no-caps")
                self.spinner = ui.spinner(size="1.6rem").props('aria-label="the box is working on it"')
                self.spinner.set_visibility(False)
            self.answer = ui.element("div").classes("column").props("aria-live=polite")

    def _setter(self, name: str) -> Callable[[], Any]:
        field = "long_side" if name == "size" else name

        async def send() -> None:
            self._shown[name] = self.selects[name].value
            await self._send(CHOICES[name], {field: self.selects[name].value})

        return send

    def _facts(self, box: Box) -> None:
        state, metrics = box.agent.state, current(box)
        self.badge.set_text(status(box))
        self.badge.props(f"color={colour(box)}")
        shown = {
            "FPS": figure(metrics, "fps_mean"),
            "ms p95": figure(metrics, "latency_ms_p95"),
            "ms age p95": figure(metrics, "age_ms_p95"),
            "people": figure(metrics, "persons_mean"),
            "% CPU": figure(metrics, "cpu_percent", digits=0),
            "MB": figure(metrics, "rss_mb", digits=0),
            "°C": figure(metrics, "temperature_c", digits=0),
        }
        for name, text in shown.items():
            self.figures[name].set_text(text)
        error = state.last_error if state else None
        self.trouble.set_text(error or "")
        self.trouble.set_visibility(bool(error))
        rows = _what_runs(box)
        if self._is_new("facts", rows):
            self.facts.clear()
            with self.facts:
                answer.table(rows)
        if not self.read_only:
            self.pause.set_text("Resume" if state and state.status is Status.PAUSED else "Pause")

    def _choices(self, box: Box) -> None:
        state, info = box.agent.state, box.agent.info
        if self.read_only or state is None or info is None:
            return
        devices = [device.name for device in info.devices]
        together = ",".join(sorted(devices, key=lambda name: name.startswith("CPU")))
        several = [f"{mode}:{together}" for mode in ("MULTI", "HETERO", "AUTO")] if len(devices) > 1 else []
        models = {model.name: list(model.precisions) for model in info.models}
        offered: dict[str, list[Any]] = {
            "device": [*devices, "AUTO", *several],
            "precision": models.get(state.requested.model, ["FP32"]),
            "model": list(models),
            "hint": ["latency", "throughput"],
            "size": list(SIDES),
        }
        seen = max(state.input.width, state.input.height) if state.input else None
        for name, options in offered.items():
            now = seen if name == "size" else getattr(state.requested, name)
            known = [*options, *([now] if now is not None and now not in options else [])]
            if self._is_new(f"choice {name}", (known, now)):
                chosen = self.selects[name].value
                # What somebody has chosen and not sent yet stays chosen, whatever the box says meanwhile.
                pending = name in self._shown and chosen != self._shown[name] and chosen in known
                self.selects[name].set_options(known, value=chosen if pending else now)
                self._shown[name] = now

    def _zones(self, box: Box) -> None:
        state = box.agent.state
        zones = state.zones if state and box.online else {}
        people = {name: box.zones[name].persons if name in box.zones else None for name in zones}
        told = {
            name: {
                "polygon": [list(point) for point in zone.polygon],
                "mask": zone.mask,
                "people": number(people[name], digits=0),
            }
            for name, zone in zones.items()
        }
        self.live.show_zones(told)
        if self.read_only or not self._is_new("zones", sorted(zones)):
            return
        self.zone_list.clear()
        with self.zone_list:
            for name in sorted(zones):
                button = ui.button(name, icon="close", on_click=self._remover(name))
                button.props(f'flat dense no-caps size=sm aria-label="Take away zone {name}"')

    def _remover(self, name: str) -> Callable[[], Any]:
        return lambda: self._send_zones({each: zone for each, zone in self._zones_now().items() if each != name})

    def _zones_now(self) -> dict[str, Any]:
        box = self.hub.boxes.get(self.device)
        state = box.agent.state if box else None
        return {name: zone.model_dump(mode="json") for name, zone in state.zones.items()} if state else {}

    def _draw(self) -> None:
        if not self.zone_name.value:
            ui.notify("Name the zone first", type="warning")
            return
        self.live.draw_zone()

    async def _drawn(self, event: GenericEventArguments) -> None:
        if self.read_only:
            return
        made = {"polygon": event.args["polygon"], "mask": self.zone_mask.value, "dwell_s": self.zone_dwell.value or 0}
        wanted = self._zones_now() | {str(self.zone_name.value): made}
        await self._send_zones(wanted)

    async def _send_zones(self, zones: dict[str, Any]) -> None:
        try:
            TypeAdapter(Zones).validate_python(zones)
        except ValidationError as error:
            ui.notify(in_words(error), type="warning")
            return
        await self._send("set-zones", {"zones": zones})

    async def _pause(self) -> None:
        await self._send("resume" if self.pause.text == "Resume" else "pause", {})

    async def _picture(self) -> None:
        result = await self._send("snapshot", {})
        if result and isinstance(jpeg := result.get("jpeg"), str):
            self.live.show_picture(f"data:image/jpeg;base64,{jpeg}")

    def _jobs(self, box: Box) -> None:
        jobs = sorted(box.jobs.values(), key=lambda job: job.started_at, reverse=True)
        # What is made anew under a hand loses its click: a job that goes on only changes its words.
        if not self._is_new("jobs", [(job.id, job.status) for job in jobs]):
            for job in jobs:
                self._go_on(job)
            return
        self.jobs.clear()
        self.steps.clear()
        with self.jobs:
            if not jobs:
                ui.label("None today.").classes("soft")
            for job in jobs:
                self._job(job)

    def _job(self, job: Job) -> None:
        runs = job.status is JobStatus.RUNNING
        with ui.element("div").classes("column").style("gap:.2rem"):
            with ui.element("div").classes("head"):
                ui.label(f"{job.command} · {job.status.value}").classes("name")
                if runs and not self.read_only:
                    cancel = ui.button("Cancel", on_click=lambda: self._send("cancel", {"id": job.id}))
                    cancel.props("outline dense no-caps").classes("danger")
                if job.status is JobStatus.SUCCEEDED and job.command in {"benchmark", "sweep"}:
                    ui.link("Report", f"/report/{self.device}/{job.id}", new_tab=True)
            progress = ui.linear_progress(job.progress, show_value=False)
            progress.set_visibility(runs)
            self.steps[job.id] = (progress, ui.label().classes("soft"))
            self._go_on(job)
            if job.error is not None:
                ui.label(f"{job.error.message} {job.error.hint}").classes("trouble")

    def _go_on(self, job: Job) -> None:
        progress, words = self.steps[job.id]
        progress.set_value(job.progress)
        progress.props(f'aria-label="{job.progress:.0%} done"')
        words.set_text(f"{job.progress:.0%} · {job.step} · {clock(job.started_at)}")

    def _events(self, box: Box) -> None:
        events = list(box.events)[-EVENTS_SHOWN:]
        if not self._is_new("events", [(event.sent_at, event.code) for event in events]):
            return
        self.events.clear()
        with self.events:
            if not events:
                ui.label("Nothing since this page's program was started.").classes("soft")
            for event in reversed(events):
                with ui.element("div"):
                    ui.label(clock(event.sent_at)).classes("soft")
                    ui.label(f"{event.code}: {event.message}").classes(f"severity-{event.severity.value}")

    async def _send(self, command: str, args: dict[str, Any]) -> dict[str, Any] | None:
        """Carry out a command and show its answer; what it brought, if anything."""
        if self.read_only:
            return None
        # Whoever takes a job back does not wait for what the box is working on.
        takes_back = command == "cancel"
        if self.working and not takes_back:
            self._tell(f"{command}: not sent, the box is still working on the command before", "wait for its answer")
            return None
        self.working = self.working or not takes_back
        self.spinner.set_visibility(True)
        try:
            outcome = await run.io_bound(self.hub.command, self.device, command, args)
        except ControllerError as error:
            self._tell(f"{command}: {error}", error.hint)
            return None
        finally:
            self.working = self.working and takes_back
            self.spinner.set_visibility(self.working)
        if outcome is None:  # the page's server is ending
            return None
        self.answer.clear()
        with self.answer:
            answer.show(outcome)
        return outcome.reply.result if outcome.reply else None

    def _tell(self, text: str, hint: str) -> None:
        self.answer.clear()
        with self.answer:
            ui.label(text).classes("trouble")
            ui.label(hint).classes("soft")

    def _is_new(self, part: str, told: object) -> bool:
        """Whether a part is to be made anew, which is then taken as done."""
        if part in self.told and self.told[part] == told:
            return False
        self.told[part] = told
        return True


def _plate(title: str, inner: str) -> ui.element:
    with ui.element("section").classes("plate"):
        ui.label(title).props("role=heading aria-level=2").classes("name")
        return ui.element("div").classes(inner)


def _what_runs(box: Box) -> list[tuple[str, ...]]:
    state, info = box.agent.state, box.agent.info
    rows: list[tuple[str, ...]] = []
    if state is not None:
        asked, now = state.requested, state.effective
        rows += [("network", asked.model), ("asked for", f"{asked.device}, {asked.precision}")]
        if now is not None:
            rows.append(("runs on", f"{', '.join(now.execution_devices)} in {now.inference_precision}"))
        rows += [("camera", f"{state.camera.status}: {state.camera.source}"), ("since", clock(state.since))]
    if info is not None:
        host = info.host
        rows += [
            ("box", f"{host.hostname}, {host.cpu}"),
            ("version", f"{info.agent_version}, OpenVINO {info.openvino_version}"),
        ]
    return rows
