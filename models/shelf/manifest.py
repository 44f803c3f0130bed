"""What is written beside an installed network or clip: what it is made of, and what is known of it."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Literal

from pydantic import AwareDatetime, Field

from models.shelf.catalogue import Part, Precision


class FileDigest(Part):
    """What an installed file must be."""

    size: int
    sha256: str


class Agreement(Part):
    """How well the people found agree with those FP32 finds on the same frames, as the wire tells it."""

    frames: int
    people: int
    missed: int
    invented: int
    mean_oks: float | None


class Certificate(Part):
    """What is known of a variant that was made here, from FP32."""

    agreement: Agreement
    """With FP32, on frames that were held back."""
    height: int
    width: int
    """Of the input it was measured at."""
    calibration_frames: int
    layers: int
    """That could have been quantised."""
    layers_quantized: int
    speedup: float
    """Throughput over that of FP32, in turns on the CPU of the machine it was made on."""
    speedup_over_fp16: float | None
    rest_precision: str
    """What that CPU computes the other layers in."""
    fp32_sha256: str | None
    """Of the weights it was made from. The .xml does not tell: OpenVINO numbers its names anew at each conversion."""
    nncf_version: str
    openvino_version: str
    edgepose_version: str
    created_at: AwareDatetime


class Manifest(Part):
    """What was installed, from what, by what."""

    # Raised when the same sources would be converted to something else: older entries are then made again.
    layout: Literal[1] = 1
    name: str
    licence: str
    origin: str
    sources: dict[str, str]
    """Checksum of each downloaded file."""
    files: dict[str, FileDigest]
    """Every installed file, by path below the entry's folder."""
    variants: dict[Precision, str] = Field(default_factory=dict)
    """The .xml of each precision, by path below the entry's folder."""
    certificates: dict[Precision, Certificate] = Field(default_factory=dict)
    """Of the variants that were made here; the others are the publisher's, or mere conversions."""
    clip: str | None = None
    openvino_version: str | None = None
    edgepose_version: str
    created_at: AwareDatetime

    def files_of(self, precision: Precision) -> dict[str, FileDigest]:
        """The .xml and .bin of a variant; none when it is not there."""
        if precision not in self.variants:
            return {}
        xml = PurePosixPath(self.variants[precision])
        return {path: self.files[path] for path in (str(xml), str(xml.with_suffix(".bin"))) if path in self.files}

    def made_here(self) -> set[str]:
        """Paths of the files of variants that were made here."""
        return {path for precision in self.certificates for path in self.files_of(precision)}

    def weights_sha256(self, precision: Precision) -> str | None:
        """Of the .bin of a variant; None when it is not there."""
        found = [file.sha256 for path, file in self.files_of(precision).items() if path.endswith(".bin")]
        return found[0] if found else None

    def with_variant(
        self, precision: Precision, xml: str, files: Mapping[str, FileDigest], certificate: Certificate
    ) -> "Manifest":
        """The same with a variant that was made here, in place of the one there was."""
        old = self.files_of(precision)
        return self.model_copy(
            update={
                "files": {path: file for path, file in self.files.items() if path not in old} | dict(files),
                "variants": self.variants | {precision: xml},
                "certificates": self.certificates | {precision: certificate},
            }
        )
