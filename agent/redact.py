"""Passwords never leave the process: not in a message, a log line or a fault."""

import re
from typing import Final

HIDDEN: Final = "***"

# Greedy up to the last @ of the word: a password may itself hold an unescaped @, / or quote. One slash is enough: an
# address that went through a Path has lost the other.
_USER_INFO: Final = re.compile(r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]*:/{1,2})\S*@")
# Cameras take accounts in the query too: http://camera.lan/video?user=...&pwd=...
_QUERY: Final = re.compile(r"(?P<address>\b[a-zA-Z][a-zA-Z0-9+.-]*:/+[^\s?]*)\?\S+")


def redact(text: str) -> str:
    """Replace account and query of every address in the text: ``rtsp://***@camera.lan/1?***``."""
    if ":/" not in text:
        return text
    return _QUERY.sub(rf"\g<address>?{HIDDEN}", _USER_INFO.sub(rf"\g<scheme>{HIDDEN}@", text))
