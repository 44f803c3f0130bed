"""`models evaluate`: accuracy on annotated pictures."""

from dataclasses import asdict
from pathlib import Path

import click

from models.commands.options import FOLDER, JSON, input_size, print_json, print_table, size_options
from models.getting.progress import Reporter
from models.judging.evaluate import evaluate as measure
from models.shelf import catalogue
from models.shelf.store import Store


@click.command()
@click.argument("name")
@click.option(
    "--images", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, help="Folder of pictures."
)
@click.option(
    "--annotations",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="COCO's person_keypoints JSON.",
)
@click.option(
    "--precision",
    "precisions",
    type=click.Choice(catalogue.PRECISIONS, case_sensitive=False),
    multiple=True,
    help="May be given several times; by default all that are present.",
)
@click.option("--device", default="CPU", show_default=True, help="An OpenVINO device.")
@click.option(
    "--true-boxes", is_flag=True, help="Networks of two stages: look into the annotated boxes, without the detector."
)
@size_options
@FOLDER
@JSON
def evaluate(  # noqa: PLR0913, PLR0917 - one parameter per option
    name: str,
    images: Path,
    annotations: Path,
    precisions: tuple[catalogue.Precision, ...],
    device: str,
    true_boxes: bool,
    long_side: int | None,
    height: int | None,
    width: int | None,
    models_dir: Path,
    as_json: bool,
) -> None:
    """Measure average precision on your pictures.

    OKS average precision as pycocotools defines it, on pictures annotated in COCO's format. Needs the extra
    `evaluate`.
    """
    store = Store(models_dir)
    size = input_size(store.seeing(store.card(name)), long_side, height, width)
    with Reporter().steps() as tell:
        found = [
            measure(
                name,
                store,
                precision=precision,
                device=device,
                size=size,
                images=images,
                annotations=annotations,
                true_boxes=true_boxes,
                tell=tell,
            )
            for precision in precisions or store.precisions(name)
        ]
    if as_json:
        print_json([asdict(row) for row in found])
        return
    header = ("network", "precision", "runs in", "device", "input", "pictures", "AP", "AP50", "AP75", "AR")
    print_table(
        header,
        (
            [row.network, row.precision, row.inference_precision, row.device, row.input, str(row.pictures)]
            + [f"{figure:.3f}" for figure in (row.ap, row.ap50, row.ap75, row.ar)]
            for row in found
        ),
    )
