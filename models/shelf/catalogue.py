"""The catalogue: one TOML card per network or sample clip, in ``models/cards``."""

import difflib
import functools
import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Annotated, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from agent.errors import ModelError
from agent.wire.wording import Worded, in_words

Precision = Literal["FP32", "FP16", "INT8"]
PRECISIONS: tuple[Precision, ...] = ("FP32", "FP16", "INT8")

Name = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$"),
    Worded("a name of 1 to 63 lower-case letters, digits and dashes, such as movenet-multipose"),
]
# A file's name becomes a path below the cache: no step of it may lead out of there.
RelativePath = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$"),
    Worded("a path below the cache, of letters, digits, dots, dashes and underscores, no step beginning with a dot"),
]
Source = Annotated[
    str,
    Field(
        pattern=r"^(https?://[^/#]+/[^#]+(#.+)?|npm:(@[^/]+/)?[^/@]+@[^/]+/.+|pypi:[A-Za-z0-9._-]+@[^/]+/.+|deb:[^/]+/.+)$"
    ),
    Worded("an address (https://HOST/FILE), or npm:PACKAGE@VERSION/FILE, pypi:PACKAGE@VERSION/FILE, deb:PACKAGE/FILE"),
]
"""An address, whose fragment names a file inside the archive there; or a package and a file inside it."""


class Part(BaseModel):
    """A piece of a card: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Pin(Part):
    """What a file must be: by its checksum, where one is known."""

    size: int | None = Field(default=None, gt=0)
    """Bytes."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$"), Worded("64 hexadecimal digits in lower case")] | None = (
        None
    )
    sha384: Annotated[str, Field(pattern=r"^[0-9a-f]{96}$"), Worded("96 hexadecimal digits in lower case")] | None = (
        None
    )

    @property
    def algorithm(self) -> str:
        """Name of the checksum, as hashlib knows it."""
        return "sha256" if self.sha256 else "sha384"

    @property
    def checksum(self) -> str:
        """The expected checksum in hexadecimal; empty where none is known."""
        return self.sha256 or self.sha384 or ""

    def hasher(self) -> "hashlib._Hash":
        """Return a fresh hash object of this file's algorithm."""
        return hashlib.new(self.algorithm)


class File(Pin):
    """One file to download, pinned by its checksum, and the sources to try in order."""

    name: RelativePath
    sources: tuple[Source, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_checksum(self) -> Self:
        if (self.sha256 is None) == (self.sha384 is None):
            raise ValueError("exactly one of sha256 and sha384 pins a file")
        return self


def _sized(value: object) -> object:
    return {"size": value} if isinstance(value, int) else value


Package = Annotated[Pin, BeforeValidator(_sized)]
"""Its download size in bytes, shown while it is fetched, alone or beside its checksum."""


SIDE_MAX = 4096
"""Pixels: the largest input that can be asked for anywhere."""
Divisor = Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)]


class Input(Part):
    """What the network takes: one picture of float 0..255, unless ``mean`` and ``scale`` say otherwise."""

    name: str
    layout: Literal["NHWC", "NCHW"]
    colour: Literal["RGB", "BGR"]
    stride: int = Field(ge=1, le=SIDE_MAX)
    """Height and width must be multiples of this."""
    height: int = Field(gt=0, le=SIDE_MAX)
    width: int = Field(gt=0, le=SIDE_MAX)
    resizable: bool
    """Whether another height and width may be chosen."""
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat] = (0.0, 0.0, 0.0)
    """Taken from each channel, in the network's own colour order."""
    scale: tuple[Divisor, Divisor, Divisor] = (1.0, 1.0, 1.0)
    """What each channel is divided by after that: 255 for a network that takes 0..1."""

    @model_validator(mode="after")
    def _multiples(self) -> Self:
        if self.height % self.stride or self.width % self.stride:
            raise ValueError(f"height and width must be multiples of the stride {self.stride}")
        return self


class Output(Part):
    """One output tensor."""

    tensor: str
    """Its name in the IR."""
    channels: int = Field(gt=0)
    axis: int | None = None
    """Where the channels stand; None is where the input has them."""


