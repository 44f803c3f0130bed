"""Makes the pictures of the README anew: ``python -m tests.docs.picture``.

Both hold only what the product made of the sample clip: the poses of one frame on an empty canvas, so that no footage
is shipped, and the demo's table as it stands after some seconds.
"""

import io
import queue
import re
import tempfile
import threading
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console

from agent.app import Agent
from agent.capture import open_source
from agent.capture.frame import Frame
from agent.config.tree import Camera, InputSize, Log
from agent.demo import _configuration, _table, _watch, embedded_broker
from agent.inference.devices import open_core
from agent.inference.engine import build_engine
from agent.inference.spec import EngineSpec, input_size
from agent.observe import logs
from agent.pipeline import infer
from agent.poses.decoders import decoder_for
from agent.poses.drawing import draw
from agent.poses.skeleton import Poses
from models.getting.fetch import fetch
from models.shelf import catalogue
from models.shelf.store import Store, models_dir

DOCS = Path(__file__).parents[2] / "docs"
NETWORK = "movenet-multipose"
FRAME = 735
"""Eight people, all of them whole."""
LONG_SIDE = 768
"""The people of the clip are small: the network sees it at its full width."""
SCORE_MIN = 0.3
ENLARGED = 2
MARGIN = 50
"""Pixels of the frame left around everybody."""
CANVAS_BGR = (30, 22, 18)
DEMO_S = 20.0
COLUMNS = 60
NEEDLESS = re.compile(r"@font-face \{.*?\}\s*|<!--.*?-->\s*| clip-path=\"[^\"]*-line-\d+\)\"", re.DOTALL)
"""Of rich's SVG: a font from the web, its advertisement, and line clips that cut other fonts' underscores."""


def frame_of_clip(store: Store, number: int) -> Frame:
    """One frame of the sample clip, counted from 0."""
    camera = Camera(source="clip:vtest", pace="fast", lossless=True)
    with closing(open_source(camera, resolve_clip=store.clip, notify=lambda _event: None)) as source:
        for _ in range(number):
            source.read(5.0)
        frame = source.read(5.0)
    assert frame is not None, f"the clip has no frame {number}"
    return frame


def poses_of(frame: Frame, store: Store) -> Poses:
    """Everybody in the frame, found as the agent finds them."""
    card = catalogue.network(NETWORK)
    decoder = decoder_for(card, person_score_min=SCORE_MIN, persons_max=20)
    height, width = input_size(InputSize(long_side=LONG_SIDE), card, frame)
    spec = EngineSpec(NETWORK, "CPU", "FP32", height, width)
    with build_engine(open_core({}), card, store.variant(NETWORK, "FP32"), spec, decoder.roles, None) as engine:
        return infer(engine, decoder, frame)


def skeletons(store: Store) -> bytes:
    """Skeletons on an empty canvas that ends around the people, as PNG."""
    frame = frame_of_clip(store, FRAME)
    found = poses_of(frame, store)
    corner = found.boxes[:, :2].min(axis=0) - MARGIN
    width, height = (found.boxes[:, :2] + found.boxes[:, 2:]).max(axis=0) + MARGIN - corner
    keypoints, boxes = found.keypoints.copy(), found.boxes.copy()
    keypoints[:, :, :2] = (keypoints[:, :, :2] - corner) * ENLARGED
    boxes[:, :2] -= corner
    poses = Poses(keypoints, boxes * np.float32(ENLARGED), found.scores)
    canvas = np.full((round(height * ENLARGED), round(width * ENLARGED), 3), CANVAS_BGR, np.uint8)
    done, png = cv2.imencode(".png", draw(canvas, poses, range(len(poses))), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert done, "OpenCV could not write PNG"
    return png.tobytes()


def table() -> str:
    """The demo's table after some seconds, as SVG that fetches nothing."""
    with embedded_broker(1883) as ports, tempfile.TemporaryDirectory() as state:
        config = _configuration(ports[0], None, None, Path(state))
        agent = Agent(config)
        ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        threading.Thread(target=lambda: ended.put(agent.run()), name="agent", daemon=True).start()
        try:
            seen = _watch(config, Console(file=io.StringIO()), DEMO_S, ended, ports, None)
        finally:
            agent.stop("the picture is taken")
            ended.get(timeout=10)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(_table(seen, ports, None), "")
    return NEEDLESS.sub("", console.export_svg(title="make demo"))


def main() -> None:
    """Write both."""
    logs.setup(Log(level="warning"))
    store = Store(models_dir())
    for name in (NETWORK, "vtest"):
        fetch(catalogue.card(name), store)
    # The table first: its figure of the memory is to be the agent's alone.
    (DOCS / "demo.svg").write_text(table(), encoding="utf-8")
    (DOCS / "demo.png").write_bytes(skeletons(store))


if __name__ == "__main__":
    main()
