"""The report in a real browser: it opens from a file, without a network, in both widths."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from evaluation.report import Customer, Recommendation, ReportContent, ValidationPoint, write_report

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None and os.environ.get("CI") != "true":
        pytest.skip("no Chromium on this machine: install it to look at the report in a browser")
    assert found is not None, "CI needs Chromium"
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    figures = {"crossaisle": {"ndcg@20": 0.31, "recall@20": 0.41}, "ease": {"ndcg@20": 0.28, "recall@20": 0.37}}
    interval = {"ease": {"ndcg@20": {"mean": 0.03, "low": 0.02, "high": 0.04}}}
    customer = Customer(
        "Æsa <b>", bought=[("BREAD & ROLLS", 7)], recommended=[Recommendation("TEA", True)], new=["TEA"]
    )
    content = ReportContent(
        "a run",
        test={"category": figures},
        difference={"category": interval},
        validation=[ValidationPoint("choose", 1, 0.29), ValidationPoint("choose", 2, 0.30, chosen=True)],
        customers=[customer],
    )
    write_report(content, path)
    return path


def run(browser: str, profile: Path, *arguments: str) -> str:
    command = [browser, *FLAGS, f"--user-data-dir={profile}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    return done.stdout


def test_a_browser_shows_the_figures(browser: str, page: Path, tmp_path: Path) -> None:
    shown = run(browser, tmp_path, "--dump-dom", page.as_uri())
    for text in ("CrossAisle", "BREAD &amp; ROLLS", "Æsa &lt;b&gt;", ".3100", "<svg"):
        assert text in shown


@pytest.mark.parametrize("width", [380, 1400])
def test_a_browser_draws_it(browser: str, page: Path, tmp_path: Path, width: int) -> None:
    picture = tmp_path / "page.png"
    run(browser, tmp_path / "profile", f"--screenshot={picture}", f"--window-size={width},1200", page.as_uri())
    assert picture.stat().st_size > 10_000
