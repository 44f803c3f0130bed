"""Reading video by FFmpeg: files, streams and V4L2 cameras. All use of PyAV's containers is here."""

import contextlib
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import av.error
from av.codec.context import Flags
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from agent.capture import faults, pixels
from agent.capture.frame import Picture
from agent.capture.timing import FIRST_PICTURE_S
from agent.capture.units import AccessUnit, AccessUnits
from agent.errors import CaptureError

DEFAULT_FPS: Final = 25.0
_FPS_MAX: Final = 240.0
_STEP_MIN_S: Final = 1e-4
_JUMP_S: Final = 60.0
"""A step of the time stamps that no camera makes: another clock, not a gap."""
_MISSING_SHARE: Final = 0.02
"""Containers count inexactly by a picture or two."""
_UNREADABLE_MAX: Final = 1000
_ARRIVALS_MAX: Final = 100
_FOREVER_S: Final = 3600.0
_STRICT: Final = frozenset({"mjpeg", "png", "gif"})
_WHOLE_PACKETS: Final = frozenset({"mjpeg", "vp8", "vp9", "av1"})
"""Codecs of which FFmpeg's RTP reader gives whole pictures with its parser off."""


@dataclass(frozen=True, slots=True)
class Opening:
    """How to open something."""

    url: str
    address: str
    """What of ``url`` may be shown."""
    options: Mapping[str, str]
    open_timeout_s: float
    read_timeout_s: float
    format: str | None = None
    named: bool = False
    """Whether the address holds user and password."""
    hardware: bool = False
    """Whether Intel's hardware is to decode, where it can."""

    def container(self, **more: str) -> InputContainer:
        """Open it. Raises :class:`CaptureError`."""
        try:
            container = av.open(
                self.url,
                format=self.format,
                options={**self.options, **more},
                timeout=(self.open_timeout_s, self.read_timeout_s),
                metadata_errors="ignore",  # a title in another encoding is no reason to see nothing
            )
        except av.error.FFmpegError as error:
            raise faults.of_ffmpeg(error, self.address, named=self.named, waited_s=self.open_timeout_s) from None
        if not container.streams.video or container.streams.video[0].codec_context is None:
            container.close()
            raise CaptureError(f"{self.address} holds no video of a kind that is known")
        return container


class VideoReader:
    """An open container of which the first video stream is read.

    ``live`` gives each picture the moment it is complete: one thread, no reordering unless the stream has it.
    """

    def __init__(self, opening: Opening, *, live: bool, paced: bool, finite: bool) -> None:
        self._opening = opening
        self._live = live
        self.paced = paced
        self.finite = finite
        self.damaged = 0
        self.position_s = 0.0
        self.arrived_s = 0.0
        self._container, self._units = _opened(opening, live=live)
        self._stream: VideoStream = self._container.streams.video[0]
        self.software_because = ""
        self._on_trial = opening.hardware
        """Whether the hardware has still to show that it can."""
        self._decoder = self._first_decoder()
        self.period_s = _period_s(self._stream)
        base = self._stream.time_base
        self._tick = None if base is None else (base.numerator, base.denominator)
        """Seconds of a step of the time stamps, as a fraction: to make one of them for each frame is dear."""
        self._packets: Iterator[Packet[VideoStream]] = self._container.demux(self._stream)
        self._frames: deque[VideoFrame] = deque()
        self._arrivals: dict[int | None, float] = {}
        self._frame: VideoFrame | None = None
        self._stamp_s: float | None = None
        self._decoded = 0
        self._unreadable = 0
        self._ended = False

    @property
    def codec(self) -> str:
        """As FFmpeg calls it."""
        return self._decoder.name

    @property
    def interlaced(self) -> bool:
        """Whether the picture grabbed holds two moments, line by line."""
        return self._frame is not None and self._frame.interlaced_frame

    @property
    def key(self) -> bool:
        """Whether the picture grabbed needs no other."""
        return self._frame is not None and bool(self._frame.key_frame)

    def grab(self) -> bool:
        """Wait for the next picture that can be decoded; False at the end. Raises :class:`CaptureError`."""
        began_s = time.perf_counter()
        while not self._frames:
            if self._ended:
                return False
            self._decode_next()
            patience_s = self._opening.read_timeout_s
            if not self._decoded:
                patience_s = max(patience_s, FIRST_PICTURE_S)
            if self._live and not self._frames and time.perf_counter() - began_s > patience_s:
                raise CaptureError("frames come, but cannot be decoded")
        self._frame = self._frames.popleft()
        self._decoded += 1
        self.arrived_s = self._arrivals.pop(self._frame.pts, 0.0) or time.perf_counter()
        self.position_s += self._step_s()
        return True

    def retrieve(self) -> Picture | None:
        """The picture grabbed, upright and with square pixels."""
        assert self._frame is not None
        return pixels.picture(self._frame, self._decoder.sample_aspect_ratio or self._stream.sample_aspect_ratio)

    def close(self) -> None:
        """Release camera, connection or file."""
        self._ended = True
        self._frames.clear()
        self._container.close()

    def _first_decoder(self) -> VideoCodecContext:
        if self._on_trial:
            try:
                return _quick_sync(self._stream, live=self._live)
            except (av.error.FFmpegError, ValueError) as error:
                return self._fall_back(error)
        return _software(self._stream, live=self._live)

    def _fall_back(self, error: Exception) -> VideoCodecContext:
        """Return the decoder that every box has."""
        self._on_trial = False
        codec = self._stream.codec_context.name
        self.software_because = f"Quick Sync cannot decode {codec} here ({_why(error)})"
        return _software(self._stream, live=self._live)

    def _decode_next(self) -> None:
        """Read a packet, and decode what is complete with it."""
        began_s = time.perf_counter()
        try:
            packet = next(self._packets, None)
        except av.error.EOFError:
            packet = None
        except av.error.InvalidDataError:
            self._pass_over()
            return
        except av.error.ExitError:
            raise CaptureError(f"no frame for {time.perf_counter() - began_s:.1f} s") from None
        except av.error.FFmpegError as error:
            raise faults.of_ffmpeg(error, self._opening.address, named=self._opening.named) from None
        if packet is None or packet.size == 0:
            self._end()
        elif self._units is None:
            self._decode(packet, time.perf_counter())
        else:
            for unit in self._units.add(bytes(packet), packet.pts, time.perf_counter()):
                self._decode(_packet(unit), unit.arrived_s)

    def _pass_over(self) -> None:
        """What the container says next is nonsense: go on behind it, where FFmpeg finds the way."""
        self.damaged += 1
        self._unreadable += 1
        if self._unreadable > _UNREADABLE_MAX:
            self._end()
        else:
            self._packets = self._container.demux(self._stream)

    def _decode(self, packet: "Packet[VideoStream] | None", arrived_s: float) -> None:
        if packet is not None and self._live:
            if len(self._arrivals) > _ARRIVALS_MAX:  # of pictures that were never decoded
                self._arrivals.clear()
            self._arrivals[packet.pts] = arrived_s
        try:
            frames = self._decoder.decode(packet)
        except av.error.FFmpegError as error:
            if self._on_trial:
                self._decoder = self._fall_back(error)
                self._decode(packet, arrived_s)
            elif self._decoded or not self._live:  # whoever joins a stream waits for its next key frame
                self.damaged += 1
            return
        self._on_trial &= not frames
        whole = [frame for frame in frames if not frame.is_corrupt]
        self.damaged += len(frames) - len(whole)
        self._frames.extend(whole)

    def _end(self) -> None:
        """Take what the decoder still holds, and count what the container promised and did not have."""
        self._ended = True
        for unit in self._units.rest() if self._units is not None else ():
            self._decode(_packet(unit), unit.arrived_s)
        with contextlib.suppress(av.error.EOFError):
            self._decode(None, time.perf_counter())
        promised = self._stream.frames if self.finite else 0
        missing = promised - self._decoded - len(self._frames) - self.damaged
        if missing > max(1, promised * _MISSING_SHARE):
            self.damaged += missing

    def _step_s(self) -> float:
        """Seconds from the picture before this one by their time stamps, where those can be."""
        frame = self._frame
        assert frame is not None
        before_s, self._stamp_s = self._stamp_s, None
        if frame.pts is not None and self._tick is not None:
            self._stamp_s = frame.pts * self._tick[0] / self._tick[1]
        if self._decoded == 1:
            return 0.0
        if before_s is None or self._stamp_s is None:
            return self.period_s
        step_s = self._stamp_s - before_s
        if step_s == 0:  # a container that counts in milliseconds, and a camera that is faster
            return _STEP_MIN_S
        return step_s if 0 < step_s <= _JUMP_S else self.period_s


