"""Beside Ultralytics' own predict: ``make yolo-agreement``.

Exports of YOLOv8n-pose, YOLO11n-pose and YOLO26n-pose with random weights, made by Ultralytics in an environment of its
own, are installed as a user would and run; every person is compared with those of their predict, in pixels of the
picture. ``--record`` keeps a sample of their raw outputs for the suite.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.capture.frame import Frame
from agent.config.tree import InputSize
from agent.inference.letterbox import Letterbox
from agent.poses.decoders import roles_of
from agent.poses.skeleton import Poses
from agent.poses.yolo import YoloDecoder
from models.getting.own import add
from models.judging.run import Runner
from models.shelf.store import Store
from tests.benchmarks.peers import python
from tests.poses.yolo_agreement_inside import CONF, HEIGHT, IOU, NETWORKS, PICTURES, WIDTH
from tests.tools import RigError, run

Floats = NDArray[np.float32]

HERE: Final = Path(__file__).parent
SAMPLE: Final = HERE / "yolo_agreement.npz"
AGREED_PX: Final = 0.2


@dataclass(frozen=True, slots=True)
class Seen:
    """One picture, as one network and their predict saw it."""

    network: str
    picture: str
    raw: Floats
    """(1, 56, 32) or (1, 32, 57): the best guesses of the network's output."""
    boxes: Floats
    """(N, 4): of predict's people, x1, y1, x2, y2 in pixels of the picture."""
    scores: Floats
    """(N,)"""
    keypoints: Floats
    """(N, 17, 3): x and y in pixels of the picture, score."""

    def decoded(self) -> Poses:
        """People of the raw output by this project's decoder."""
        decoder = YoloDecoder(person_score_min=CONF, persons_max=len(self.raw[0].T), nms_iou=IOU)
        height, width = PICTURES[self.picture]
        letterbox = Letterbox.fit((0, 0, width, height), (HEIGHT, WIDTH), centred=True)
        return decoder.decode((self.raw,), letterbox).within(width, height)

    def apart(self, poses: Poses) -> tuple[float, float]:
        """The largest difference of a box or joint in pixels of the picture, and of a score.

        Beyond the border they end at the picture's width, this project at its last pixel: that is no difference. Raises
        ValueError where there are more or fewer people.
        """
        if len(poses) != len(self.scores):
            raise ValueError(
                f"{self.network}, {self.picture}: {len(self.scores)} people of theirs, {len(poses)} of ours"
            )
        height, width = PICTURES[self.picture]
        joints = np.minimum(self.keypoints[..., :2], np.array((width - 1, height - 1), np.float32))
        boxes = np.concatenate((poses.boxes[:, :2], poses.boxes[:, :2] + poses.boxes[:, 2:]), axis=1)
        px = max(np.abs(poses.keypoints[..., :2] - joints).max(), np.abs(boxes - self.boxes).max())
        seen = np.abs(poses.keypoints[..., 2] - self.keypoints[..., 2]).max()
        return float(px), float(max(np.abs(poses.scores - self.scores).max(), seen))


def sample(path: Path = SAMPLE) -> Iterator[Seen]:
    """Every network and picture of a file."""
    with np.load(path) as kept:
        for network in NETWORKS:
            for picture in PICTURES:
                parts = {part: kept[f"{network}.{picture}.{part}"] for part in ("raw", "boxes", "scores", "keypoints")}
                yield Seen(network, picture, **parts)


def install(network: str, folder: Path, store: Store) -> None:
    """Install an export with the shipped example card, edited as the guide says."""
    text = (files("models") / "cards" / "examples" / "my-yolo.toml").read_text(encoding="utf-8")
    (xml,) = (folder / network).glob("*_openvino_model/*.xml")
    edits = {
        'name = "my-yolo"': f'name = "{network}"',
        "height = 640": f"height = {HEIGHT}",
        "width = 640": f"width = {WIDTH}",
        "nms_iou = 0.7": f"nms_iou = {IOU}",
        'FP32 = "yolo11n-pose.xml"': f'FP32 = "{xml.name}"',
    }
    if NETWORKS[network]:
        edits["channels = 56"] = "channels = 57, axis = 2"
    for old, new in edits.items():
        text = text.replace(old, new)
    card = folder / f"{network}.toml"
    card.write_text(text, encoding="utf-8")
    add(card, xml.parent, store, roles_of)


def compare(folder: Path) -> float:
    """Print each network beside predict, and return the largest difference in pixels."""
    store, worst = Store(folder / "models"), 0.0
    print("| network | picture | people | decoder: px | score | whole run: px | score |\n|---|---|---|---|---|---|---|")
    for network in NETWORKS:
        install(network, folder, store)
        with Runner(network, store, precision="FP32", device="CPU", size=InputSize(), score_min=CONF) as runner:
            for seen in sample(folder / "sample.npz"):
                if seen.network != network:
                    continue
                picture = np.asarray(cv2.imread(str(folder / f"{seen.picture}.png")), np.uint8)
                ours = runner.poses(Frame(picture, 0, datetime.now(UTC), 0.0, 0.0))
                (px, score), (run_px, run_score) = seen.apart(seen.decoded()), seen.apart(ours)
                worst = max(worst, px, run_px)
                cells = f"{px:.4f} | {score:.6f} | {run_px:.4f} | {run_score:.6f}"
                print(f"| {network} | {seen.picture} | {len(ours)} | {cells} |", flush=True)
    return worst


def main() -> int:
    """Entry point: 1 where they do not agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="keep the sample for the suite")
    parser.add_argument("--made", type=Path, metavar="FOLDER", help="what was made before, instead of making it")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = arguments.made or Path(name)
            if arguments.made is None:
                run([python(), HERE / "yolo_agreement_inside.py", folder], "exports")
            worst = compare(folder)
            if arguments.record:
                shutil.copy(folder / "sample.npz", SAMPLE)
    except (RigError, ValueError) as problem:
        print(problem, file=sys.stderr)
        return 1
    print(f"largest difference: {worst:.4f} px")
    return int(worst > AGREED_PX)


if __name__ == "__main__":
    sys.exit(main())
