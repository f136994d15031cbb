"""One self-contained page that tells a person what a run found: `write_report`.

Every part of the content is optional; what is missing is said in one line. Numbers come in as `evaluate.results`,
`by_activity`, `by_popularity` and `by_distance` give them, so the page computes nothing but its words
(`report_words`), tables (`report_tables`) and drawings (`report_charts`).
"""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment as Templates
from jinja2 import FileSystemLoader, StrictUndefined

from evaluation.report_charts import charts
from evaluation.report_content import ReportContent
from evaluation.report_tables import cost_shares, group_tables, level_table
from evaluation.report_words import (
    OURS,
    clean,
    decimal,
    duration,
    many,
    memory,
    metric_name,
    named,
    question,
    signed,
    tuning_sentence,
    verdicts,
    whole,
)
from files import atomic


def write_report(content: ReportContent, path: Path) -> None:
    """Write one HTML file that needs nothing else; it is there whole or not at all.

    Args:
        content: what it tells.
        path: file to write or replace; its folder exists.
    """
    page = render(content).encode("utf-8")
    with atomic(path) as temporary:
        temporary.write_bytes(page)


def render(content: ReportContent) -> str:
    """The page of a report."""
    templates = Templates(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=clean,
    )
    templates.filters |= {
        "decimal": decimal,
        "signed": signed,
        "whole": whole,
        "duration": duration,
        "memory": memory,
        "named": named,
        "metric": metric_name,
        "many": many,
    }
    return templates.get_template("report.html").render(
        content=content,
        question=content.question or question(content.facts),
        verdicts=verdicts(content),
        levels=[level_table(level, content) for level in content.test],
        charts=charts(content),
        ours=OURS,
        activity=group_tables(content.activity),
        popularity=group_tables(content.popularity),
        distance=group_tables(content.distance),
        tuning=tuning_sentence(content.text),
        shares=cost_shares(content.costs),
        peak=max((cost.peak_bytes for cost in content.costs if cost.peak_bytes is not None), default=None),
    )
