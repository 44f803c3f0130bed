"""The broker and the agents on it, for a program: connection, session, fleet, requests, jobs.

What other programs may build on is named here; docs/client.md shows it in use.
"""

from controller.client.address import Address
from controller.client.fleet import Agent, Availability
from controller.client.request import Outcome, command
from controller.client.session import Session

__all__ = ["Address", "Agent", "Availability", "Outcome", "Session", "command"]
