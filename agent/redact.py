"""Passwords never leave the process: not in a message, a log line or a fault."""

import re
from typing import Final

HIDDEN: Final = "***"

# Greedy up to the last @ of the word: a password may itself hold an unescaped @ or /.
_USER_INFO: Final = re.compile(r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^\s'\"<>]*@")


def redact(text: str) -> str:
    """The text with user name and password of every URL in it replaced: ``rtsp://***@camera.lan/1``."""
    return _USER_INFO.sub(rf"\g<scheme>{HIDDEN}@", text) if "@" in text else text
