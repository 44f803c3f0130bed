"""From the options to a session with the broker."""

import os
from collections.abc import Callable

from agent.wire.trust import Key, KeyFileError, read_keys
from controller.client.address import Address
from controller.client.session import Session
from controller.commands.options import Given
from controller.errors import UsageError
from controller.terminal.surroundings import complain


def open_session(given: Given, complain: Callable[[str], None] = complain) -> Session:
    """Make the session that the options name; entering it connects. Raises :class:`ControllerError`."""
    return Session(
        address_of(given),
        prefix=given.prefix,
        timeout_s=given.timeout_s,
        key=signing_key(given),
        complain=complain,
    )


def address_of(given: Given) -> Address:
    """Return the broker the options name. Raises :class:`UsageError` when they name none."""
    options = {"password": os.environ.get("EDGEPOSE_BROKER_PASSWORD")} | given.values
    try:
        return Address.of(options.get("broker", "localhost"), options)
    except ValueError as error:
        raise UsageError(f"--broker or EDGEPOSE_BROKER: {error}") from error


def signing_key(given: Given) -> Key | None:
    """Return the key the options name. Raises :class:`UsageError` for a file that holds none."""
    file = given.values.get("signing_key")
    try:
        return read_keys(file)[0] if file is not None else None
    except KeyFileError as error:
        raise UsageError(f"--signing-key: {error}", hint="ask whoever configured the box") from error
