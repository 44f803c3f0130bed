"""What can be told of a box in a column, and which boxes somebody wants to see."""

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from controller.client.fleet import Agent
from controller.errors import UsageError

MORE: Final[dict[str, Callable[[Agent], Any]]] = {
    "groups": lambda agent: ",".join(agent.info.groups) if agent.info else None,
    "hostname": lambda agent: agent.info.host.hostname if agent.info else None,
    "os": lambda agent: agent.info.host.os if agent.info else None,
    "cpu": lambda agent: agent.info.host.cpu if agent.info else None,
    "cores": lambda agent: agent.info.host.cores if agent.info else None,
    "memory_mb": lambda agent: agent.info.host.memory_mb if agent.info else None,
    "openvino_version": lambda agent: agent.info.openvino_version if agent.info else None,
    "devices": lambda agent: ",".join(each.name for each in agent.info.devices) if agent.info else None,
    "models": lambda agent: ",".join(_precisions(agent)) if agent.info else None,
    "camera": lambda agent: agent.state.camera.status if agent.state else None,
    "source": lambda agent: agent.state.camera.source if agent.state else None,
    "last_error": lambda agent: agent.state.last_error if agent.state else None,
    "version": lambda agent: agent.state.version if agent.state else None,
    "settings": lambda agent: ",".join(sorted(agent.state.settings)) if agent.state else None,
    "frames_dropped": lambda agent: agent.metrics.frames_dropped if agent.metrics else None,
    "latency_ms_p95": lambda agent: agent.metrics.latency_ms_p95 if agent.metrics else None,
    "cpu_percent": lambda agent: agent.metrics.cpu_percent if agent.metrics else None,
    "rss_mb": lambda agent: agent.metrics.rss_mb if agent.metrics else None,
    "temperature_c": lambda agent: agent.metrics.temperature_c if agent.metrics else None,
}
"""Beside those of :meth:`Agent.row`."""
INVENTORY: Final = (
    "device_id",
    "availability",
    "agent_version",
    "openvino_version",
    "hostname",
    "os",
    "cpu",
    "cores",
    "memory_mb",
    "devices",
    "models",
    "groups",
    "source",
    "last_seen",
)
KNOWN: Final = (*Agent("any").row(), *MORE)
"""Every column."""
CONDITION: Final = re.compile(r"([a-z0-9_]+)(!=|<=|>=|=|<|>)(.*)", re.DOTALL)


def facts(agent: Agent, names: Sequence[str]) -> dict[str, Any]:
    """These columns of a box."""
    row = agent.row()
    return {name: row[name] if name in row else MORE[name](agent) for name in names}


def require(names: Iterable[str]) -> None:
    """Refuse what is no column. Raises :class:`UsageError`."""
    for name in names:
        if name not in KNOWN:
            raise UsageError(f"there is no column {name!r}", hint=f"columns: {', '.join(KNOWN)}")


@dataclass(frozen=True, slots=True)
class Condition:
    """What a box has to be like to be seen: a column, how it is compared, and with what."""

    name: str
    sign: str
    wanted: str

    @classmethod
    def of(cls, text: str) -> "Condition":
        """Read ``status=degraded``, ``model!=yolo*``, ``fps<5``. Raises :class:`UsageError`."""
        found = CONDITION.fullmatch(text)
        if found is None:
            raise UsageError(f"{text!r} is no condition", hint="for example status=degraded, model!=yolo*, fps<5")
        condition = cls(*found.groups())
        require([condition.name])
        if condition.sign in {"<", "<=", ">", ">="}:
            try:
                float(condition.wanted)
            except ValueError:
                raise UsageError(f"{text!r}: {condition.wanted!r} is no number") from None
        return condition

    def holds(self, agent: Agent) -> bool:
        """Whether a box is like that; what it does not tell is like nothing, and unlike everything."""
        value = facts(agent, [self.name])[self.name]
        if self.sign in {"=", "!="}:
            return (value is not None and fnmatch.fnmatchcase(str(value), self.wanted)) is (self.sign == "=")
        if not isinstance(value, int | float):
            return False
        wanted = float(self.wanted)
        return {
            "<": value < wanted,
            "<=": value <= wanted,
            ">": value > wanted,
            ">=": value >= wanted,
        }[self.sign]


@dataclass(frozen=True, slots=True)
class View:
    """Which boxes, in which order, and what is told of each."""

    columns: tuple[str, ...]
    conditions: tuple[Condition, ...] = ()
    group: str | None = None
    sort: str = "device_id"
    """A column; with a minus before it the greatest comes first. Who does not tell comes last."""

    def __post_init__(self) -> None:
        require([*self.columns, self.sort.removeprefix("-")])

    def rows(self, agents: Iterable[Agent]) -> list[dict[str, Any]]:
        """The columns of each box that is wanted, in order."""
        wanted = [agent for agent in agents if self._wants(agent)]
        name, last_first = self.sort.removeprefix("-"), self.sort.startswith("-")
        keyed = [(facts(agent, [name])[name], agent) for agent in wanted]
        told = [each for each in keyed if each[0] is not None]
        silent = [agent for value, agent in keyed if value is None]
        told.sort(key=lambda each: each[1].device_id)
        told.sort(key=lambda each: each[0] if isinstance(each[0], int | float) else str(each[0]), reverse=last_first)
        silent.sort(key=lambda agent: agent.device_id)
        return [facts(agent, self.columns) for agent in [*(agent for _value, agent in told), *silent]]

    def _wants(self, agent: Agent) -> bool:
        in_group = self.group is None or (agent.info is not None and self.group in agent.info.groups)
        return in_group and all(condition.holds(agent) for condition in self.conditions)


def _precisions(agent: Agent) -> list[str]:
    assert agent.info is not None
    return [f"{model.name}:{'/'.join(model.precisions)}" for model in agent.info.models]
