"""The proof that an installation works: the configured network, built and answering as it should."""

import threading

from agent.config.tree import Config
from agent.control.settings import Settings
from agent.control.workshop import REFERENCE_DEVICE, Workshop
from agent.inference.devices import open_core
from models.shelf.store import Store


def prove_engine(config: Config) -> str:
    """Build the configured network on the CPU, which every box has, and compare its answer with the known one.

    Takes seconds, and neither reads nor writes the cache, which may be a running agent's. Returns what was built.
    Raises ModelError, ConfigError, EngineError and TrialError.
    """
    uncached = config.model_copy(update={"inference": config.inference.model_copy(update={"cache": False})})
    settings = Settings.of(config).model_copy(update={"device": REFERENCE_DEVICE})
    workshop = Workshop(uncached, open_core(config.devices.aliases), Store(config.paths.models))
    # Whether INT8 is good enough was decided when it was made; here nobody is in view.
    with workshop.build(settings, (), threading.Event(), judged=True).lane.engine as engine:
        return f"{engine.spec.model} {engine.spec.precision} answers as it should on {engine.spec.device}"
