"""A driver's library that ends whoever loads it, or never comes back: a one-line constructor."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

DYING = "__attribute__((constructor)) static void begin(void) { raise(%s); }"
HANGING = "__attribute__((constructor)) static void begin(void) { for (;;) pause(); }"


def build(folder: Path, body: str) -> str:
    """Make Level Zero's loader, which the NPU's plugin loads; answers with the value for LD_LIBRARY_PATH."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    source = folder / "begin.c"
    source.write_text(f"#include <signal.h>\n#include <unistd.h>\n{body}\n", encoding="utf-8")
    library = folder / "libze_loader.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", f"-Wl,-soname,{library.name}", "-o", library, source], check=True)
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("LD_LIBRARY_PATH"))))
