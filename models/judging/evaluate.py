"""Accuracy as a command: OKS average precision of a network on a folder of COCO-annotated pictures.

The metric is pycocotools' own.
"""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json

from agent.capture.frame import Frame
from agent.config.tree import InputSize
from agent.errors import ModelError
from agent.poses.skeleton import Poses
from agent.wire.wording import cause_of
from models.getting.progress import Tell, untold
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
    tell: Tell = untold,
) -> Accuracy:
    """Run ``name`` over the pictures and compare with the annotations; ``tell`` hears before each of them.

    With ``true_boxes`` a network of two stages is told where the annotated people are, and its detector is not asked.
    Raises ModelError for data that does not fit.
    """
    truth = _load(annotations)
    results: list[dict[str, Any]] = []
    with Runner(name, store, precision=precision, device=device, size=size, score_min=SCORE_MIN) as runner:
        pictures = 0
        count = len(truth.getImgIds())
        for image_id, frame in _pictures(truth, images):
            tell(f"{name}@{precision}: picture {pictures + 1} of {count}", pictures / count)
            poses = (
                runner.poses_of(frame, annotated_boxes(truth, image_id, frame)) if true_boxes else runner.poses(frame)
            )
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


class _Part(BaseModel):
    """What is read of COCO's format; the rest of it is left alone."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Image(_Part):
    id: int
    file_name: str = Field(min_length=1)


class _Category(_Part):
    id: int
    name: str


class _Annotation(_Part):
    category_id: int
    image_id: int


class _Person(_Annotation):
    keypoints: list[float] = Field(min_length=51, max_length=51)
    num_keypoints: int = Field(ge=0)
    iscrowd: Literal[0, 1]
    bbox: list[float] = Field(min_length=4, max_length=4)
    area: float = Field(ge=0)

    @property
    def counts(self) -> bool:
        """Whether a network has to find them; others are neither asked for nor counted as made up."""
        return self.num_keypoints > 0 and not self.iscrowd


class _Document(_Part):
    images: list[_Image] = Field(min_length=1)
    annotations: list[_Annotation]
    categories: list[_Category]


class _People(_Part):
    annotations: dict[int, _Person]


def _load(annotations: Path) -> COCO:
    """Read and check annotations: pycocotools takes the format for granted, and answers some faults with a figure."""
    truth = COCO()
    try:
        truth.dataset = _checked(from_json(annotations.read_bytes()))
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) else cause_of(error, "the document")
        raise ModelError(f"{annotations} is not COCO JSON: {told}", hint=EXPECTED) from error
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truth.createIndex()
    return truth


def _checked(document: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """The document with its people's annotations alone. Raises ValueError."""
    shape = _Document.model_validate(document)
    person = next((category.id for category in shape.categories if category.name == "person"), None)
    if person is None:
        raise ValueError("there is no category `person`")
    images = {image.id for image in shape.images}
    if len(images) < len(shape.images):
        raise ValueError("two images have the same id")
    # By pycocotools a person whose id is 0 is found by nobody, and two with one id are one.
    people = {
        place: {**raw, "id": place + 1}
        for place, (raw, each) in enumerate(zip(document["annotations"], shape.annotations, strict=True))
        if each.category_id == person
    }
    counted = [each for each in _People.model_validate({"annotations": people}).annotations.values() if each.counts]
    if not any(each.image_id in images for each in counted):
        raise ValueError("nobody is annotated" + (" in the images it lists" if counted else ""))
    if any(each.area == 0 for each in counted):
        raise ValueError("somebody annotated has an area of 0, like whom no pose can be")
    return {**document, "annotations": list(people.values())}


def _person(truth: COCO) -> int:
    return int(truth.getCatIds(catNms=["person"])[0])


def _pictures(truth: COCO, images: Path) -> Iterator[tuple[int, Frame]]:
    for image_id in sorted(truth.getImgIds()):
        path = images / truth.loadImgs([image_id])[0]["file_name"]
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise ModelError(f"{path}, which the annotations name, cannot be read as a picture")
        _require_size(path, truth.loadImgs([image_id])[0], *image.shape[:2])
        yield image_id, Frame(image.astype("uint8"), 0, datetime.now(UTC), 0.0, 0.0)


def _require_size(path: Path, image: dict[str, Any], height: int, width: int) -> None:
    """Refuse a picture that has another size than the annotations tell, where they tell one: joints lie elsewhere."""
    told = image.get("height"), image.get("width")
    if all(isinstance(side, int) and side > 0 for side in told) and told != (height, width):
        raise ModelError(
            f"{path} is {height}x{width}, the annotations say {told[0]}x{told[1]}",
            hint="evaluate on the pictures that were annotated, neither scaled nor turned",
        )


def annotated_boxes(truth: COCO, image_id: int, frame: Frame) -> NDArray[np.float32]:
    """The annotated people's, (N, 4). Raises ModelError for one that is empty or outside the picture."""
    people = truth.loadAnns(truth.getAnnIds(imgIds=[image_id], catIds=[_person(truth)], iscrowd=False))
    boxes = [person["bbox"] for person in people if person["num_keypoints"] > 0]
    height, width = frame.size
    for x, y, across, down in boxes:
        if across <= 0 or down <= 0 or x >= width or y >= height or x + across <= 0 or y + down <= 0:
            name = truth.loadImgs([image_id])[0]["file_name"]
            raise ModelError(
                f"{name}: the bbox {[x, y, across, down]} holds nothing of a picture of {height}x{width}",
                hint="a bbox is x, y, width and height in pixels",
            )
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
