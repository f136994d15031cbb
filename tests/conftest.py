"""For all tests: each folder is one piece of work, so that what it starts once (a server, a training) is started once.

`pytest -n 0` runs everything in one process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from running import Finished  # noqa: E402

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
BROWSER_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LONGEST_FIRST = [
    "kg",
    "test_train.py",
    "test_project.py",
    "recommend",
    "export",
    "training",
    "test_windows.py",
    "encoders",
]

# Servers that live for seconds are compiled quickly, not well; two workers share the cores.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test the group of its folder, or of its file, and begin with the longest groups."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: _rank(_group(item)))


def _group(item: pytest.Item) -> str:
    return item.path.relative_to(HERE).parts[0]


def _rank(group: str) -> int:
    return LONGEST_FIRST.index(group) if group in LONGEST_FIRST else len(LONGEST_FIRST)


@pytest.fixture(scope="session")
def browse() -> Callable[..., str]:
    """A real browser: ``browse(profile folder, *arguments)`` gives what it prints. In CI it must be there."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None and os.environ.get("CI") != "true":
        pytest.skip("no Chromium on this machine: install it to look at the pages in a browser")
    assert found is not None, "CI needs Chromium"

    def run(profile: Path, *arguments: str) -> str:
        command = [found, *BROWSER_FLAGS, f"--user-data-dir={profile}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=90, check=True).stdout

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Finished:
    """A whole run of ``python train.py`` on a small made-up shop, made by the first process of the tests that asks.

    It is for reading. Who loads it brings a store of their own: an embedded one belongs to one program at a time.
    """
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"
    with filelock.FileLock(place.with_suffix(".lock")):
        found = Finished.read(place) if (place / "seen.json").exists() else Finished.make(place)
    assert found.code == 0, found.said
    return found
