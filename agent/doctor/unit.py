"""What systemd says of the agent's own service, where it runs one."""

import subprocess
from dataclasses import dataclass
from typing import Final, Self

from agent.doctor.finding import Check, Level

ASK_S: Final = 3.0
ASKED: Final = ("LoadState", "ActiveState", "SubState", "Result", "NRestarts")
RESTARTS_MANY: Final = 3


@dataclass(frozen=True, slots=True)
class Unit:
    """The service of one device."""

    name: str
    installed: bool
    active: str
    """systemd's ActiveState: active, activating, inactive, failed ..."""
    sub: str
    result: str
    """Why it ended: success, exit-code, watchdog, signal, timeout ..."""
    restarts: int

    @classmethod
    def parse(cls, name: str, told: str) -> Self:
        """Read what ``systemctl show`` prints: one KEY=value a line."""
        facts = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
        return cls(
            name,
            facts.get("LoadState") == "loaded",
            facts.get("ActiveState", "unknown"),
            facts.get("SubState", "unknown"),
            facts.get("Result", "unknown"),
            int(facts["NRestarts"]) if facts.get("NRestarts", "").isdigit() else 0,
        )


def unit_of(device_id: str) -> Unit | None:
    """Ask systemd for the service of a device; None where no systemd runs."""
    name = f"edgepose-agent@{device_id}.service"
    command = ["systemctl", "show", name, f"--property={','.join(ASKED)}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Unit.parse(name, done.stdout) if done.returncode == 0 else None


def service(unit: Unit | None) -> Check:
    """Judge what systemd says of this device's service; none is no fault."""
    if unit is None:
        return Check("service", Level.OK, "no systemd runs here")
    if not unit.installed:
        return Check("service", Level.OK, f"{unit.name} is not installed")
    told = f"{unit.name} is {unit.active} ({unit.sub}), {unit.restarts} restarts"
    look = f"journalctl -u {unit.name} -n 50"
    if unit.active == "failed":
        return Check("service", Level.FAIL, f"{told}, result {unit.result}", look)
    if unit.active == "inactive":
        return Check("service", Level.WARN, told, f"systemctl enable --now {unit.name}")
    if unit.sub == "auto-restart" or unit.restarts >= RESTARTS_MANY:
        return Check("service", Level.WARN, f"{told}, last result {unit.result}", look)
    return Check("service", Level.OK, told)