END_TO_END = 57
"""Numbers of a person in a YOLO-pose export that has chosen its people itself."""
FORMS: dict[tuple[str, str], dict[int, int]] = {
    ("yolo", "guesses"): {56: 1, END_TO_END: 2},
    ("rtmo", "dets"): {5: 2},
    ("rtmo", "keypoints"): {3: 3},
    ("simcc", "simcc_x"): {17: 1, 26: 1},
    ("simcc", "simcc_y"): {17: 1, 26: 1},
}
"""Of family and role, where it is one of a few: each number of channels that is read, and the axis it has to be on."""


class Decoder(Part):
    """How the outputs become poses."""

    family: Literal["movenet", "openpose", "yolo", "rtmo", "simcc", "yolox"]
    stride: int = Field(default=1, ge=1)
    """Pixels of the input per cell of the output."""
    nms_iou: float = Field(default=0.7, gt=0, le=1)
    """yolo, yolox, rtmo: boxes that overlap more than this are one person. The other families need none."""
    bins: float = Field(default=2, gt=0)
    """simcc: bins of the outputs for one pixel of the input."""
    heads: dict[str, Output]
    """What each role is played by."""

    @property
    def outputs(self) -> dict[str, str]:
        """Role to output tensor name."""
        return {role: head.tensor for role, head in self.heads.items()}

    @property
    def selects(self) -> bool:
        """Whether the network selects the people itself, or the guesses to read: nothing says which row comes where."""
        end_to_end = self.family == "yolo" and any(head.channels == END_TO_END for head in self.heads.values())
        return self.family == "rtmo" or end_to_end

    @property
    def detects(self) -> bool:
        """Whether the network finds people and no joints: the first stage of another one."""
        return self.family == "yolox"

    @property
    def centred(self) -> bool:
        """Whether the network expects a picture that does not fill its input in the middle of it."""
        return self.family == "yolo"


class TfjsConversion(Part):
    """A TensorFlow.js graph model: becomes a frozen graph, then IR cut at the heads."""

    kind: Literal["tfjs"]
    topology: RelativePath
    weights: RelativePath
    cut: dict[str, str]
    """Role to the node of the graph that becomes an output."""


class FrozenConversion(Part):
    """A frozen TensorFlow graph: becomes IR cut at the heads."""

    kind: Literal["frozen"]
    graph: RelativePath
    cut: dict[str, str]
    """Role to the node of the graph that becomes an output."""
    opencv_factors: dict[str, int] = Field(default_factory=dict)
    """Resizes that OpenCV reads only with a factor: node to factor. It then takes fewer sizes than the IR."""


class IrConversion(Part):
    """IR as published: nothing to convert."""

    kind: Literal["ir"]
    xml: dict[Precision, RelativePath]
    """The .xml of each precision; its .bin lies beside it."""


class OnnxConversion(Part):
    """ONNX: becomes IR, cut where ``cut`` says, its selection of people taken out where ``likeliest`` says so."""

    kind: Literal["onnx"]
    network: RelativePath
    cut: dict[str, str] = Field(default_factory=dict)
    """Role to the tensor of the graph that becomes an output; none where its own outputs are those of the heads."""
    likeliest: int | None = Field(default=None, ge=1)
    """So many guesses are read, instead of those that the graph's own non-maximum suppression leaves."""


class OwnConversion(Part):
    """The user's own files, installed by `models add`: IR or ONNX, which OpenVINO reads alike."""

    kind: Literal["own"]
    network: dict[Precision, RelativePath] = Field(min_length=1)
    """The file of each precision, below the folder given to `models add`."""


class _Card(Part):
    name: Name
    title: str
    licence: str
    origin: str
    files: tuple[File, ...]
    packages: dict[str, Package] = Field(default_factory=dict)
    """What is known of the packages and archives that sources refer to, by ``npm:...``, ``pypi:...`` or address."""


