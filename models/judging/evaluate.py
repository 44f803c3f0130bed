"""Accuracy as a command: OKS average precision of a network on a folder of COCO-annotated pictures.

The metric is pycocotools' own.
"""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from agent.capture.frame import Frame
from agent.config.tree import InputSize
from agent.errors import ModelError
from agent.poses.skeleton import Poses
from models.judging.run import Runner, describe
from models.shelf.catalogue import Precision
from models.shelf.store import Store

SCORE_MIN = 0.01
"""Average precision integrates over all scores: a threshold would only cut its tail."""

EXPECTED = "expected COCO's person_keypoints format: images, annotations with keypoints, the category person"


@dataclass(frozen=True, slots=True)
class Accuracy:
    """OKS figures over the annotated people, as pycocotools defines them; -1 where nothing is annotated."""

    network: str
    precision: str
    inference_precision: str
    device: str
    input: str
    pictures: int
    ap: float
    ap50: float
    ap75: float
    ar: float


def evaluate(  # noqa: PLR0913 - one for each option of the command
    name: str,
    store: Store,
    *,
    precision: Precision,
    device: str,
    size: InputSize,
    images: Path,
    annotations: Path,
    true_boxes: bool = False,
) -> Accuracy:
    """Run ``name`` over the pictures and compare with the annotations.

    With ``true_boxes`` a network of two stages is told where the annotated people are, and its detector is not asked.
    Raises ModelError for data that does not fit.
    """
    truth = _load(annotations)
    results: list[dict[str, Any]] = []
    with Runner(name, store, precision=precision, device=device, size=size, score_min=SCORE_MIN) as runner:
        pictures = 0
        for image_id, frame in _pictures(truth, images):
            poses = runner.poses_of(frame, _boxes(truth, image_id)) if true_boxes else runner.poses(frame)
            results += _as_coco(image_id, _person(truth), poses)
            pictures += 1
        facts = runner.facts
    ap, ap50, ap75, ar = _score(truth, results)
    return Accuracy(
        network=name,
        precision=precision,
        inference_precision=facts.inference_precision,
        device=device,
        input="true boxes" if true_boxes else describe(size, store.seeing(store.card(name))),
        pictures=pictures,
        ap=ap,
        ap50=ap50,
        ap75=ap75,
        ar=ar,
    )


def _load(annotations: Path) -> COCO:
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            truth = COCO(annotations)
        _require_people(truth)
    except (OSError, ValueError) as error:
        raise ModelError(f"{annotations} is not COCO JSON: {error}", hint=EXPECTED) from error
    # pycocotools takes the format for granted: what it raises depends on where a document first differs.
    except (LookupError, TypeError, AttributeError, AssertionError) as error:
        raise ModelError(f"{annotations} is not COCO JSON: {error!r}", hint=EXPECTED) from error
    return truth


def _require_people(truth: COCO) -> None:
    if not truth.getCatIds(catNms=["person"]):
        raise ValueError("there is no category `person`")
    people = truth.loadAnns(truth.getAnnIds(catIds=[_person(truth)]))
    if not people:
        raise ValueError("nobody is annotated")
    for person in people:
        if len(person.get("keypoints", ())) != 51 or "num_keypoints" not in person:
            raise ValueError(f"annotation {person['id']} lacks num_keypoints or its 17 keypoints")
    for image in truth.loadImgs(truth.getImgIds()):
        if "file_name" not in image:
            raise ValueError(f"image {image['id']} has no file_name")


def _person(truth: COCO) -> int:
    return int(truth.getCatIds(catNms=["person"])[0])


def _pictures(truth: COCO, images: Path) -> Iterator[tuple[int, Frame]]:
    for image_id in sorted(truth.getImgIds()):
        path = images / truth.loadImgs([image_id])[0]["file_name"]
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise ModelError(f"{path}, which the annotations name, cannot be read as a picture")
        yield image_id, Frame(image.astype("uint8"), 0, datetime.now(UTC), 0.0, 0.0)


def _boxes(truth: COCO, image_id: int) -> NDArray[np.float32]:
    people = truth.loadAnns(truth.getAnnIds(imgIds=[image_id], catIds=[_person(truth)], iscrowd=False))
    boxes = [person["bbox"] for person in people if person["num_keypoints"] > 0]
    return np.array(boxes, np.float32).reshape(-1, 4)


def _as_coco(image_id: int, category_id: int, poses: Poses) -> list[dict[str, Any]]:
    return [
        {"image_id": image_id, "category_id": category_id, "keypoints": joints.ravel().tolist(), "score": float(score)}
        for joints, score in zip(poses.keypoints, poses.scores, strict=True)
    ]


def _score(truth: COCO, results: list[dict[str, Any]]) -> tuple[float, float, float, float]:
    if not results:
        return 0.0, 0.0, 0.0, 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        scored = COCOeval(truth, truth.loadRes(results), "keypoints")
        scored.params.catIds = [_person(truth)]
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    ap, ap50, ap75, _, _, ar, *_ = (float(figure) for figure in scored.stats)
    return ap, ap50, ap75, ar
