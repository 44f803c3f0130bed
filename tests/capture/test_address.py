"""What an address names, and what of it may be shown."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.address import Clip, Device, Stream, parse, redact
from agent.errors import CaptureError

SECRET = "xQ7zS"
any_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=12)
schemes = st.sampled_from(["rtsp", "rtsps", "http", "https", "RTSP"])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("0", Device("/dev/video0")),
        ("/dev/video2", Device("/dev/video2")),
        ("/dev/v4l/by-id/usb-cam", Device("/dev/v4l/by-id/usb-cam")),
        ("clip:vtest", Clip("vtest")),
        ("rtsp://host/a", Stream("rtsp://host/a", "host", 554)),
        ("http://host:8080/a", Stream("http://host:8080/a", "host", 8080)),
        ("clips/gym.mp4", Path("clips/gym.mp4")),
        ("http.mp4", Path("http.mp4")),
    ],
)
def test_source_kinds(source: str, expected: object) -> None:
    """A source is a device, a stream, a clip or a path by its form alone."""
    assert parse(source) == expected


@pytest.mark.parametrize(
    "source", ["ftp://host/a.mp4", "rtsp://", "rtsp://host:port/a", "http://user:p/w@host/a", "http://a b/"]
)
def test_malformed_addresses(source: str) -> None:
    """An address no source can read is refused with what was expected."""
    with pytest.raises(CaptureError, match="expected"):
        parse(source)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("rtps://host/a", "rtsp://"),
        ("htpp://host/a", "did you mean http://"),
        ("rtsp://gym:a@b/c@host/1", "/ is %2F, @ is %40"),
        ("rtsp://gym:a@b@host/1", "@ is %40"),
        ("http://gym:a/b@host/1", "/ is %2F"),
        ("http://gym:a#b@host/1", "# is %23"),
        ("http://gym:a?b@host/1", "? is %3F"),
    ],
)
def test_malformed_addresses_have_a_cure(source: str, words: str) -> None:
    """A slip of the keys is guessed; a password that ends the host's name early is told how to be written."""
    with pytest.raises(CaptureError) as caught:
        parse(source)
    assert words in caught.value.hint
    assert not any(piece in str(caught.value) for piece in ("a@b", "a/b", "a#b", "a?b"))


@pytest.mark.parametrize("port", ["99999", "-1", "port", "65536"])
def test_a_port_that_cannot_be(port: str) -> None:
    """A port beyond the last is told before anybody tries it."""
    with pytest.raises(CaptureError, match="not a valid address"):
        parse(f"rtsp://host:{port}/a")


@pytest.mark.parametrize("source", ["rtsp://cam/live@1", "rtsp://[fe80::1%25eth0]:554/a", "http://gym:a%40b@cam/x"])
def test_addresses_that_look_odd_and_are_good(source: str) -> None:
    """An @ in a path, an interface in an address, an encoded password."""
    assert isinstance(parse(source), Stream)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://admin:12345@10.0.0.7:554/cam/1", "rtsp://10.0.0.7:554/cam/1"),
        ("rtsp://10.0.0.7/cam?channel=1&password=12345", "rtsp://10.0.0.7/cam?***"),
        ("rtsp://10.0.0.7/user=admin&password=12345&channel=1.sdp", "rtsp://10.0.0.7/***"),
        ("rtsp://admin:1/2@10.0.0.7/cam", "rtsp://***"),
        ("http://[::1]:8080/video#t", "http://[::1]:8080/video"),
        ("http:/admin:12345@host/cam", "***@host/cam"),
        ("/data/gym@home.mp4", "/data/gym@home.mp4"),
        (f"http://user%3A{SECRET}%40cam/x", "http://***"),
        (f"clip:rtsp://u:{SECRET}@cam/1", "clip:rtsp://cam/1"),
        (f"{SECRET}@cam/x", "***@cam/x"),
        (f"cam rtsp://u:{SECRET}@cam/1", "cam rtsp://cam/1"),
        ("/dev/video0", "/dev/video0"),
    ],
)
def test_redacted_addresses(source: str, shown: str) -> None:
    """Host and path stay readable when they hold no secret."""
    assert redact(source) == shown


@given(schemes, any_text, any_text, any_text, any_text)
def test_no_password_is_shown(scheme: str, user: str, before: str, after: str, path: str) -> None:
    """No character of a password, escaped or not, survives wherever the camera's maker wants it written."""
    password = before + SECRET + after
    for source in (
        f"{scheme}://{user}:{password}@host/{path}",
        f"{scheme}://{user}{SECRET}:{password}@host:554/{path}?a=b",
        f"{scheme}://host/live?user={user}&pw={password}",
        f"{scheme}:/{user}:{password}@host/live",
    ):
        assert SECRET not in redact(source)


@given(any_text)
def test_refusals_hide_passwords(password: str) -> None:
    """An address too broken to parse is refused without repeating its password."""
    try:
        parse(f"rtsp://admin:{SECRET}{password}@host:x/")
    except CaptureError as error:
        assert SECRET not in str(error)  # noqa: PT017 - any address that parses is fine, too
