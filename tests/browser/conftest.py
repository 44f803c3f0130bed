"""What the tests in the browser share. They run by `make test-browser` alone, which gets what drives it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.shelf.store import Store
from tests.broker import Broker


@pytest.fixture(scope="session", autouse=True)
def _there(store: Store) -> None:
    """Have a browser, the network and the clip."""
    if reason := os.environ.get("BROWSER_ABSENT"):
        pytest.skip(f"no browser: {reason}")
    if "BROWSER" not in os.environ:
        pytest.skip("a browser is driven by make test-browser")


@pytest.fixture(scope="session")
def chromium(_there: None) -> Iterator[Any]:
    """Start the browser once."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - it is there with the browser alone

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ["BROWSER"], args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as running:
        yield running
