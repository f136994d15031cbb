"""The report in a real browser: it opens from a file, without a network, in both widths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.report import write_report
from evaluation.report_content import Customer, Recommendation, ReportContent, ValidationPoint


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


def test_a_browser_shows_the_figures(browse: Callable[..., str], page: Path, tmp_path: Path) -> None:
    shown = browse(tmp_path, "--dump-dom", page.as_uri())
    for text in ("CrossAisle", "BREAD &amp; ROLLS", "Æsa &lt;b&gt;", ".3100", "<svg"):
        assert text in shown


@pytest.mark.parametrize("width", [380, 1400])
def test_a_browser_draws_it(browse: Callable[..., str], page: Path, tmp_path: Path, width: int) -> None:
    picture = tmp_path / "page.png"
    browse(tmp_path / "profile", f"--screenshot={picture}", f"--window-size={width},1200", page.as_uri())
    assert picture.stat().st_size > 10_000
