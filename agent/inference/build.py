"""From a card to what a lane runs: its engine, or the engines of its two stages as one."""

from collections.abc import Callable
from dataclasses import replace

from agent.errors import ConfigError
from agent.inference.engine import Engine
from agent.inference.network import Network
from agent.inference.pair import DETECTED, Pair, Stages
from agent.inference.spec import EngineSpec
from agent.poses.decoders import detector_for
from agent.wire.devices import DeviceString
from models.shelf.catalogue import NetworkCard, Precision
from models.shelf.store import Store

Build = Callable[[NetworkCard, EngineSpec], Engine]
"""Makes the engine of one card; raises as it likes."""
COARSER: dict[Precision, tuple[Precision, ...]] = {
    "FP32": ("FP32",),
    "FP16": ("FP16", "FP32"),
    "INT8": ("INT8", "FP16", "FP32"),
}
"""What a detector runs in, the first that is here, for what is asked of the whole."""


def build(store: Store, card: NetworkCard, spec: EngineSpec, stages: Stages, make: Build) -> Network:
    """What runs ``card`` as ``spec`` says; of two stages its input size is the detector's.

    Raises ModelError where the detector is missing, ConfigError where a device is named for one that there is none,
    and whatever ``make`` raises.
    """
    if card.detector is None:
        if spec.detector is not None:
            raise ConfigError(
                f"{card.name} has one stage, and no detector that could run on {spec.detector}",
                hint="name the one device it is to run on",
            )
        return make(card, spec)
    front = store.card(card.detector)
    # Several people are there to be computed side by side: each on a core of its own costs less than all on all cores.
    pose_spec = replace(spec, height=card.input.height, width=card.input.width, hint="throughput", detector=None)
    detector = make(front, detector_spec(store, front, spec))
    try:
        pose = make(card, pose_spec)
    except BaseException:
        detector.close()
        raise
    size = (spec.height, spec.width)
    find = detector_for(front, size, score_min=DETECTED).decode
    joints = next(iter(card.decoder.heads.values())).channels
    whole = replace(spec, device=pose.spec.device)
    return Pair(whole, detector, pose, find, joints=joints, bins=card.decoder.bins, stages=stages)


def detector_spec(store: Store, front: NetworkCard, spec: EngineSpec) -> EngineSpec:
    """How the detector runs beside a pose network that runs as ``spec`` says.

    In the same precision, or in the next better one that is here. An affinity is of the pose network's layers, and a
    batch of several people; the detector has one picture at a time. It runs on ``spec.detector``, where that is set.
    Raises ModelError where it is not installed.
    """
    present = store.precisions(front.name)
    precision = next((each for each in COARSER[spec.precision] if each in present), present[0])
    device = DeviceString.parse(spec.detector or spec.device)
    return replace(
        spec,
        model=front.name,
        precision=precision,
        device=device.members[0] if device.mode == "BATCH" else str(device),
        detector=None,
        affinity=None,
        requests=None,
    )
