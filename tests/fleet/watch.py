"""What a fleet has said, counted as it comes, without reading it: a thousand boxes say much."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.wire.topics import group_command, group_reply
from tests.broker import hang_up
from tests.fleet.boxes import GROUP

KEPT: Final = ("availability", "info", "state")
"""What a box says once it is there, retained."""
NAME: Final = "bench"


class Watch:
    """Hears the fleet, as a context manager; goes on through a restart of the broker."""

    def __init__(self, port: int, ca_file: Path | None = None) -> None:
        self._news = threading.Condition()
        self._port = port
        self._kept: dict[str, dict[str, float]] = {leaf: {} for leaf in KEPT}
        self._replies: dict[str, float] = {}
        self._refused = 0
        # With a name of its own: of a client that comes back without one rumqttd wants none of what was before.
        self._client = Client(
            CallbackAPIVersion.VERSION2, f"{NAME}-{uuid.uuid4().hex[:8]}", protocol=MQTTProtocolVersion.MQTTv5
        )
        if ca_file is not None:
            self._client.tls_set(str(ca_file))
        self._client.max_inflight_messages_set(0)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        hang_up(self._client)

    def _on_connect(self, client: Client, *_: object) -> None:
        client.subscribe([(f"edgepose/+/{leaf}", 0) for leaf in (*KEPT, f"reply/{NAME}")])

    def _on_message(self, _client: object, _data: object, message: MQTTMessage) -> None:
        _prefix, device, leaf, *_more = message.topic.split("/")
        now_s = time.monotonic()
        with self._news:
            if leaf == "reply":
                self._replies.setdefault(device, now_s)
                self._refused += b'"error":null' not in message.payload
            elif message.payload != b"offline":
                self._kept[leaf].setdefault(device, now_s)
            self._news.notify_all()

    def forget(self) -> None:
        """Begin to count anew."""
        with self._news:
            for each in (*self._kept.values(), self._replies):
                each.clear()

    def wait(self, wanted: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for what is true of what has been heard."""
        with self._news:
            return self._news.wait_for(wanted, timeout_s)

    def all_there(self, count: int, timeout_s: float) -> dict[str, float]:
        """Wait until so many have said all that is kept of them; the moment of the last, of each kind."""
        self.wait(lambda: all(len(each) >= count for each in self._kept.values()), timeout_s)
        with self._news:
            short = {leaf: len(each) for leaf, each in self._kept.items() if len(each) < count}
            assert not short, f"after {timeout_s:g} s only {short} of {count}"
            return {leaf: max(each.values()) for leaf, each in self._kept.items()}

    def ask_all(self, name: str, count: int, timeout_s: float, args: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One command to the group; seconds to the reply of half, of 99 of 100, and of the last."""
        with self._news:
            self._replies.clear()
            self._refused = 0
        body = {"id": uuid.uuid4().hex, "reply_to": group_reply(GROUP, NAME), "args": args or {}}
        began_s = time.monotonic()
        self._client.publish(group_command(GROUP, name), json.dumps(body), 1)
        self.wait(lambda: len(self._replies) >= count, timeout_s)
        with self._news:
            took = sorted(at_s - began_s for at_s in self._replies.values())
            refused = self._refused
        assert len(took) == count, f"{len(took)} of {count} answered {name} within {timeout_s:g} s"
        return {
            "command": name,
            "half_s": round(took[count // 2], 3),
            "99_percent_s": round(took[min(count - 1, count * 99 // 100)], 3),
            "last_s": round(took[-1], 3),
            "refused": refused,
        }
