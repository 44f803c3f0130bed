"""The job `fetch`: a network of the catalogue, brought by `models fetch` beside the running agent.

Who asks names it, and nothing else: where it comes from, and the checksums by which it is taken, are the catalogue's.
"""

import sys
import threading
from typing import Final

from agent.config.tree import Config
from agent.control.beside import Beside
from agent.control.events import Done, Work
from agent.control.workshop import Tell
from agent.errors import CancelledError, EdgeposeError
from agent.wire.commands import CommandError, ErrorCode, Fetch, Fetched
from models.shelf.store import Store

STILL_S: Final = 300.0
"""A slow line computes little; the downloader itself gives up on one that is silent."""


class Fetching:
    """Does the job, one at a time; :meth:`run` blocks and belongs in a thread of its own."""

    def __init__(self, config: Config) -> None:
        self._folder = config.paths.models
        self._beside = Beside("models fetch", STILL_S)

    def run(self, work: Work, tell: Tell, cancelled: threading.Event) -> Done:
        """Fetch and verify. Raises EdgeposeError, CancelledError when cancelled."""
        assert work.command is not None
        args = work.command.args
        assert isinstance(args, Fetch)
        command = [sys.executable, "-m", "models.cli", "fetch", args.name, "--json", "--progress", "json"]
        command += ["--models-dir", str(self._folder)]
        try:
            report = self._beside.run(command, tell, cancelled, hint="`controller check` says how the box stands")
        except CancelledError:
            raise
        except EdgeposeError as error:
            raise CommandError(ErrorCode.FETCH_FAILED, str(error), error.hint) from error
        assert isinstance(report, list)
        assert isinstance(report[0], dict)
        tell("verifying", 1.0)
        store = Store(self._folder)
        store.verify(args.name)
        manifest = store.manifest(args.name)
        result = Fetched(
            model=args.name,
            fetched=bool(report[0]["fetched"]),
            precisions=store.precisions(args.name),
            licence=manifest.licence,
            checksums=manifest.sources,
        )
        return Done(work.number, result.model_dump(mode="json"))

    def close(self) -> None:
        """The agent ends, and may not wait for the job to notice."""
        self._beside.kill()
