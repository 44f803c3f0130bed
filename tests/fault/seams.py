"""Where one part of the agent hands over to another: an exception is let loose at each."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Seam:
    """A function of the agent; what is sent makes the agent pass it, where frames and metrics alone do not."""

    place: str
    """``module:attribute``."""
    send: str = ""
    """A command and its argument."""
    at_start: bool = False
    """It is passed before the agent runs."""


SEAMS: Final = {
    # frames
    "open": Seam("agent.assembly:open_source", at_start=True),
    "grab": Seam("agent.capture.reader:FolderReader.grab"),
    "retrieve": Seam("agent.capture.reader:FolderReader.retrieve"),
    "frame": Seam("agent.capture.picture:Framer.frame"),
    "presence": Seam("agent.capture.presence:Presence.flowing"),
    "read": Seam("agent.capture.live:LiveSource.read"),
    "count": Seam("agent.capture.live:LiveSource.counts"),
    "acquire": Seam("agent.inference.engine:Engine.acquire"),
    "prepare": Seam("agent.inference.engine:prepare"),
    "infer": Seam("agent.inference.engine:Slot.start"),
    "wait": Seam("agent.inference.engine:Slot.wait"),
    "outputs": Seam("agent.poses.movenet:MoveNetDecoder.decode"),
    "release": Seam("agent.inference.engine:Engine.release"),
    "track": Seam("agent.tracking.tracker:Tracker.update"),
    "smooth": Seam("agent.tracking.smoother:Smoother.update"),
    "encode": Seam("agent.assembly:encode_keypoints"),
    "sample": Seam("agent.control.samples:Samples.offer"),
    "time": Seam("agent.observe.telemetry:Telemetry.add"),
    # to the broker
    "keypoints": Seam("agent.link.link:Link.keypoints"),
    "announce": Seam("agent.link.link:Link.announce"),
    "turn": Seam("agent.link.session:Session.turn"),
    "settle": Seam("agent.link.session:Session.settle"),
    "hand-over": Seam("agent.link.link:Link._hand_over"),
    "deliver": Seam("agent.link.link:Link._deliver"),
    "said": Seam("agent.link.outbox:Outbox.said"),
    "paho": Seam("paho.mqtt.client:Client.loop_read"),
    "callback": Seam("agent.link.session:Session._on_message", "describe"),
    # the supervisor
    "devices": Seam("agent.assembly:list_devices", at_start=True),
    "engine": Seam("agent.control.workshop:build_checked", at_start=True),
    "ready": Seam("agent.app:Agent._on_ready", at_start=True),
    "tick": Seam("agent.control.control:Control.tick"),
    "clock": Seam("agent.service.clock:WallClock.jump"),
    "systemd": Seam("agent.service.systemd:Service.turn"),
    "happening": Seam("agent.inbox:Inbox.get"),
    "event": Seam("agent.app:Agent._event", "set-device SIMCPU"),
    "window": Seam("agent.observe.telemetry:Telemetry.take"),
    "host": Seam("agent.observe.host:ProcessMeter.figures"),
    "metrics": Seam("agent.app:metrics_message"),
    "state": Seam("agent.output.messages:Standing.message", "set-device SIMCPU"),
    "inbox": Seam("agent.inbox:Inbox.put_command", "describe"),
    "take": Seam("agent.control.control:Control.take", "describe"),
    "decode": Seam("agent.control.control:decode", "describe"),
    "happened": Seam("agent.control.control:Control.happened", "describe"),
    "step": Seam("agent.control.control:step", "describe"),
    "reply": Seam("agent.link.link:Link.reply", "describe"),
    "save": Seam("agent.control.journal:Journal.save", "set-device SIMCPU"),
    "disk": Seam("agent.control.journal:replace_file", "set-device SIMCPU"),
    # work beside it
    "begin": Seam("agent.control.works:Works.begin", "set-device SIMCPU"),
    "build": Seam("agent.control.workshop:Workshop.build", "set-device SIMCPU"),
    "compile": Seam("agent.inference.checked:build_engine", "set-device SIMCPU"),
    "check": Seam("agent.inference.checked:check", "set-device SIMCPU"),
    "frames": Seam("agent.control.samples:Samples.frames", "set-device SIMCPU"),
    "swap": Seam("agent.pipeline:Pipeline.replace", "set-device SIMCPU"),
    "measure": Seam("agent.observe.telemetry:Telemetry.pace", "set-device SIMCPU"),
    "over": Seam("agent.control.control:Control.over", "set-device SIMCPU"),
    "retire": Seam("agent.inference.engine:Engine.close", "set-device SIMCPU"),
    "job": Seam("agent.control.studying:Studies.run", "benchmark"),
}
