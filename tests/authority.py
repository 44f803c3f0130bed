"""A certificate authority for the tests of TLS, made with the openssl command."""

import shutil
import subprocess
from pathlib import Path

import pytest


def _openssl(*arguments: str, cwd: Path) -> None:
    subprocess.run(["openssl", *arguments], cwd=cwd, check=True, capture_output=True)


def make_authority(folder: Path) -> None:
    """Make ca.pem, and broker.pem and agent.pem with their keys, signed by it and good for 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not installed")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1")
    _openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority", cwd=folder)
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("broker", "agent"):
        _openssl("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}", cwd=folder)
        certify(folder, name)


def certify(folder: Path, name: str, days: int = 1) -> None:
    """Make <name>.pem, signed by the authority; with -1 day it expired yesterday."""
    sign = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", str(days), "-extfile", "names")
    _openssl("x509", "-req", "-in", f"{name}.csr", *sign, "-out", f"{name}.pem", cwd=folder)


def tls_lines(folder: Path) -> list[str]:
    """Return what makes mosquitto show the broker's certificate."""
    return [
        "allow_anonymous true",
        f"cafile {folder / 'ca.pem'}",
        f"certfile {folder / 'broker.pem'}",
        f"keyfile {folder / 'broker.key'}",
    ]