class NetworkCard(_Card):
    """A network."""

    kind: Literal["network"]
    files: tuple[File, ...] = ()
    detector: Name | None = None
    """Of a network that looks at one person at a time: the network that finds them in the picture."""
    input: Input
    decoder: Decoder
    conversion: Annotated[
        TfjsConversion | FrozenConversion | IrConversion | OnnxConversion | OwnConversion, Field(discriminator="kind")
    ]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        known = {file.name for file in self.files}
        match self.conversion:
            case TfjsConversion(topology=topology, weights=weights):
                needed = {topology, weights}
            case FrozenConversion(graph=graph):
                needed = {graph}
            case IrConversion(xml=xml):
                needed = set(xml.values()) | {path.removesuffix(".xml") + ".bin" for path in xml.values()}
            case OnnxConversion(network=network):
                needed = {network}
            case OwnConversion():
                needed = set()
                if known:
                    raise ValueError("a network of your own is not downloaded: it has no files")
        if (self.detector is None) == (self.decoder.family == "simcc"):
            raise ValueError("a network of the family simcc looks at one person at a time: it names a detector")
        self._require_readable()
        cut = getattr(self.conversion, "cut", None)
        if cut and set(cut) != set(self.decoder.heads):
            raise ValueError("conversion.cut and decoder.heads must name the same roles")
        if missing := sorted(needed - known):
            raise ValueError(f"conversion needs {', '.join(missing)}, which files does not list")
        return self

    def _require_readable(self) -> None:
        """Raise ValueError for heads of another form than the family's decoder reads."""
        for role, head in self.decoder.heads.items():
            axis = self.input.layout.index("C") if head.axis is None else head.axis
            if head.axis is None and self.input.layout != "NCHW":
                continue  # no output of these has as many axes: whether the layout is wrong, the file tells
            known = FORMS.get((self.decoder.family, role), {})
            if known and known.get(head.channels) != axis:
                forms = " or ".join(f"channels = {channels} on axis {place}" for channels, place in known.items())
                raise ValueError(
                    f"the family {self.decoder.family} reads {role} with {forms}, not {head.channels} on axis {axis}"
                )


class ClipCard(_Card):
    """A sample video: one file."""

    kind: Literal["clip"]
    files: tuple[File, ...] = Field(min_length=1, max_length=1)


Card = NetworkCard | ClipCard
C = TypeVar("C", NetworkCard, ClipCard, Card)
_ADAPTER: TypeAdapter[Card] = TypeAdapter(Annotated[Card, Field(discriminator="kind")])


def parse(text: str, origin: str) -> Card:
    """Read a card from TOML; ``origin`` names the text in errors. Raises ModelError."""
    try:
        return _ADAPTER.validate_python(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ModelError(f"{origin}: {error}") from error
    except ValidationError as error:
        raise ModelError(f"{origin}: {in_words(error)}") from error


@functools.cache
def cards() -> dict[str, Card]:
    """Every card by name, in alphabetical order."""
    folder = files("models") / "cards"
    paths = sorted((path for path in folder.iterdir() if path.name.endswith(".toml")), key=lambda path: path.name)
    found = [parse(path.read_text(encoding="utf-8"), path.name) for path in paths]
    return {card.name: card for card in found}


def card(name: str) -> Card:
    """Return the card of a network or clip. Raises ModelError for an unknown name."""
    return _choose(name, cards(), "network or clip")


def network(name: str, others: Iterable[str] = ()) -> NetworkCard:
    """Return the card of a network. Raises ModelError for an unknown name, which also offers ``others``."""
    return _choose(name, {n: c for n, c in cards().items() if isinstance(c, NetworkCard)}, "network", others)


def clip(name: str) -> ClipCard:
    """Return the card of a sample clip. Raises ModelError for an unknown name."""
    return _choose(name, {n: c for n, c in cards().items() if isinstance(c, ClipCard)}, "clip")


def _choose(name: str, among: Mapping[str, C], what: str, others: Iterable[str] = ()) -> C:
    if name in among:
        return among[name]
    known = [*among, *others]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]}? " if near else ""
    raise ModelError(f"there is no {what} called {name!r}", hint=f"{guess}known: {', '.join(known)}")
