"""What happens to the state machine, and what it wants done: both are data."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from agent.control.fits import Fit
from agent.control.journal import Record
from agent.control.settings import Settings
from agent.wire.commands import Address, Command, CommandError, Job, ReplyStatus
from agent.wire.messages import Severity
from agent.wire.settings import SettingValue
from agent.wire.zones import Zones

Facts = dict[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class Work:
    """The one thing that is being done and takes long: a switch, a plan, or a job."""

    number: int
    command: Command | None
    """Who asked for it and waits for the reply; None when nobody does: it falls back, goes on with a job, or applies
    what a job has found."""
    settings: Settings
    job: str | None = None
    """Id of the job it is."""
    falling_back: bool = False
    """Whether it goes back from an engine that failed."""
    fit: Fit | None = None
    """What fits the camera, where that is why. The settings name it; what is asked for does not."""
    reshaping: bool = False
    """Whether it builds what runs anew, for a picture of another shape."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A well-formed command came."""

    command: Command


@dataclass(frozen=True, slots=True)
class Informed:
    """What a command that only asks wanted to know."""

    command: Command
    result: dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Started:
    """The first engine runs."""

    record: Record
    """What it was built from: the one the agent started with, or one it fell back to."""
    fallen: str | None = None
    """Why it fell back."""


@dataclass(frozen=True, slots=True)
class Built:
    """The engine of a switch is compiled, checked, and waits to be swapped in."""

    number: int


@dataclass(frozen=True, slots=True)
class Done:
    """Work is done: what it brought."""

    number: int
    result: dict[str, JsonValue]
    apply: Settings | None = None
    """What a job has found to be best, to be switched to."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Work has ended without success."""

    number: int
    status: ReplyStatus
    error: CommandError


@dataclass(frozen=True, slots=True)
class Overdue:
    """Work takes longer than its limit and cannot be interrupted: it is left to itself."""

    number: int
    error: CommandError


@dataclass(frozen=True, slots=True)
class StrayEnded:
    """A thread nobody waits for has ended: of work that was left to itself, or that was done with before."""

    number: int


@dataclass(frozen=True, slots=True)
class Broken:
    """The engine in use keeps failing."""

    reason: str


@dataclass(frozen=True, slots=True)
class SizeFound:
    """What fits the camera was measured."""

    settings: Settings
    """With what."""
    fit: Fit
    runs: int
    """The long side in use."""
    switch: bool
    """Whether another engine is to be taken."""
    known: bool = False
    """Whether it is news to nobody."""


@dataclass(frozen=True, slots=True)
class Reshaped:
    """The camera's picture asks for an input of another shape than the engine in use has. Sizes: width, height."""

    picture: tuple[int, int]
    wanted: tuple[int, int]
    runs: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Settled:
    """The agent has run long enough in what it runs in to call it good."""


@dataclass(frozen=True, slots=True)
class Tidied:
    """It is time to look for what is old."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The agent is asked to end."""


Event = (
    Asked | Informed | Started | Built | Done | Failed | Overdue | StrayEnded | Broken | SizeFound | Reshaped | Settled
    | Tidied | Stopped
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Save:
    """Write the record to disk before anything that follows is done."""

    record: Record


@dataclass(frozen=True, slots=True)
class Send:
    """Send a reply."""

    address: Address
    payload: bytes


@dataclass(frozen=True, slots=True)
class Inform:
    """Find out what the command asks for."""

    command: Command


@dataclass(frozen=True, slots=True)
class Begin:
    """Start the work beside everything else."""

    work: Work


@dataclass(frozen=True, slots=True)
class Swap:
    """Give the frames to the engine that was built."""

    work: Work


@dataclass(frozen=True, slots=True)
class SwapBack:
    """Give the frames back to the engine that had them before."""

    work: Work


@dataclass(frozen=True, slots=True)
class Abandon:
    """Give work up: what it still brings is thrown away."""

    number: int


@dataclass(frozen=True, slots=True)
class Flow:
    """Let frames flow, or stop them."""

    paused: bool


@dataclass(frozen=True, slots=True)
class Look:
    """Count people in these zones."""

    zones: Zones


@dataclass(frozen=True, slots=True)
class Configure:
    """Go on with other values of settings that hold at once."""

    values: Mapping[str, SettingValue | None]


@dataclass(frozen=True, slots=True)
class Restart:
    """End, so that whoever supervises starts it again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep what fits the camera for the next start."""

    fit: Fit


@dataclass(frozen=True, slots=True)
class Note:
    """Tell everybody what happened."""

    code: str
    severity: Severity
    message: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class Publish:
    """Say how a job stands."""

    job: Job


@dataclass(frozen=True, slots=True)
class Clear:
    """Take back what is retained about a job."""

    job: str


@dataclass(frozen=True, slots=True)
class End:
    """End the agent: nothing runs that could be gone back to."""

    reason: str


Effect = (
    Save | Send | Inform | Begin | Swap | SwapBack | Abandon | Flow | Look | Configure | Restart | Remember | Note
    | Publish | Clear | End
)  # fmt: skip
