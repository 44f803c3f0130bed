"""From what is asked of the agent and one command to what is then asked of it; and what this box can do at all."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.config.tree import Config
from agent.control.settings import Open, Settings
from agent.errors import ModelError
from agent.wire.affinity import Affinity, Rule
from agent.wire.commands import (
    AnyArgs,
    Benchmark,
    CommandError,
    ErrorCode,
    SetAffinity,
    SetDevice,
    SetHint,
    SetInput,
    SetModel,
    SetPrecision,
    Tune,
)
from agent.wire.devices import DeviceString, canonical, require
from models.shelf import catalogue
from models.shelf.catalogue import Precision


@dataclass(frozen=True, slots=True)
class Box:
    """What commands are checked against before OpenVINO sees them."""

    device_id: str
    devices: tuple[str, ...]
    """Names, aliases included."""
    models: Mapping[str, tuple[Precision, ...]]
    """Networks that are installed, and their precisions."""
    snapshots: bool = False
    """Whether the configuration lets images leave the box."""
    file: Config = field(default_factory=Config)
    """The configuration without what commands have changed of it."""
    supervised: bool = False
    """Whether somebody starts the agent again when it ends."""


def asked(settings: Settings, args: AnyArgs, box: Box) -> Settings:
    """What is asked of the agent after a command. Raises CommandError when this box cannot do it."""
    match args:
        case SetDevice(device=device, detector=detector):
            parsed, front = DeviceString.parse(device), detector and DeviceString.parse(detector)
            require(parsed, box.devices)
            if front:
                require(front, box.devices)
            changes = {"device": str(parsed), "detector": str(front) if front else None}
            return settings.model_copy(update={**changes, "affinity": _kept(settings.affinity, parsed)})
        case SetPrecision(precision=precision):
            require_precision(settings.model, precision, box)
            return settings.model_copy(update={"precision": precision, "said": _with(settings, "precision")})
        case SetModel(model=model):
            require_model(model, box)
            require_precision(model, settings.precision, box)
            # What was chosen for one network, or for its first stage, says nothing of another.
            return settings.model_copy(update={"model": model, "long_side": None, "detector": None})
        case SetHint(hint=hint, streams=streams, requests=requests):
            said = _with(settings, "hint")
            return settings.model_copy(update={"hint": hint, "streams": streams, "requests": requests, "said": said})
        case SetInput(long_side=long_side):
            said = settings.said if long_side is not None else _unlike(settings, box)
            return settings.model_copy(update={"long_side": long_side, "said": said})
        case SetAffinity():
            return placed(settings, args, box)
    raise CommandError(ErrorCode.INTERNAL, f"{type(args).__name__} asks for no other settings")


def placed(settings: Settings, wanted: Affinity, box: Box) -> Settings:
    """The settings with an affinity, on the HETERO device that runs now or on the one its rules name."""
    rules, default = _canonical(wanted), wanted.default if wanted.default is None else canonical(wanted.default)
    device = DeviceString.parse(settings.device)
    # Whatever a name has become in capitals: compared with those of the box before anything is made of it.
    named = tuple(dict.fromkeys([rule.device for rule in rules] + ([default] if default is not None else [])))
    if device.mode != "HETERO":
        if len(named) < 2:
            raise CommandError(
                ErrorCode.INVALID_AFFINITY,
                f"layers are placed on the members of a HETERO device, and {settings.device} runs",
                f"first: controller set-device {box.device_id} HETERO:GPU,CPU; or rules that name two devices",
            )
        device = DeviceString.parse("HETERO:" + ",".join(named))
    if strangers := [name for name in named if name not in device.members]:
        raise CommandError(
            ErrorCode.INVALID_AFFINITY,
            f"{', '.join(name or 'a blank' for name in strangers)} is not part of {device}",
            f"rules may name {', '.join(device.members)}; set-device chooses others",
        )
    require(device, box.devices)
    affinity = Affinity(preset=wanted.preset, rules=rules, default=default)
    return settings.model_copy(update={"device": str(device), "affinity": affinity})


def benchmarked(settings: Settings, args: Benchmark, box: Box) -> Settings:
    """What a benchmark measures: what runs now, but for what it names. Raises CommandError when it cannot be had."""
    wanted = settings
    if args.device is not None:
        wanted = asked(wanted, SetDevice(device=args.device), box)
    if args.precision is not None:
        wanted = asked(wanted, SetPrecision(precision=args.precision), box)
    if args.affinity is not None:
        wanted = placed(wanted, Affinity(preset=args.affinity), box)
    if args.hint is not None:
        wanted = asked(wanted, SetHint(hint=args.hint), box)
    return wanted


def tuned(args: Tune, box: Box) -> None:
    """Refuse to tune with what cannot be had: no measurement is needed to tell. Raises CommandError."""
    for model in (*(args.models or ()), *((args.reference,) if args.reference else ())):
        require_model(model, box)
    for device in args.devices or ():
        require(DeviceString.parse(device), box.devices)
    if not box.models:
        raise CommandError(ErrorCode.UNKNOWN_MODEL, "there is no network on this box", "`models fetch` brings one")
    able = [model for model, present in box.models.items() if {*present} & {*args.precisions}]
    for model in args.models or (() if able else box.models):
        if model not in able:
            require_precision(model, args.precisions[0], box)


def _canonical(affinity: Affinity) -> tuple[Rule, ...]:
    return tuple(rule.model_copy(update={"device": canonical(rule.device)}) for rule in affinity.rules)


def _kept(affinity: Affinity | None, device: DeviceString) -> Affinity | None:
    """An affinity stays where it still means something."""
    fits = affinity is not None and device.mode == "HETERO" and set(affinity.devices()) <= set(device.members)
    return affinity if fits else None


def _unlike(settings: Settings, box: Box) -> tuple[Open, ...]:
    """What a command has named otherwise than the configuration: of the rest nothing is known to be wanted any more."""
    configured = Settings.of(box.file)
    return tuple(part for part in settings.said if getattr(settings, part) != getattr(configured, part))


def _with(settings: Settings, part: Open) -> tuple[Open, ...]:
    return tuple(dict.fromkeys((*settings.said, part)))


def require_model(model: str, box: Box) -> None:
    """Refuse a network that is not installed on this box. Raises CommandError."""
    if model in box.models:
        return
    near = difflib.get_close_matches(model, box.models, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]}? " if near else ""
    raise CommandError(
        ErrorCode.UNKNOWN_MODEL,
        f"there is no network {model!r} on this box",
        f"{guess}here: {', '.join(box.models)}; on the box `models fetch` brings others",
    )


def require_in_catalogue(name: str) -> None:
    """Refuse a network that the catalogue of this agent's version does not know. Raises CommandError."""
    try:
        catalogue.network(name)
    except ModelError as error:
        raise CommandError(ErrorCode.UNKNOWN_MODEL, str(error), error.hint) from error


def require_precision(model: str, precision: Precision, box: Box) -> None:
    """Refuse a precision of which this box has no variant. Raises CommandError."""
    require_model(model, box)
    if precision in box.models[model]:
        return
    cure = f"controller quantize {box.device_id} makes it" if precision == "INT8" else "models fetch brings it"
    raise CommandError(
        ErrorCode.UNAVAILABLE_PRECISION,
        f"{model} has no {precision} variant here",
        f"{cure}; present: {', '.join(box.models[model])}",
    )
