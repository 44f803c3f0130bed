"""Small cards, made up for one test."""

import hashlib
import random

from models.shelf.catalogue import ClipCard, File

CONTENT = random.Random(1).randbytes(600_000)


def clip_card(
    *sources: str, content: bytes = CONTENT, size: int | None = len(CONTENT), name: str = "sample"
) -> ClipCard:
    """Make a clip of one file ``sample.avi`` that is ``content``, to be had from ``sources``."""
    file = File(name="sample.avi", size=size, sha256=hashlib.sha256(content).hexdigest(), sources=sources)
    return ClipCard(kind="clip", name=name, title="", licence="", origin="", files=(file,))
