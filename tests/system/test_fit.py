"""A real agent fits input, precision and hint to the camera, remembers them, and is overruled."""

import signal
from functools import partial
from pathlib import Path
from typing import Final

from agent.wire.commands import ReplyStatus
from agent.wire.messages import Event, State
from tests.broker import Broker
from tests.system.process import DEMO
from tests.system.study_faults import TOPICS, Rig

SIDES: Final = (128, 160)
ALSO: Final = f"""
import agent.benchmark.choice, agent.benchmark.fit, agent.benchmark.tune, agent.control.fitting
agent.benchmark.choice.KEPT = 0.0  # a busy machine finishes fewer frames
agent.benchmark.tune.SIDES = {SIDES}
agent.benchmark.fit.LOOK_S, agent.benchmark.fit.PACED_MIN = 0.3, 1
agent.control.fitting.SETTLED_S, agent.control.fitting.RATE_S = 0.1, 2.0
"""
SLOW: Final = {
    "EDGEPOSE_MODEL__INPUT__LONG_SIDE": "0",
    "EDGEPOSE_MODEL__FIT_AGE_MS": "60000",
    "EDGEPOSE_CAMERA__FPS_MAX": "2",
}
"""A camera and an age that any machine holds."""
NAMED: Final = ("precision = ", "hint = ")
"""What the demo's configuration names, and a fresh box's does not."""


def asked_for(name: str, value: str, state: State) -> bool:
    return bool(getattr(state.requested, name) == value)


def codes(rig: Rig) -> list[str]:
    return [Event.decode(payload).code for payload in rig.heard.payloads(TOPICS.event)]


def restarted(rig: Rig) -> None:
    assert rig.end(signal.SIGTERM, 60) == 0
    rig.start()


def fresh(folder: Path) -> str:
    """A configuration that leaves precision and hint open."""
    lines = Path(DEMO).read_text(encoding="utf-8").splitlines()
    path = folder / "fresh.toml"
    path.write_text("\n".join(line for line in lines if not line.startswith(NAMED)), encoding="utf-8")
    return str(path)


def test_what_fits(broker: Broker, tmp_path: Path) -> None:
    """From what a fresh box runs to what was measured; again after a restart; not against who asks for another."""
    with Rig(tmp_path, broker, also=ALSO, config=fresh(tmp_path), **SLOW) as rig:
        own = rig.runs(lambda state: state.input is not None).input
        assert own is not None
        assert (own.width, own.height, own.chosen_by, own.fitted) == (256, 256, "network", None)
        rig.told("input.fitted")
        state = rig.runs(lambda state: state.input is not None and state.input.fitted is not None)
        assert state.input is not None
        assert state.input.fitted is not None
        fitted = state.input
        assert fitted.width in SIDES
        assert fitted.height < fitted.width, "the short side follows the camera"
        assert fitted.chosen_by == "configuration"
        assert (state.input.fitted.age_ms_max, state.input.fitted.device) == (60_000.0, "CPU")
        assert state.input.fitted.chosen == ("input", "precision", "hint")
        assert state.effective is not None
        assert state.effective.model_precision == state.input.fitted.precision
        assert (state.version, state.requested.long_side) == (0, None), "nobody has asked for it"
        rig.flows()

        restarted(rig)
        state = rig.runs(lambda state: state.input is not None and state.input.fitted is not None)
        assert state.input == fitted
        assert state.effective is not None
        assert state.effective.engine == 1, "it is the first engine"
        assert fitted.fitted is not None
        assert state.effective.model_precision == fitted.fitted.precision
        rig.flows()

        assert rig.heard.ask("set-input", long_side=96, timeout_s=120).status is ReplyStatus.SUCCEEDED
        state = rig.runs(lambda state: state.requested.long_side == 96)
        assert state.input is not None
        assert (state.input.width, state.input.chosen_by, state.input.fitted) == (96, "command", None)
        assert "input.fitted" not in codes(rig), "it was measured again"
        restarted(rig)
        rig.flows()
        state = rig.runs(lambda state: state.requested.long_side == 96)
        assert state.input is not None
        assert state.input.width == 96

        assert rig.heard.ask("set-input", long_side=None, timeout_s=120).status is ReplyStatus.SUCCEEDED
        state = rig.runs(lambda state: state.input is not None and state.input.fitted is not None)
        assert state.input == fitted

        for name, value in (("precision", "FP32"), ("hint", "latency")):
            assert rig.heard.ask(f"set-{name}", **{name: value}, timeout_s=120).status is ReplyStatus.SUCCEEDED
            state = rig.runs(partial(asked_for, name, value))
            assert state.input is not None
            assert state.input.width == fitted.width, f"set-{name} took back the size that fits"
        restarted(rig)
        state = rig.runs(lambda state: state.effective is not None and state.effective.model_precision == "FP32")
        assert state.requested.hint == "latency"
        assert state.input is not None
        assert state.input.width == fitted.width, "the size nobody has named"
        rig.flows()
