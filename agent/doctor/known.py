"""What a configuration names, held against what there is at all: a name nobody knows starts on no box."""

from collections.abc import Callable, Iterator

from agent.capture.address import Clip, parse
from agent.config.tree import Config
from agent.errors import ConfigError, EdgeposeError
from agent.inference.spec import input_size
from agent.wire.commands import CommandError
from agent.wire.devices import KINDS, DeviceString, DeviceStringError, require
from models.shelf import catalogue
from models.shelf.store import Store


def require_known(config: Config, origin: str) -> None:
    """Raise ConfigError, once for all faults, for a device, network, clip or input size that no box can run.

    ``origin`` is the file they stand in.

    Looks at files only: whether this box has them is for `agent doctor` to say.
    """
    if faults := list(_faults(config)):
        raise ConfigError("\n".join(f"{origin}: {key}: {fault}" for key, fault, _ in faults), hint=faults[0][2])


def _faults(config: Config) -> Iterator[tuple[str, str, str]]:
    """Yield key, fault and cure."""
    checks: dict[str, Callable[[Config], None]] = {
        "inference.device": _device,
        "model": _network,
        "camera.source": _source,
    }
    for key, check in checks.items():
        try:
            check(config)
        except (EdgeposeError, CommandError, DeviceStringError) as error:
            yield key, str(error).removeprefix("model.input: "), error.hint


def _device(config: Config) -> None:
    wanted = DeviceString.parse(config.inference.device)
    named = (*wanted.members, *wanted.without)
    there = [name for name in named if name.partition(".")[0] in KINDS]
    require(wanted, ["CPU", *KINDS, *there, *config.devices.aliases])


def _network(config: Config) -> None:
    card = Store(config.paths.models).card(config.model.name)
    if card.decoder.detects:
        cure = "name the network of two stages that it belongs to"
        raise ConfigError(f"{card.name} finds people and no joints: it is a first stage", hint=cure)
    input_size(config.model.input, card, None)


def _source(config: Config) -> None:
    """Scheme, port and reserved characters of an address; the name of a clip. Nothing is connected to."""
    source = parse(config.camera.source)
    if isinstance(source, Clip) and source.name not in Store(config.paths.models).names():
        catalogue.clip(source.name)
