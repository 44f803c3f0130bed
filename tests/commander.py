"""Commands over a real broker, and the replies to them."""

import json
import uuid
from typing import Any, Final

from paho.mqtt.client import MQTTMessage

from agent.wire.commands import Reply
from agent.wire.topics import Topics
from tests.broker import Listener

CLIENT: Final = "commander"


class Commander(Listener):
    """Hears everything of one device, and asks it for things."""

    def __init__(self, port: int, topics: Topics) -> None:
        super().__init__(port, f"{topics.prefix}/{topics.device_id}/#")
        self.topics = topics

    def send(self, name: str, /, command_id: str | None = None, **args: Any) -> str:
        """Publish a command; returns its id."""
        command_id = command_id or uuid.uuid4().hex
        body = {"id": command_id, "reply_to": self.topics.reply(CLIENT), "args": args}
        self.client.publish(self.topics.command(name), json.dumps(body), 1)
        return command_id

    def reply(self, command_id: str, timeout_s: float = 60.0) -> Reply:
        """Wait for the reply to a command."""
        return Reply.decode(bytes(self.wait(lambda seen: self._answers(seen, command_id), timeout_s=timeout_s).payload))

    def ask(self, name: str, /, timeout_s: float = 60.0, **args: Any) -> Reply:
        """Publish a command and wait for its reply."""
        return self.reply(self.send(name, **args), timeout_s)

    def _answers(self, seen: MQTTMessage, command_id: str) -> bool:
        return seen.topic == self.topics.reply(CLIENT) and Reply.decode(bytes(seen.payload)).id == command_id
