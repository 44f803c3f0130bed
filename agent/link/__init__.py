"""The agent's side of the broker."""

from agent.link.link import Link, LinkStats

__all__ = ["Link", "LinkStats"]
