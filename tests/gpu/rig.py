"""A GPU on a machine without one: OpenVINO's unmodified GPU plugin on Intel's OpenCL runtime for processors.

The driver, ``fakegpu.c``, makes that runtime answer like an integrated GPU. It is found through ``OCL_ICD_VENDORS``,
which OpenCL's loader reads once in a process, before the first device is asked for: so these tests run in processes of
their own.
"""

import ctypes
import fcntl
import hashlib
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from platformdirs import user_cache_path

HERE: Final = Path(__file__).parent
DRIVER: Final = HERE / "fakegpu.c"
REQUIREMENTS: Final = HERE / "requirements.txt"
HEADERS: Final = (Path("/usr/include/CL/cl_icd.h"), "apt install opencl-headers ocl-icd-opencl-dev ocl-icd-libopencl1")
INSTALL_S: Final = 600


class RigError(Exception):
    """The rig cannot be built here; the message says why."""


def build(folder: Path | None = None) -> dict[str, str]:
    """Build the rig, unless it is there already; the variables under which the machine has a GPU.

    In ``folder``, the user's cache unless given, where built kernels are kept too. Raises RigError.
    """
    folder = folder or user_cache_path("edgepose") / "gpu-rig"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        ctypes.CDLL("libOpenCL.so.1")
    except OSError as error:
        raise RigError(f"{error}: apt install ocl-icd-libopencl1") from error
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp, wanted = folder / "stamp", _digest()
        if not stamp.exists() or stamp.read_text(encoding="ascii") != wanted:
            _require_tools()
            _make(folder)
            stamp.write_text(wanted, encoding="ascii")
    return {"OCL_ICD_VENDORS": str(folder / "vendors"), "FAKEGPU_CACHE": str(folder / "programs")}


def _digest() -> str:
    return hashlib.sha256(DRIVER.read_bytes() + REQUIREMENTS.read_bytes()).hexdigest()


def _require_tools() -> None:
    if platform.machine() != "x86_64" or sys.platform != "linux":
        raise RigError(f"Intel's OpenCL runtime is for Linux on x86-64, not for {sys.platform} on {platform.machine()}")
    if shutil.which("gcc") is None:
        raise RigError("no gcc: apt install gcc")
    header, cure = HEADERS
    if not header.exists():
        raise RigError(f"no {header}: {cure}")


def _make(folder: Path) -> None:
    runtime, bound = folder / "runtime", folder / "bound"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    _run([*pip, "--require-hashes", "--ignore-installed", "--prefix", runtime, "-r", REQUIREMENTS])
    shutil.rmtree(bound, ignore_errors=True)
    for part in (bound, folder / "vendors", folder / "programs"):
        part.mkdir(exist_ok=True)
    for file in (runtime / "lib").iterdir():
        if file.is_file() and not file.name.startswith(("libintelocl.so", "libtbb.so")):
            (bound / file.name).symlink_to(file.resolve())
    # OpenVINO's wheel loads an older libtbb.so.12 into the same process: the runtime's own goes by another name.
    for source, target in (("libintelocl.so", "libintelocl.so"), ("libtbb.so.12", "libtbX.so.12")):
        content = (runtime / "lib" / source).read_bytes()
        (bound / target).write_bytes(content.replace(b"libtbb.so.12", b"libtbX.so.12"))
    library = folder / "libfakegpu.so"
    flags = ["-O1", "-Wall", "-shared", "-fPIC", f'-DRUNTIME="{bound / "libintelocl.so"}"']
    _run(["gcc", *flags, "-o", library, DRIVER, "-ldl", "-lpthread"])
    (folder / "vendors" / "fakegpu.icd").write_text(f"{library}\n", encoding="utf-8")


def _run(command: list[str | Path]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise RigError(f"{command[0]} did not end within {INSTALL_S} s") from error
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        raise RigError(f"{' '.join(map(str, command[:4]))} failed: {told[-1]}")


if __name__ == "__main__":
    try:
        built = build()
    except RigError as problem:
        sys.exit(f"no GPU rig: {problem}")
    print("export", " ".join(f"{name}={value}" for name, value in built.items()))  # noqa: T201 - for a shell's eval
