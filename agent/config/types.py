"""What the values of the configuration may be."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WrapValidator

from agent.wire.strings import fault_of_host, fault_of_password, fault_of_prefix, fault_of_text, plain_host
from agent.wire.topics import DEVICE_ID

PositiveSeconds = Annotated[float, Field(gt=0, le=3600)]
FourCc = Annotated[
    str, Field(pattern="^[A-Z0-9]{3,4}$", description="a pixel format as four letters, such as MJPG or YUYV")
]
FramesPerSecond = Annotated[float, Field(gt=0, le=1000)]
Milliseconds = Annotated[float, Field(gt=0, le=60_000)]
Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1, le=1024)]
Pixels = Annotated[int, Field(ge=16, le=16384)]
InputPixels = Annotated[int, Field(ge=32, le=4096)]


def _in_capitals(given: object) -> object:
    return given.upper() if isinstance(given, str) else given


def _zero_is_none(given: object) -> object:
    return None if type(given) in {int, float} and given == 0 else given


def empty_is(default: Callable[[], object]) -> WrapValidator:
    """An empty text stands for the default."""
    return WrapValidator(lambda given, check: default() if given == "" else check(given))


def _existing(path: Path) -> Path:
    try:
        if path.is_file():
            return path
    except PermissionError:  # the service may be allowed to look where whoever checks the file is not
        return path
    except OSError as error:  # its name is too long
        raise ValueError(error.strerror or "no such file") from None
    raise ValueError("no such file")


def _in_existing_folder(path: Path) -> Path:
    try:
        if path.is_dir() or not path.parent.is_dir():
            raise ValueError("it is a folder" if path.is_dir() else f"the folder {path.parent} does not exist")
    except OSError as error:  # its name is too long
        raise ValueError(error.strerror or "it cannot be looked at") from None
    return path


def _held_to(rule: Callable[[str], str | None]) -> Callable[[str], str]:
    """A check that refuses what a rule of MQTT finds a fault of."""

    def check(text: str) -> str:
        if fault := rule(text):
            raise ValueError(fault)
        return text

    return check


def _password(secret: SecretStr) -> SecretStr:
    if fault := fault_of_password(secret.get_secret_value()):
        raise ValueError(fault)
    return secret


# TOML has no null: zero leaves a number unset, an empty text leaves a text or path unset.
ZeroIsNone = BeforeValidator(_zero_is_none)
AnyCase = BeforeValidator(_in_capitals)
"""Written in any case, as device strings are; kept in capitals."""
EmptyIsNone = empty_is(lambda: None)
DeviceId = Annotated[
    str,
    Field(
        pattern=f"^{DEVICE_ID.pattern}$",
        description="1 to 63 lower-case letters, digits and dashes, not starting with a dash",
    ),
]
ExistingFile = Annotated[Path, AfterValidator(_existing)]
Host = Annotated[str, AfterValidator(_held_to(fault_of_host)), AfterValidator(plain_host)]
TopicPrefix = Annotated[str, Field(min_length=1), AfterValidator(_held_to(fault_of_prefix))]
Username = Annotated[str, AfterValidator(_held_to(fault_of_text))]
Password = Annotated[SecretStr, AfterValidator(_password)]
HostAddress = Annotated[str, AfterValidator(plain_host)]
"""Of this box; an IPv6 address with its brackets or without."""
NewFile = Annotated[Path, AfterValidator(_in_existing_folder)]
ReplyFilter = Annotated[
    str,
    Field(
        pattern=r"^(([^#+/$\s][^#+/]*|\+)(/([^#+/]*|\+))*(/#)?|#)$",
        description='a topic filter of MQTT, such as "home/+/replies" or "#"',
    ),
]
