"""Looks every locked dependency up in the database of known vulnerabilities.

``python -m tests.security.audit`` exits with 0 where none is known, with 1 where one is, and with 2 where nothing was
looked up, because the database could not be reached: that is neither a pass nor a finding, and whoever runs it decides
what it means. ``make audit`` fails on both; CI fails on a finding and says loudly that nothing was looked up.
"""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

LOCK: Final = Path(__file__).parents[2] / "requirements.lock"
CLEAN, FOUND, NOT_LOOKED_UP = 0, 1, 2
LIMIT_S: Final = 300.0
LINES_TOLD: Final = 5


def judge(report: str, complaint: str) -> tuple[int, list[str]]:
    """Read what pip-audit said: the exit code, and lines to print.

    Without a report nothing was looked up, and ``complaint`` is its standard error. A report of nothing is none either.
    """
    try:
        dependencies: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        dependencies = []
    looked_up = [each for each in dependencies if "vulns" in each]
    if not looked_up:
        reasons = sorted({str(each.get("skip_reason")) for each in dependencies})[:LINES_TOLD]
        return NOT_LOOKED_UP, [
            "NOT AUDITED: no answer from the database of vulnerabilities",
            *reasons,
            *_end(complaint),
        ]
    found = [_told(each, vulnerability) for each in looked_up for vulnerability in each["vulns"]]
    skipped = [
        f"{each['name']}: not looked up, {each.get('skip_reason')}" for each in dependencies if "vulns" not in each
    ]
    told = [*found, *skipped, f"{len(looked_up)} dependencies looked up, {len(found)} known vulnerabilities"]
    return (FOUND if found else CLEAN), told


def _told(dependency: dict[str, Any], vulnerability: dict[str, Any]) -> str:
    fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
    return f"{dependency['name']} {dependency['version']}: {vulnerability['id']}, fixed in {fixed}"


def _end(complaint: str) -> list[str]:
    return [line for line in complaint.splitlines() if line.strip()][-LINES_TOLD:]


def main() -> int:
    """Look them up, print what was found, return the exit code."""
    if find_spec("pip_audit") is None:
        sys.exit("pip-audit is not installed: `make venv` installs what requirements.lock lists")
    what = ["--requirement", str(LOCK), "--require-hashes", "--disable-pip"]
    options = ["--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "pip_audit", *what, *options],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        report, complaint = ran.stdout, ran.stderr
    except subprocess.TimeoutExpired:
        report, complaint = "", f"no answer within {LIMIT_S:g} s"
    code, lines = judge(report, complaint)
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
