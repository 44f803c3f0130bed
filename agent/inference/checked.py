"""An engine is checked before it may serve: its files, its compiled form, and what it computes.

Its outputs on the golden picture are compared with those recorded at the network's installation, or, at another input
size or precision, with those of a reference: the same verified files, compiled for the plain CPU without any cache.
A network that selects people itself has as many rows as it found, which no reference bounds: there the outputs need
only be finite, of the card's channels, and readable for the decoder.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import openvino as ov
import structlog

from agent.errors import EngineError, ModelError, TrialError
from agent.inference.cache import Contents, KeptNetwork, spare, touch
from agent.inference.devices import require_devices
from agent.inference.engine import Engine, Floats, build_engine
from agent.inference.facts import UNKNOWN
from agent.inference.letterbox import Letterbox
from agent.inference.measure import Conduct
from agent.inference.spec import EngineSpec
from agent.poses.decoders import reader_for
from models.shelf import golden
from models.shelf.catalogue import NetworkCard
from models.shelf.golden import Golden
from models.shelf.store import Store

log = structlog.get_logger()

Outputs = Mapping[str, Floats]
"""Role to output."""
MAPS = ("movenet", "openpose")
"""Families whose outputs are maps, with a cell for every so many pixels of the input."""
ANSWER_S = 60.0


def build_checked(
    core: ov.Core,
    store: Store,
    card: NetworkCard,
    spec: EngineSpec,
    roles: tuple[str, ...],
    cache: Path | None,
    conduct: Conduct | None = None,
) -> Engine:
    """Compile an installed network for ``spec``, or take it from ``cache``, and check what it computes.

    ``roles`` are the outputs the decoder reads; ``cache`` is None for no cache. A damaged cache is emptied and the
    network compiled again. Raises ModelError when its files are missing or damaged, EngineError when the device is
    missing or cannot compile it, TrialError when it does not compute what it should, and CommandError for an affinity
    that cannot be. ``conduct`` is of what an affinity has to measure first.
    """
    spec = replace(spec, device=str(require_devices(core, spec.device)))
    content = store.verify_variant(card.name, spec.precision)
    xml = store.variant(card.name, spec.precision)
    identity = hashlib.sha256(f"{content} {card.model_dump_json()}".encode()).hexdigest()
    reference = _Reference(core, store, card, spec, roles, _golden_path(cache, spec, identity))

    def build(kept: Path | None, contents: Contents | None = None) -> Engine:
        engine = build_engine(core, card, xml, spec, roles, kept, conduct)
        if contents is not None and contents.inference_precision and engine.facts.inference_precision == UNKNOWN:
            engine.facts = replace(engine.facts, inference_precision=contents.inference_precision)
        try:
            check(engine, card, roles, reference.outputs)
        except BaseException:
            engine.close()
            raise
        return engine

    kept = KeptNetwork(cache, spec, f"{identity} OpenVINO {ov.__version__}") if cache else None
    return _build_kept(kept, build) if kept and kept.usable() else build(None)


def _build_kept(kept: KeptNetwork, build: Callable[[Path, Contents | None], Engine]) -> Engine:
    if contents := kept.sound():
        try:
            engine = build(kept.folder, contents)
        except EngineError as error:
            log.warning("cache.damaged", folder=str(kept.folder), cause=str(error))
            kept.discard()
        else:
            if not engine.facts.from_cache:
                kept.seal(engine.facts.inference_precision)
            return engine
    try:
        engine = build(kept.folder, None)
    except BaseException:
        kept.discard()
        raise
    kept.seal(engine.facts.inference_precision)
    return engine


def check(engine: Engine, card: NetworkCard, roles: tuple[str, ...], expected: Callable[[], Golden]) -> None:
    """Run the golden picture once, nothing else in flight. Raises TrialError when the outputs are not as they should.

    ``expected`` is asked only for a network whose outputs can be compared.
    """
    spec = engine.spec
    outputs = _answer(engine, card, roles)
    for role, output in outputs.items():
        _require_sound(spec, card, role, output)
    if not card.decoder.selects:
        limit = golden.limit(spec.precision, engine.facts.inference_precision)
        found = golden.deviations(outputs, expected())
        worst = max(found, key=lambda role: found[role])
        if found[worst] > limit:
            raise _trial_error(
                spec,
                f"output {card.decoder.outputs[worst]} deviates by {found[worst]:.2g} from the golden answer, "
                f"up to {limit:g} is normal",
                hint="another device or precision may do it right; a driver's update may help",
            )
    _require_decodable(spec, card, outputs)


def _answer(engine: Engine, card: NetworkCard, roles: tuple[str, ...]) -> Outputs:
    """The outputs on the golden picture, copied."""
    slot = engine.acquire(timeout_s=ANSWER_S)
    if slot is None:
        raise _trial_error(engine.spec, f"no answer within {ANSWER_S:.0f} s")
    try:
        slot.input[:] = golden.golden_input(card, engine.spec.height, engine.spec.width)
        slot.start()
        slot.wait()
        return {role: output.copy() for role, output in zip(roles, slot.outputs, strict=True)}
    except EngineError as error:
        raise _trial_error(engine.spec, str(error)) from error
    finally:
        engine.release(slot)


def _require_sound(spec: EngineSpec, card: NetworkCard, role: str, output: Floats) -> None:
    head = card.decoder.heads[role]
    axis = card.input.layout.index("C") if head.axis is None else head.axis
    fits = output.ndim > axis and output.shape[axis] == head.channels
    wanted = f"{head.channels} channels on axis {axis}"
    if card.decoder.family in MAPS:
        height, width = spec.height // card.decoder.stride, spec.width // card.decoder.stride
        sizes = {"N": 1, "C": head.channels, "H": height, "W": width}
        shape = tuple(sizes[axis] for axis in card.input.layout)
        fits, wanted = output.shape == shape, str(shape)
    if not fits:
        raise _trial_error(
            spec,
            f"output {head.tensor} is {output.shape}, expected {wanted}",
            hint=f"the card of {card.name} and its files do not belong together",
        )
    if broken := int(output.size - np.isfinite(output).sum()):
        raise _trial_error(
            spec,
            f"output {head.tensor} is not finite: {broken} of {output.size} values",
            hint="another device or precision may do it right",
        )


def _require_decodable(spec: EngineSpec, card: NetworkCard, outputs: Outputs) -> None:
    # At a threshold of 0 the decoder reads all it would read of a crowd.
    size = (spec.height, spec.width)
    decoder = reader_for(card, size)
    try:
        with np.errstate(all="ignore"):
            decoder.decode(tuple(outputs[role] for role in decoder.roles), Letterbox.fit((0, 0, *size[::-1]), size))
    except (ValueError, IndexError, TypeError, cv2.error) as error:
        shapes = ", ".join(f"{card.decoder.outputs[role]} {output.shape}" for role, output in outputs.items())
        raise _trial_error(
            spec,
            f"the {card.decoder.family} decoder cannot read its outputs, {shapes}: {error}",
            hint=f"the card of {card.name} names the wrong family, stride or heads",
        ) from error


def _trial_error(spec: EngineSpec, what: str, *, hint: str = "") -> TrialError:
    return TrialError(f"{spec.device} runs {spec.model} at {spec.precision} wrongly: {what}", hint=hint)


class _Reference:
    """What the network answers to the golden picture when nothing is wrong."""

    def __init__(
        self,
        core: ov.Core,
        store: Store,
        card: NetworkCard,
        spec: EngineSpec,
        roles: tuple[str, ...],
        path: Path | None,
    ) -> None:
        self._core = core
        self._store = store
        self._card = card
        self._spec = spec
        self._roles = roles
        self._path = path

    def outputs(self) -> Golden:
        """By role: as recorded at installation, as kept by an earlier check, or computed now and kept."""
        card, spec = self._card, self._spec
        if spec.precision == "FP32" and (spec.height, spec.width) == (card.input.height, card.input.width):
            with suppress(ModelError):  # a damaged record is as good as none
                return self._load(self._store.golden(card.name))
        if self._path is not None and self._path.exists():
            try:
                found = self._load(self._path)
                touch(self._path)
            except (ModelError, OSError) as error:
                log.warning("cache.damaged", folder=str(self._path.parent), cause=str(error))
            else:
                return found
        computed = self._compute()
        if self._path is not None:
            _keep(self._path, computed)
        return computed

    def _load(self, path: Path) -> Golden:
        found = golden.load(path)
        if missing := set(self._roles) - found.keys():
            raise ModelError(f"{path} lacks {', '.join(sorted(missing))}")
        return {role: found[role] for role in self._roles}

    def _compute(self) -> Outputs:
        plain = replace(self._spec, device="CPU", affinity=None, hint="latency", streams=1, requests=1, threads=None)
        xml = self._store.variant(self._card.name, plain.precision)
        with build_engine(self._core, self._card, xml, plain, self._roles, None) as engine:
            return _answer(engine, self._card, self._roles)


def _golden_path(cache: Path | None, spec: EngineSpec, identity: str) -> Path | None:
    name = f"{spec.model}-{spec.precision}-{spec.height}x{spec.width}-{identity[:12]}.npz"
    return None if cache is None else cache / "golden" / name


def _keep(path: Path, outputs: Outputs) -> None:
    aside = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            np.savez(file, allow_pickle=False, **outputs)
        aside.replace(path)
        touch(path)
        for stale in spare(path.parent.glob("*.npz")):
            stale.unlink(missing_ok=True)
    except OSError as error:
        log.warning("cache.not_kept", folder=str(path.parent), cause=str(error))
        with suppress(OSError):
            aside.unlink(missing_ok=True)  # on a full disk a part of it lies there
