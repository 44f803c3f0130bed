"""Compiled networks on the disk: a folder for each engine, with the checksums that OpenVINO's own cache lacks.

<cache>/<model>-<precision>-<height>x<width>-<digest of the spec>/contents.json    written last
<cache>/<model>-…/<device>/*.blob                                                  OpenVINO's
<cache>/golden/*.npz                                                               what engines are compared with

OpenVINO runs a damaged blob and gives other results, or ends the process. So what a checked engine left is listed with
checksums, and a folder that is not exactly as listed is emptied before OpenVINO sees it.
"""

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from agent.inference.spec import EngineSpec
from agent.wire.wording import cause_of
from models.shelf.manifest import FileDigest
from models.shelf.store import digest

log = structlog.get_logger()

CONTENTS = "contents.json"
ROOM_BYTES = 1 << 20
"""OpenVINO tells nobody of a blob that did not fit: where less is left, what it wrote is not believed."""
KEPT_MAX = 24
"""So many compiled networks are kept, the last used ones: about half a gigabyte of MoveNet."""


class Contents(BaseModel):
    """What a folder holds, and what it was compiled from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: str
    files: dict[str, FileDigest]
    """By path below the folder."""
    inference_precision: str | None = None
    """What it runs in, for when OpenVINO does not say so of a network that was taken from here."""


class KeptNetwork:
    """The compiled form of one engine. ``identity`` stands for all it was made from: files, card, OpenVINO."""

    def __init__(self, cache: Path, spec: EngineSpec, identity: str) -> None:
        key = hashlib.sha256(repr(spec).encode()).hexdigest()[:12]
        self.folder = cache / f"{spec.model}-{spec.precision}-{spec.height}x{spec.width}-{key}"
        """Where OpenVINO is to look and to write."""
        self._identity = identity

    def usable(self) -> bool:
        """Whether there can be such a folder: a box whose disk is at fault still has an engine."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            log.warning("cache.not_kept", folder=str(self.folder), cause=str(error))
            return False
        return True

    def sound(self) -> Contents | None:
        """What the folder holds, if it is this very engine, every byte as it was written; else it is emptied."""
        try:
            contents = Contents.model_validate_json((self.folder / CONTENTS).read_bytes())
            if contents.identity == self._identity:
                self._verify(contents)
                return contents
        except FileNotFoundError:
            pass  # nothing was kept, or the process ended before all was written
        except (OSError, ValidationError, ValueError) as error:
            log.warning("cache.damaged", folder=str(self.folder), cause=cause_of(error, "contents"))
        self.discard()
        return None

    def seal(self, inference_precision: str) -> None:
        """List what a checked engine left there; the networks that were not used for longest make room."""
        try:
            files = {path: digest(self.folder / path) for path in self._files()}
            if shutil.disk_usage(self.folder).free < ROOM_BYTES:
                raise OSError(errno.ENOSPC, "the disk is full, and what OpenVINO wrote may be cut short")
            if not files:
                raise OSError(errno.EIO, "OpenVINO kept nothing")
            contents = Contents(identity=self._identity, files=files, inference_precision=inference_precision)
            (self.folder / CONTENTS).write_text(contents.model_dump_json(indent=2), encoding="utf-8")
            touch(self.folder / CONTENTS)
            for stale in spare(self.folder.parent.glob(f"*/{CONTENTS}")):
                shutil.rmtree(stale.parent, ignore_errors=True)
        except OSError as error:
            log.warning("cache.not_kept", folder=str(self.folder), cause=str(error))
            self.discard()

    def discard(self) -> None:
        """Empty the folder: the next engine is compiled from the network itself."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _verify(self, contents: Contents) -> None:
        for path, expected in contents.files.items():
            if digest(self.folder / path) != expected:
                raise ValueError(f"{path} is not as it was written")
        # AUTO and MULTI may still have compiled for a second device when the list was written.
        for path in self._files() - contents.files.keys():
            (self.folder / path).unlink()
        touch(self.folder / CONTENTS)

    def _files(self) -> set[str]:
        found = {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}
        return found - {CONTENTS}


def touch(path: Path) -> None:
    """Note that a file was used now; the time that the kernel notes by itself is some milliseconds coarse."""
    now = time.time_ns()
    os.utime(path, ns=(now, now))


def spare(paths: Iterable[Path]) -> list[Path]:
    """Those that are beyond the number to keep, by the time of their last use."""
    return sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT_MAX:]