def _opened(opening: Opening, *, live: bool) -> tuple[InputContainer, AccessUnits | None]:
    """Open; a stream over RTP without FFmpeg's parser, where its pictures can be told without."""
    if not live:
        return opening.container(), None
    if not opening.url.lower().startswith("rtsp"):
        return opening.container(fflags="+nobuffer"), None
    container = opening.container(fflags="+nobuffer+noparse+nofillin")
    codec = container.streams.video[0].codec_context.name
    if codec == "h264":
        return container, AccessUnits("h264")
    if codec == "hevc":
        return container, AccessUnits("hevc")
    if codec in _WHOLE_PACKETS:
        return container, None
    container.close()
    return opening.container(fflags="+nobuffer"), None


def wants_hardware(choice: str, folder: Path = Path("/dev/dri")) -> bool:
    """Whether ``camera.decoder`` asks for hardware on this box."""
    return choice == "qsv" or (choice == "auto" and any(folder.glob("renderD*")))


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or type(error).__name__


def _quick_sync(stream: VideoStream, *, live: bool) -> VideoCodecContext:
    """Open the decoder of Intel's hardware. Raises FFmpegError or ValueError where there is none."""
    decoder = av.CodecContext.create(f"{stream.codec_context.name}_qsv", "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.extradata = stream.codec_context.extradata
    decoder.width, decoder.height = stream.codec_context.width, stream.codec_context.height
    if live:
        decoder.options = {"async_depth": "1"}
    decoder.open()
    return decoder


def _software(stream: VideoStream, *, live: bool) -> VideoCodecContext:
    decoder: VideoCodecContext = stream.codec_context
    decoder.thread_type = "NONE"
    decoder.thread_count = 1
    if live:
        decoder.flags |= Flags.low_delay
    if decoder.name in _STRICT:
        decoder.options = dict(pixels.ONLY_WHOLE)
    return decoder


def _packet(unit: AccessUnit) -> "Packet[VideoStream]":
    packet: Packet[VideoStream] = Packet(unit.data)  # type: ignore[assignment]
    packet.pts = packet.dts = unit.stamp
    return packet


def _period_s(stream: VideoStream) -> float:
    """Seconds from picture to picture as the container says, where that is believable."""
    rate = float(stream.average_rate or 0)
    return 1 / rate if 1 <= rate <= _FPS_MAX else 1 / DEFAULT_FPS


def open_file(path: Path, *, hardware: bool = False) -> VideoReader:
    """Open a video file. Raises :class:`CaptureError`."""
    # An absolute path is no address, whatever stands in it.
    opening = Opening(str(path.absolute()), str(path), {}, _FOREVER_S, _FOREVER_S, hardware=hardware)
    return VideoReader(opening, live=False, paced=True, finite=True)
