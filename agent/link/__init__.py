"""The agent's side of the broker."""

from agent.link.link import Link, LinkStats
from agent.link.outbox import Dropped

__all__ = ["Dropped", "Link", "LinkStats"]
