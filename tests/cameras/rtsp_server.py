# mypy: ignore-errors
"""A real RTSP server, for the system's Python, which has GStreamer's bindings: ``python3 rtsp_server.py JSON``.

Every picture says when it was made: bright and dark columns are the bits of the steady clock in milliseconds (the
system's, the same for all processes). Prints the port, then obeys lines on standard input: ``run``, ``stall``,
``freeze``, ``fps N``, ``size W H``, ``quit``.
"""

import json
import sys
import threading
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

BITS = 32
X264 = "x264enc tune=zerolatency speed-preset=ultrafast bitrate=2000 key-int-max={gop}"
ENCODERS = {
    "h264": f"{X264} ! rtph264pay config-interval=-1 name=pay0 pt=96",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast bitrate=2000 key-int-max={gop}"
    " ! rtph265pay config-interval=-1 name=pay0 pt=96",
    "mjpeg": "jpegenc quality=90 ! rtpjpegpay name=pay0 pt=26",
    "interlaced": "capssetter caps=video/x-raw,interlace-mode=interleaved,field-order=top-field-first replace=false"
    f" ! {X264} interlaced=true ! rtph264pay config-interval=-1 name=pay0 pt=96",
}


class Camera:
    """What the pictures of all streams are."""

    def __init__(self, width: int, height: int, fps: float) -> None:
        self.width, self.height, self.fps = width, height, fps
        self.mode = "run"
        self.stamp = 0

    def picture(self) -> bytes:
        """I420."""
        if self.mode != "freeze":
            self.stamp = int(time.monotonic() * 1e3) & 0xFFFFFFFF
        column = self.width // BITS
        row = b"".join((b"\xeb" if self.stamp >> bit & 1 else b"\x10") * column for bit in range(BITS))
        return row * self.height + b"\x80" * (self.width * self.height // 2)

    def caps(self) -> str:
        return (
            f"video/x-raw,format=I420,width={self.width},height={self.height},framerate={round(self.fps * 1000)}/1000"
        )


def feed(camera: Camera, source: "Gst.Element", ended: threading.Event) -> None:
    """Push pictures at the camera's rate until the stream ends."""
    began, caps = time.monotonic(), ""
    due = began
    while not ended.is_set():
        due = max(due + 1 / camera.fps, time.monotonic() - 1)
        ended.wait(max(0.0, due - time.monotonic()))
        if camera.mode == "stall":
            continue
        if caps != camera.caps():
            caps = camera.caps()
            source.set_property("caps", Gst.Caps.from_string(caps))
        buffer = Gst.Buffer.new_wrapped(camera.picture())
        buffer.pts = int((time.monotonic() - began) * 1e9)
        if source.emit("push-buffer", buffer) != Gst.FlowReturn.OK:
            return


class Factory(GstRtspServer.RTSPMediaFactory):
    """One address of the camera."""

    def __init__(self, camera: Camera, encoder: str, gop: int) -> None:
        super().__init__()
        self.camera = camera
        self.set_launch(f"( appsrc name=source is-live=true format=time ! {ENCODERS[encoder].format(gop=gop)} )")
        self.set_shared(True)
        self.connect("media-configure", self.configured)

    def configured(self, _factory: object, media: "GstRtspServer.RTSPMedia") -> None:
        ended = threading.Event()
        media.connect("unprepared", lambda _media: ended.set())
        source = media.get_element().get_child_by_name("source")
        source.set_property("caps", Gst.Caps.from_string(self.camera.caps()))
        threading.Thread(target=feed, args=(self.camera, source, ended), daemon=True).start()


def admit(server: "GstRtspServer.RTSPServer", wanted: dict) -> None:
    """Ask for an account, and show a certificate, where wanted."""
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    if wanted.get("scheme") == "digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(wanted["user"], wanted["password"], token)
    elif "user" in wanted:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(wanted["user"], wanted["password"]), token)
    else:
        auth.set_default_token(token)
    if "certificate" in wanted:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_files(wanted["certificate"], wanted["key"]))
    server.set_auth(auth)


def main() -> None:
    """Serve until told to quit, or until whoever started this is gone."""
    Gst.init(None)
    wanted = json.loads(sys.argv[1])
    camera = Camera(wanted.get("width", 640), wanted.get("height", 360), wanted.get("fps", 25))
    server = GstRtspServer.RTSPServer()
    server.set_address(wanted.get("address", "127.0.0.1"))
    server.set_service(str(wanted.get("port", 0)))
    guarded = "user" in wanted or "certificate" in wanted
    if guarded:
        admit(server, wanted)
    for encoder in ENCODERS:
        factory = Factory(camera, encoder, wanted.get("gop", 25))
        if guarded:
            permissions = GstRtspServer.RTSPPermissions()
            permissions.add_permission_for_role("user", "media.factory.access", True)
            permissions.add_permission_for_role("user", "media.factory.construct", True)
            factory.set_permissions(permissions)
        if "transport" in wanted:
            factory.set_protocols(getattr(GstRtsp.RTSPLowerTrans, wanted["transport"].upper()))
        server.get_mount_points().add_factory(f"/{encoder}", factory)
    server.attach(None)
    loop = GLib.MainLoop()
    threading.Thread(target=obey, args=(camera, loop), daemon=True).start()
    sys.stdout.write(f"{server.get_bound_port()}\n")
    sys.stdout.flush()
    loop.run()


def obey(camera: Camera, loop: "GLib.MainLoop") -> None:
    """Read orders; the end of the input is the end."""
    for line in sys.stdin:
        order, *numbers = line.split()
        if order == "quit":
            break
        if order == "size":
            camera.width, camera.height = map(int, numbers)
        elif order == "fps":
            camera.fps = float(numbers[0])
        else:
            camera.mode = order
        sys.stdout.write(f"{order}\n")
        sys.stdout.flush()
    loop.quit()


main()
