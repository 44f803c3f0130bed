"""Certificates for the tests of TLS, made by the script that operators are given."""

import os
import shutil
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from agent.wire.broker import tls_context

MOSQUITTO: Final = Path(__file__).parents[1] / "configs" / "mosquitto"


def make_authority(folder: Path, *devices: str) -> None:
    """Make ca.pem, broker.pem, a certificate for each device (``agent`` unless named), operator, viewer and others."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not installed")
    command: list[str | Path] = [MOSQUITTO / "make-test-ca.sh", folder, *(devices or ("agent",))]
    subprocess.run(command, check=True, env=os.environ | {"DAYS": "1"})


def context(folder: Path, name: str | None) -> ssl.SSLContext:
    """Trust the authority of the folder, and show the certificate of that name, if any."""
    own = (folder / f"{name}.pem", folder / f"{name}.key") if name else (None, None)
    return tls_context(folder / "ca.pem", *own)


def certify(folder: Path, name: str, days: int = 1) -> None:
    """Make <name>.pem of its key again, good for 127.0.0.1; with -1 day it expired yesterday."""
    request = ("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1")
    good: tuple[str, ...] = ("-days", str(days))
    known = subprocess.run(["openssl", "x509", "-help"], capture_output=True, text=True, check=True).stderr
    if days < 0 and "-not_after" in known:
        past = datetime.now(UTC) + timedelta(days=days)
        good = ("-not_before", "20000101000000Z", "-not_after", f"{past:%Y%m%d%H%M%SZ}")
    sign = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", *good, "-copy_extensions", "copy")
    for step in ((*request, "-out", "again.csr"), ("x509", "-req", "-in", "again.csr", *sign, "-out", f"{name}.pem")):
        subprocess.run(["openssl", *step], cwd=folder, check=True, capture_output=True)


def tls_lines(folder: Path) -> list[str]:
    """Return what makes mosquitto show the broker's certificate."""
    return [
        "allow_anonymous true",
        f"cafile {folder / 'ca.pem'}",
        f"certfile {folder / 'broker.pem'}",
        f"keyfile {folder / 'broker.key'}",
    ]


def secure_lines(folder: Path, *more_access: str) -> list[str]:
    """Return the configuration operators are given, with the certificates of the folder; it may let in a few more."""
    access = folder / "acl.conf"
    access.write_text("\n".join([(MOSQUITTO / "acl.conf").read_text(encoding="utf-8"), *more_access]) + "\n")
    access.chmod(0o600)
    text = (MOSQUITTO / "secure.conf").read_text(encoding="utf-8")
    text = text.replace("/etc/mosquitto/certs", str(folder)).replace("/etc/mosquitto/acl.conf", str(access))
    # The port, and what would outlive the test, are the test's own.
    return [line for line in text.splitlines() if not line.startswith(("listener ", "persistence"))]
