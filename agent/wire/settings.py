"""Settings: keys of the configuration, and values they may be given from afar."""

from typing import Annotated, Final, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr

from agent.wire.part import Part
from agent.wire.wording import Worded

SETTINGS_MAX: Final = 64

SettingName = Annotated[
    str,
    Field(pattern=r"^[a-z][a-z0-9_]{0,31}(\.[a-z][a-z0-9_]{0,31}){1,3}$"),
    Worded("a key of the configuration as the file's tables spell it, such as camera.fps_max"),
]
SettingValue = Annotated[
    StrictBool
    | Annotated[StrictInt, Field(ge=-(2**53), le=2**53)]
    | StrictFloat
    | Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_-]{0,32}$")],
    Worded("a number, true, false, or a word of at most 32 letters, digits, dashes and underscores: no path, no list"),
]
"""A text is a word: no path and no address is one. 0 and an empty text leave open what may be left open."""


class Setting(Part):
    """One key that may be changed from afar, as it is or as it would be."""

    value: SettingValue | None
    """What counts; None is left open."""
    configured: SettingValue | None
    """What the box's own configuration says."""
    changed: bool
    """A command has put its value over the configuration's."""
    live: bool
    """A change holds at once; else from the next start on."""
    pending: bool = False
    """It has been changed, and the agent has not started since."""


class SettingsResult(Part):
    """What `set`, `unset` and `get` answer."""

    settings: dict[SettingName, Setting]
    restart: Literal["none", "now", "due"]
    """Whether the agent starts anew now, or somebody has to see to it that it does, before all of it holds."""
    supervised: bool
    """Whether a service manager would start it again."""
    dry_run: bool = False
    """Nothing was changed: so it would be."""
