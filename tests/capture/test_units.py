"""Pictures out of the packets of RTP: every byte once, in order, and early where a camera's habits allow."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from agent.capture.units import AccessUnits

START = b"\x00\x00\x00\x01"
MTU = 100


@dataclass(frozen=True)
class Packet:
    """What FFmpeg gives, and which picture it is of."""

    data: bytes
    stamp: int


def nal(kind: int, size: int) -> bytes:
    """An H.264 NAL unit without a start code in it."""
    return bytes([kind]) + b"\xab" * size


def packets(pictures: list[list[int]], gop: int) -> list[Packet]:
    """Cut pictures, each the sizes of its slices, as a payloader does: full fragments and a shorter last one."""
    found = []
    for number, slices in enumerate(pictures):
        kind = 5 if number % gop == 0 else 1
        units = ([nal(7, 8), nal(8, 4)] if kind == 5 else []) + [nal(kind, size) for size in slices]
        for unit in units:
            if len(unit) <= MTU:
                found.append(Packet(START + unit, number))
                continue
            room = MTU - 2
            body = unit[1:]
            parts = [body[at : at + room] for at in range(0, len(body), room)]
            found.append(Packet(START + unit[:1] + parts[0], number))
            found += [Packet(part, number) for part in parts[1:]]
    return found


sizes = st.integers(1, 4 * MTU)
feeds = st.tuples(st.lists(st.lists(sizes, min_size=1, max_size=4), min_size=1, max_size=30), st.integers(1, 10))


@given(feeds)
def test_every_byte_comes_once_and_in_order(feed: tuple[list[list[int]], int]) -> None:
    """Whatever the slices and their sizes, the pictures together are what the packets were, stamps and all."""
    given_packets = packets(*feed)
    units = AccessUnits("h264")
    done = [unit for packet in given_packets for unit in units.add(packet.data, packet.stamp, 0.0)] + units.rest()
    assert b"".join(unit.data for unit in done) == b"".join(packet.data for packet in given_packets)
    stamps = [unit.stamp for unit in done]
    assert stamps == sorted(stamps, key=lambda stamp: stamp or 0)
    # A picture in two pieces is a mistake that was noticed, and there are few before it gives up.
    assert len(done) - len(set(stamps)) <= units.faults <= 3


@given(st.lists(sizes, min_size=20, max_size=40), st.integers(1, 3))
def test_a_steady_camera_is_foretold(frame_sizes: list[int], slices: int) -> None:
    """Of a camera with as many slices in every picture, each comes with its own last packet after the first few."""
    pictures = [[size] * slices for size in frame_sizes]
    feed = packets(pictures, gop=1000)
    units = AccessUnits("h264")
    late = 0
    for at, packet in enumerate(feed):
        done = units.add(packet.data, packet.stamp, float(at))
        late += sum(unit.stamp != packet.stamp for unit in done)
        assert all(feed[int(unit.arrived_s)].stamp == unit.stamp for unit in done), "dated by another picture's packet"
    # One whose last fragment happens to be full is known by the next packet alone, like the first few of all.
    doubtful = sum(size % (MTU - 2) >= MTU - 10 or size % (MTU - 2) == 0 or size >= MTU - 8 for size in frame_sizes)
    records = sum(size > max(frame_sizes[:at], default=0) for at, size in enumerate(frame_sizes))
    assert units.faults == 0
    assert late <= 6 + doubtful + records * 4 + doubtful * 3


def test_a_still_scene_is_foretold_at_once() -> None:
    """Pictures that are alike are known after the first five."""
    units = AccessUnits("h264")
    feed = packets([[250, 130]] * 40, gop=1000)
    late = [
        unit.stamp
        for packet in feed
        for unit in units.add(packet.data, packet.stamp, 0.0)
        if unit.stamp != packet.stamp
    ]
    assert len(late) <= 5
