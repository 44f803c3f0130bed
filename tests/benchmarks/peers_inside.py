"""What runs in the peers' own environment; prints JSON.

    peers_inside.py export
    peers_inside.py ultralytics NETWORK CLIP SECONDS
    peers_inside.py rtmlib DETECTOR POSE BACKEND PERIOD CLIP SECONDS
    peers_inside.py mediapipe CLIP SECONDS

It imports nothing of this project, and this project imports nothing of theirs.
"""

import json
import sys
import time
from collections.abc import Iterator
from functools import partial

SIZE = 384
DETECTOR_SIZE = (416, 416)


def export() -> str:
    """Make the network with random weights and one class, a person; the folder of its OpenVINO form."""
    from ultralytics import YOLO  # type: ignore[import-not-found]  # noqa: PLC0415 - each side is a program of its own
    from ultralytics.nn.tasks import yaml_model_load  # type: ignore[import-not-found]  # noqa: PLC0415

    plan = yaml_model_load("yolo11n-pose.yaml") | {"nc": 1}
    with open("yolo11n-pose.yaml", "w", encoding="utf-8") as file:  # noqa: PTH123 - as their own code does
        json.dump(plan, file)  # which is YAML as well
    return str(YOLO("yolo11n-pose.yaml").export(format="openvino", imgsz=SIZE, verbose=False))


def ultralytics(network: str, clip: str) -> Iterator[int]:
    """The clip again and again through predict, as it comes out of the box; people of each frame."""
    from ultralytics import YOLO  # noqa: PLC0415

    model = YOLO(network, task="pose")
    while True:
        for result in model.predict(source=clip, imgsz=SIZE, stream=True, verbose=False):
            yield len(result)


def rtmlib(detector: str, pose: str, backend: str, period: int, clip: str) -> Iterator[int]:
    """The clip again and again through a PoseTracker that detects every so many frames; people of each frame."""
    import cv2  # noqa: PLC0415
    from rtmlib import Custom, PoseTracker  # type: ignore[import-not-found]  # noqa: PLC0415

    networks = {
        "det_class": "YOLOX",
        "det": detector,
        "det_input_size": DETECTOR_SIZE,
        "pose_class": "RTMPose",
        "pose": pose,
        "pose_input_size": (192, 256),
    }
    # Its ids are left out: between detections they are taken for places in a list, and people are lost with them.
    solution = partial(Custom, **networks)
    look = PoseTracker(solution, det_frequency=period, tracking=False, backend=backend, device="cpu")
    while True:
        video = cv2.VideoCapture(clip)
        while (read := video.read())[0]:
            yield len(look(read[1])[0])


def mediapipe(clip: str) -> Iterator[int]:
    """The clip again and again through its tracker of one person, the middle network; people of each frame."""
    import cv2  # noqa: PLC0415
    from mediapipe.python.solutions.pose import Pose  # type: ignore[import-not-found]  # noqa: PLC0415

    with Pose(model_complexity=1) as look:
        while True:
            video = cv2.VideoCapture(clip)
            while (read := video.read())[0]:
                yield int(look.process(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)).pose_landmarks is not None)


def measured(people: Iterator[int], seconds: float) -> dict[str, float]:
    """From the second frame on, when everything has been compiled."""
    next(people)
    began_s, before_s, frames, persons = time.perf_counter(), time.process_time(), 0, 0
    while (elapsed_s := time.perf_counter() - began_s) < seconds or not frames:
        persons += next(people)
        frames += 1
    cpu_ms, age_ms = (time.process_time() - before_s) / frames * 1e3, elapsed_s / frames * 1e3
    return {"fps": frames / elapsed_s, "cpu_ms": cpu_ms, "age_ms": age_ms, "persons": persons / frames}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["export"]:
            print(json.dumps(export()))
        case ["ultralytics", network, clip, seconds]:
            print(json.dumps(measured(ultralytics(network, clip), float(seconds))))
        case ["rtmlib", detector, pose, backend, period, clip, seconds]:
            print(json.dumps(measured(rtmlib(detector, pose, backend, int(period), clip), float(seconds))))
        case ["mediapipe", clip, seconds]:
            print(json.dumps(measured(mediapipe(clip), float(seconds))))
