"""Errors a person is meant to read, split by whose fault they are.

Each carries what is wrong as its message and, where there is one, the cure as ``hint``. The command line prints both
and no traceback. Anything else that is raised is a defect of edgepose and is shown with its traceback.
"""


class EdgeposeError(Exception):
    """Base of every error with a known cause."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(EdgeposeError):
    """The configuration asks for something that cannot be."""


class CaptureError(EdgeposeError):
    """The camera, stream, file or folder cannot be opened or read."""


class ModelError(EdgeposeError):
    """A network is unknown, missing, damaged, or not what its card says."""


class FetchError(ModelError):
    """A file of a network or clip could not be had from any of its sources."""


class EngineError(EdgeposeError):
    """OpenVINO cannot compile or run the network on the requested device."""


class TrialError(EngineError):
    """A compiled network does not compute what it should."""


class AccuracyError(EngineError):
    """The network at a lower precision loses too many people, or their poses."""


class TooSlowError(EngineError):
    """A network is right, and finishes too few of the camera's frames."""


class CancelledError(EdgeposeError):
    """Somebody took back what was being done."""


class LinkError(EdgeposeError):
    """The broker refuses us or cannot be reached."""
