"""Whom to believe that they are the camera: certificates of https and rtsps, before a password is sent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.capture import Source
from tests.authority import certify, make_authority
from tests.cameras.rtsp import RtspCamera, require_gstreamer
from tests.cameras.web import WebCamera, guarded, stream
from tests.capture.helpers import Listener, next_frame, opened

QUICK: dict[str, Any] = {"open_timeout_s": 5.0, "read_timeout_s": 3.0}
PASSWORD = "tr0ub4dor"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem, and good.pem, which it signed for 127.0.0.1 and localhost; expired.pem is of yesterday."""
    folder = tmp_path_factory.mktemp("camera-certificates")
    make_authority(folder, "good", "expired")
    certify(folder, "good")
    certify(folder, "expired", -1)
    return folder


def refused(source: str, **tls: Any) -> str:
    """Why a camera is not believed; its password stands nowhere."""
    listener = Listener()
    with opened(listener, source=source, tls=tls, **QUICK):
        lost = listener.next(20)
    assert lost.code == "camera.lost"
    assert PASSWORD not in repr(lost)
    return f"{lost.message} {lost.facts.get('cure', '')}"


def seen(source: str, **tls: Any) -> None:
    """A picture comes."""
    with opened(source=source, tls=tls, **QUICK) as opened_source:
        first(opened_source)


def first(source: Source) -> None:
    for _ in range(3):
        if source.read(10) is not None:
            return
    next_frame(source)


@pytest.mark.filterwarnings("ignore:Unverified HTTPS")  # in the product it is off, which pytest's own filters undo
def test_https_is_verified(folder: Path) -> None:
    """A certificate nobody vouches for is refused before anything is sent; its authority or not looking lets it in."""
    answer = guarded(stream(), "gym", PASSWORD, "basic")
    with WebCamera(answer, (folder / "good.pem", folder / "good.key")) as camera:
        url = camera.url(account=f"gym:{PASSWORD}")
        assert "certificate is not trusted" in refused(url)
        assert camera.requests == []
        seen(url, ca_file=folder / "ca.pem")
        seen(url, verify=False)
        elsewhere = camera.url(account=f"gym:{PASSWORD}", host="localhost")
        assert "certificate is not trusted" in refused(elsewhere, ca_file=folder / "ca.pem")


def test_an_expired_certificate_is_told_as_such(folder: Path) -> None:
    """Nobody looks for a wrong password when a date has passed."""
    with WebCamera(stream(), (folder / "expired.pem", folder / "expired.key")) as camera:
        assert "expired" in refused(camera.url(), ca_file=folder / "ca.pem")


@pytest.mark.parametrize("cure", [lambda folder: {"ca_file": folder / "ca.pem"}, lambda _: {"verify": False}])
def test_rtsps_is_verified(folder: Path, cure: Callable[[Path], dict[str, Any]]) -> None:
    """The same over RTSP: refused with the cure, and let in by either."""
    require_gstreamer()
    certificate = {"certificate": str(folder / "good.pem"), "key": str(folder / "good.key")}
    with RtspCamera(**certificate) as camera:
        why = refused(camera.url("h264"))
        assert "certificate is not trusted" in why
        assert "camera.tls.ca_file" in why
        seen(camera.url("h264"), **cure(folder))
