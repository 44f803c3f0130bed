"""What runs in the peers' own environment: networks of Ultralytics with random weights, and what its predict sees.

    yolo_agreement_inside.py FOLDER

In FOLDER it leaves two pictures (``plain.png``, which fills the input, and ``padded.png``, which is letterboxed), each
network's OpenVINO export in a folder of its name, and ``sample.npz``: of each network and picture the best guesses of
the raw output, all that score enough for a person among them, beside predict's people. It imports nothing of this
project, and this project imports nothing of theirs.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

HEIGHT, WIDTH = 192, 256
"""Of the input."""
PICTURES = {"plain": (480, 640), "padded": (281, 500)}
"""Height and width. Neither shrinks by a whole number, and the second's sides shrink by different ones."""
CONF, IOU = 0.5, 0.5
LIKELY, KEPT = 20, 32
"""At most so many guesses of a picture score enough for a person; so many of the best are kept of the raw output."""
GUESS = 56
"""Numbers of a guess."""
SIDES = 6.0
"""How far the sides of a box lie from its anchor, in strides, where the network names that itself (YOLO26)."""
HEADS = ("", "one2one_")
"""What the parts of a head are called: of the one whose duplicates are suppressed, and of the end-to-end one."""
NETWORKS: dict[str, dict[str, Any]] = {
    "yolov8n-pose": {},
    "yolo11n-pose": {},
    "yolo26n-pose": {},
    "yolo26n-pose-chosen": {"nms": False},
}
"""What each is told when it is exported; a name's first two words say which network it is."""


def draw(name: str) -> Any:
    """A picture of coloured clouds, uint8 (H, W, 3)."""
    height, width = PICTURES[name]
    clouds = np.random.default_rng(height).integers(0, 256, (height // 16, width // 16, 3), np.uint8)
    return cv2.resize(clouds, (width, height), interpolation=cv2.INTER_CUBIC)


def letterboxed(picture: Any) -> Any:
    """What the network is about to see: its weights are chosen for that."""
    seen = np.full((HEIGHT, WIDTH, 3), 114, np.uint8)
    height = min(HEIGHT, round(WIDTH * picture.shape[0] / picture.shape[1]))
    top = (HEIGHT - height) // 2
    seen[top : top + height] = cv2.resize(picture, (WIDTH, height))
    return seen


def network(plan: str, pictures: list[Any]) -> Any:
    """The network of a plan with random weights of a seed, for one class, a person; it finds a few in the pictures."""
    import torch  # type: ignore[import-not-found]  # noqa: PLC0415
    from ultralytics import YOLO  # type: ignore[import-not-found]  # noqa: PLC0415
    from ultralytics.nn.tasks import yaml_model_load  # type: ignore[import-not-found]  # noqa: PLC0415

    Path(plan).write_text(json.dumps(yaml_model_load(plan) | {"nc": 1}), encoding="utf-8")  # which is YAML as well
    torch.manual_seed(15)
    yolo = YOLO(plan)
    seen = np.stack([letterboxed(each)[..., ::-1] for each in pictures])
    batch = torch.from_numpy(seen.transpose(0, 3, 1, 2).copy()).float() / 255
    # Random weights let the picture fade away from layer to layer, unless normalisation knows what it normalises.
    for module in yolo.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean of what it sees
    yolo.model.train()
    with torch.no_grad():
        yolo.model(batch)
        redraw(yolo.model.model[-1])
        yolo.model.eval()
        raise_scores(yolo.model, batch)
    return yolo


def redraw(head: Any) -> None:
    """Give what a head ends in weights that tell one place from another; they start next to nothing."""
    import torch  # noqa: PLC0415

    for part in (prefix + name for prefix in HEADS for name in ("cv2", "cv3", "cv4", "cv4_kpts")):
        for branch in getattr(head, part, None) or ():
            last = [each for each in branch.modules() if isinstance(each, torch.nn.Conv2d)][-1]
            if last.bias is not None:
                torch.nn.init.normal_(last.weight, std=last.in_channels**-0.5)
                last.bias.fill_(SIDES if part.endswith("cv2") and head.reg_max == 1 else 0)


def raise_scores(model: Any, batch: Any) -> None:
    """Shift the scores so that LIKELY guesses of a picture are above one half, of each head for itself."""
    import torch  # noqa: PLC0415

    head = model.model[-1]
    heads = [prefix for prefix in HEADS if hasattr(head, prefix + "cv3")]
    for prefix in heads:
        if len(heads) > 1:
            model.end2end = bool(prefix)
        found = model(batch)[0]
        scores = found[:, 4] if found.shape[1] == GUESS else found[..., 4]
        enough = scores.sort(descending=True).values[:, LIKELY].max()
        for branch in getattr(head, prefix + "cv3"):
            branch[-1].bias -= torch.logit(enough)


def predicted(exported: str, picture: Path) -> dict[str, Any]:
    """Raw output and people of a picture, by their own predict."""
    from ultralytics import YOLO  # noqa: PLC0415

    raw: list[Any] = []
    yolo = YOLO(exported, task="pose")

    def listen(predictor: Any) -> None:
        judge = predictor.postprocess

        def heard(preds: Any, *others: Any, **named: Any) -> Any:
            raw.append((preds[0] if isinstance(preds, list | tuple) else preds).clone().numpy())
            return judge(preds, *others, **named)

        predictor.postprocess = heard

    yolo.add_callback("on_predict_start", listen)
    result = yolo.predict(picture, imgsz=(HEIGHT, WIDTH), conf=CONF, iou=IOU, verbose=False)[0]
    (output,) = raw
    scores = output[0, 4] if output.shape[1] == GUESS else output[0, :, 4]
    likely = np.sort(np.argsort(-scores, kind="stable")[:KEPT])
    if (scores > CONF).sum() != (scores[likely] > CONF).sum():
        raise SystemExit(f"{exported}: {(scores > CONF).sum()} guesses of {picture.name} score enough, {KEPT} are kept")
    return {
        "raw": output[:, :, likely] if output.shape[1] == GUESS else output[:, likely],
        "boxes": result.boxes.xyxy.numpy(),
        "scores": result.boxes.conf.numpy(),
        "keypoints": result.keypoints.data.numpy(),
    }


def in_full() -> None:
    """Have OpenVINO compute in float32, as this project's FP32 does: on some processors it would not."""
    import openvino as ov  # noqa: PLC0415

    compiled = ov.Core.compile_model

    def precisely(core: Any, model: Any, device_name: Any = None, config: Any = None, **others: Any) -> Any:
        return compiled(core, model, device_name, {**(config or {}), "INFERENCE_PRECISION_HINT": "f32"}, **others)

    ov.Core.compile_model = precisely


def main(folder: Path) -> None:
    """Make it all."""
    os.chdir(folder)
    in_full()
    pictures = {name: draw(name) for name in PICTURES}
    for name, picture in pictures.items():
        cv2.imwrite(f"{name}.png", picture)
    sample: dict[str, Any] = {}
    for name, told in NETWORKS.items():
        (folder / name).mkdir()
        os.chdir(folder / name)
        plan = "-".join(name.split("-")[:2]) + ".yaml"
        yolo = network(plan, list(pictures.values()))
        exported = yolo.export(format="openvino", imgsz=(HEIGHT, WIDTH), verbose=False, **told)
        for which in pictures:
            found = predicted(str(Path(exported).resolve()), folder / f"{which}.png")
            sample |= {f"{name}.{which}.{key}": value for key, value in found.items()}
    np.savez_compressed(folder / "sample.npz", **sample)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
