"""A network of the user's own: a card and the files it names, installed beside the catalogue's."""

from collections.abc import Callable, Sequence
from pathlib import Path

import openvino as ov
from openvino.preprocess import PrePostProcessor

from agent.errors import ModelError
from models.getting import convert
from models.getting.fetch import manifest
from models.shelf import catalogue
from models.shelf.catalogue import NetworkCard, OwnConversion, Precision
from models.shelf.store import CARD, Store, digest

RolesOf = Callable[[NetworkCard], Sequence[str]]


def add(path: Path, origin: Path, store: Store, roles_of: RolesOf) -> NetworkCard:
    """Install the network of the card at ``path`` with the files it names below the folder ``origin``.

    ``roles_of`` says which heads the decoder of the card's family reads.

    Installing again replaces. Raises ModelError when the card or the files are not what they say, which leaves the
    store as it was.
    """
    card, conversion = _card(path, roles_of)
    if card.detector is not None and not store.card(card.detector).decoder.detects:
        raise ModelError(f"{path.name}: detector: {card.detector} is no detector")
    files = {precision: origin / name for precision, name in conversion.network.items()}
    for file in files.values():
        if not file.is_file():
            raise ModelError(f"there is no {file}, which {path.name} names", hint="--from names the folder it is in")
    try:
        with store.locked(card.name, lambda: None), store.building(card.name) as scratch:
            built = scratch / card.name
            built.mkdir()
            variants = _variants(card, files, built)
            convert.finish(card, variants, built)
            (built / CARD).write_bytes(path.read_bytes())
            sources = {
                conversion.network[precision]: f"sha256:{digest(files[precision]).sha256}" for precision in files
            }
            store.install(built, manifest(card, built, sources, variants))
    except OSError as error:
        raise ModelError(f"{card.name} cannot be written to {store.folder}: {error.strerror or error}") from error
    return card


def _card(path: Path, roles_of: RolesOf) -> tuple[NetworkCard, OwnConversion]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    card = catalogue.parse(text, path.name)
    if not isinstance(card, NetworkCard) or not isinstance(card.conversion, OwnConversion):
        raise ModelError(
            f"{path.name} is not the card of a network of your own",
            hint='it has kind = "network" and a [conversion] of kind = "own"; models/cards/examples holds two',
        )
    if card.name in catalogue.cards():
        raise ModelError(f"the catalogue has a {card.name} already", hint="give your network another name")
    roles = roles_of(card)
    if set(roles) != set(card.decoder.heads):
        raise ModelError(f"{path.name}: decoder.heads of the family {card.decoder.family} are {', '.join(roles)}")
    return card, card.conversion


def _variants(card: NetworkCard, files: dict[Precision, Path], built: Path) -> dict[Precision, str]:
    """Write IR of every precision the card names, and FP16 from FP32 where it names none."""
    variants: dict[Precision, str] = {}
    for precision in catalogue.PRECISIONS:
        source = files.get(precision) or (files.get("FP32") if precision == "FP16" else None)
        if source is None:
            continue
        model = _named(card, source)
        variants[precision] = f"{precision}/{card.name}.xml"
        (built / precision).mkdir()
        convert.save(model, built / variants[precision], half=precision == "FP16")
    return variants


def _named(card: NetworkCard, source: Path) -> ov.Model:
    """Read a network, see whether it takes the card's sizes, and name its input and outputs as the card does."""
    model = convert.read(source)
    if len(model.inputs) != 1:
        raise ModelError(f"{source.name} has {len(model.inputs)} inputs; expected one, the picture")
    model.input().get_tensor().set_names({card.input.name})
    _require_sizes(card, source, model)
    _require_fractions(card, source, model)
    wanted = set(card.decoder.outputs.values())
    spare = [port for port in model.outputs if not wanted & port.get_names()]
    missing = wanted - {name for port in model.outputs for name in port.get_names()}
    # Exports call a single output as they like, or not at all: what is left over can only be what is missing.
    if len(spare) == len(missing) == 1:
        spare[0].get_tensor().set_names(missing)
    return _in_floats(model, wanted)


def _require_fractions(card: NetworkCard, source: Path, model: ov.Model) -> None:
    kind, plain = model.input().get_element_type(), {card.input.mean, card.input.scale} == {(0.0,) * 3, (1.0,) * 3}
    if kind.is_integral() and not plain:
        raise ModelError(
            f"{source.name} takes whole numbers ({kind.get_type_name()}), of which input.mean and scale leave nothing",
            hint="leave both out: such an export scales by itself",
        )


def _in_floats(model: ov.Model, wanted: set[str]) -> ov.Model:
    """Have the outputs that are read be float32, as an export at half precision has them not."""
    names = [port.get_names() & wanted for port in model.outputs if port.get_element_type() != ov.Type.f32]
    if any(names):
        steps = PrePostProcessor(model)
        for name in (each for group in names for each in group):
            steps.output(name).tensor().set_element_type(ov.Type.f32)
        model = steps.build()
    return model


def _require_sizes(card: NetworkCard, source: Path, model: ov.Model) -> None:
    given = model.input().get_partial_shape()
    height, width, step = card.input.height, card.input.width, card.input.stride
    sizes = [(height, width)] + ([(height + step, width + 2 * step)] if card.input.resizable else [])
    for rows, columns in sizes:
        axes = {"N": 1, "C": 3, "H": rows, "W": columns}
        wanted = [axes[axis] for axis in card.input.layout]
        other = (
            "resizable = true says it takes other sizes too" if (rows, columns) != (height, width) else "the card says"
        )
        fits = card.input.resizable or given.compatible(ov.PartialShape(wanted))
        try:
            model.clone().reshape(wanted)
        except RuntimeError:
            fits = False
        if not fits:
            raise ModelError(
                f"{source.name} takes {given}, not {wanted}: {other}",
                hint="set input.layout, height, width and resizable as the network was exported",
            )
