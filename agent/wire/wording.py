"""How texts of strangers are put into messages for people."""

import difflib
from collections.abc import Iterable
from typing import Final

SHOWN_MAX: Final = 60


def shown(text: str) -> str:
    """The text in quotes on one line, cut where it is long; whatever is not printable is escaped."""
    return repr(text) if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]!r}..."


def nearest(word: str, known: Iterable[str]) -> str | None:
    """What was probably meant by a word that is none of the known ones."""
    return next(iter(difflib.get_close_matches(word[:SHOWN_MAX], sorted(known), n=1, cutoff=0.6)), None)
