"""Telegraf's configuration, as far as it can be tried without Telegraf: what it names is what the agent sends."""

import json
import tomllib
from importlib.resources import files

from agent.wire.topics import Topics
from tests import samples


def test_what_telegraf_reads_is_what_the_agent_sends() -> None:
    """Its topic is that of the summaries, its tags and what it leaves out are their fields, its time theirs."""
    text = files("configs").joinpath("telegraf/edgepose.conf").read_text(encoding="utf-8")
    (source,) = tomllib.loads(text)["inputs"]["mqtt_consumer"]
    (parser,) = source["json_v2"]
    (read,) = parser["object"]
    sent = json.loads(samples.metrics("hall").encode())
    assert source["topics"] == [Topics("hall").metrics.replace("hall", "+")]
    assert {*read["tags"], *read["excluded_keys"], parser["timestamp_path"]} <= sent.keys()
    assert {type(sent[tag]) for tag in read["tags"]} == {str}
    rest = sent.keys() - {*read["tags"], *read["excluded_keys"]}
    assert {name for name in rest if isinstance(sent[name], str)} == set(), "neither a figure nor a tag"
