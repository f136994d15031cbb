"""The summary of several windows and seeds for people and programs: Markdown, CSV, and a page for the browser.

All take the contents of ``summary.json`` (`training.windows_summary.figures`) and compute nothing but their words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment as Templates
from jinja2 import FileSystemLoader, StrictUndefined

from evaluation.pooled import METRICS
from evaluation.report_charts import forest_chart, group_chart
from evaluation.report_words import OURS, decimal, many, metric_name, named, signed, verdict, whole

METHOD = (
    "Mean: over windows, of the mean over seeds. ± windows: standard deviation between the windows' means. ± seeds: "
    "standard deviation between trainings of one window; baselines are trained once for each window. Lead: CrossAisle "
    "minus the model, per user and window, averaged over the seeds; 95% interval by paired bootstrap of users, each "
    "with all their windows, 10,000 resamples."
)

CALIBRATION = (
    "Told: exp(score), the probability that one of the customer's new purchases, given that there is one, falls on the "
    "category; it is a softmax over the unseen categories and not the chance of a purchase from it at "
    "all. Found: the share of the customer's targets that the category is (1 / n for each of n targets, 0 for what is "
    "none). Means over pairs of customer and listed candidate (the top 100), in bins of equal numbers of pairs."
)

ACTIVITY = "NDCG@20 by number of baskets in the history (behind it the customers, a customer of two windows twice)"


def csv(found: Mapping[str, Any]) -> str:
    """One row for each level, model and metric."""
    rows = [
        {"level": level, "model": model, "metric": metric, **of}
        | {f"lead_{end}": value for end, value in _lead(found, level, model, metric).items()}
        for level, models in found["test"].items()
        for model, by in models.items()
        for metric, of in by.items()
    ]
    text: str = pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")
    return text


def markdown(found: Mapping[str, Any]) -> str:
    """The tables as a document of its own."""
    levels = [part for level in found["test"] for part in (f"## {headline(found, level)}", *level_blocks(found, level))]
    title, words, head, rows = _calibration(found)
    blocks = ["# Several windows and seeds", introduction(found), METHOD, *levels]
    return "\n\n".join([*blocks, f"## {title}", words, markdown_table(head, rows)]) + "\n"


def introduction(found: Mapping[str, Any]) -> str:
    """Which data, windows and seeds, in two sentences."""
    windows, seeds = ", ".join(found["protocol"]), ", ".join(map(str, found["seeds"]))
    horizon = next(iter(found["protocol"].values()))["horizon"]
    unit = many(found["time_unit"])
    said = [f"validation {of['validation_cutoff']} for test {window}" for window, of in found["protocol"].items()]
    return (
        f"Data: {found['source']}. Test windows from {unit} {windows} on, {horizon} {unit} each ({'; '.join(said)}); "
        f"seeds {seeds}."
    )


def headline(found: Mapping[str, Any], level: str) -> str:
    """A level with its number of items and of test users."""
    users = ", ".join(whole(number) for number in found["users"][level].values())
    return f"{named(level)}: {whole(found['items'][level])} candidates; users by window: {users}"


def level_blocks(found: Mapping[str, Any], level: str) -> list[str]:
    """Tables of a level: the figures with their spreads, NDCG@20 by window, and by length of the history."""
    head, rows = level_table(found, level)
    blocks = [_verdict(found, level), markdown_table(head, rows)]
    if len(found["protocol"]) > 1:
        blocks += ["NDCG@20 by window (mean over seeds):", markdown_table(*_by_window(found, level))]
    return [*blocks, f"{ACTIVITY}:", markdown_table(*_by_activity(found, level)), where_it_loses(found, level)]


def level_table(found: Mapping[str, Any], level: str) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a level's table, ours first, then the best baseline on."""
    head = ["model"]
    head += [part for metric in METRICS for part in (metric_name(metric), "± windows", "± seeds")]
    head += [f"lead in {metric_name(metric)} (95% interval)" for metric in METRICS]
    return head, [[named(model), *_cells(found, level, model)] for model in _order(found, level)]


def _cells(found: Mapping[str, Any], level: str, model: str) -> list[str]:
    of = found["test"][level][model]
    spreads = [decimal(of[metric][part]) for metric in METRICS for part in ("mean", "over_windows", "over_seeds")]
    leads = [_lead(found, level, model, metric) for metric in METRICS]
    told = [f"{signed(one['mean'])} ({signed(one['low'])} to {signed(one['high'])})" if one else "–" for one in leads]
    return spreads + told


def _lead(found: Mapping[str, Any], level: str, model: str, metric: str) -> dict[str, float]:
    """Ours minus the model; nothing for ours."""
    return dict(found["difference"][level].get(model, {}).get(metric, {}))


def _order(found: Mapping[str, Any], level: str) -> list[str]:
    of = found["test"][level]
    return sorted(of, key=lambda model: (model != OURS, -of[model][METRICS[0]]["mean"]))


def where_it_loses(found: Mapping[str, Any], level: str) -> str:
    """The windows and lengths of history in which a baseline's mean is above ours, in a sentence."""
    by = found["by_activity"][level]
    parts = {f"window {window}": _means(found, level, window) for window in found["protocol"]}
    sizes = {label: part["users"] for label, part in by[OURS].items() if part["users"]}
    for label, users in sizes.items():
        name = f"{label} baskets ({whole(users)} customers)"
        parts[name] = {model: by[model][label][METRICS[0]] for model in _order(found, level)}
    lost = [_lost(name, of) for name, of in parts.items() if max(of, key=lambda model: of[model]) != OURS]
    return f"Where a baseline's mean NDCG@20 is above ours: {'; '.join(lost) or 'nowhere'}."


def _means(found: Mapping[str, Any], level: str, window: str) -> dict[str, float]:
    """Each model's NDCG@20 in a window, over seeds; ours first, so that it wins where both are equal."""
    by = {model: found["by_run"][level][model][METRICS[0]][window] for model in _order(found, level)}
    return {model: sum(of) / len(of) for model, of in by.items()}


def _lost(name: str, of: Mapping[str, float]) -> str:
    best = max(of, key=lambda model: of[model])
    return f"{name}, {named(best)} {decimal(of[best])} against {decimal(of[OURS])}"


def _by_window(found: Mapping[str, Any], level: str) -> tuple[list[str], list[list[str]]]:
    windows = {window: _means(found, level, window) for window in found["protocol"]}
    rows = [[named(model), *(decimal(of[model]) for of in windows.values())] for model in _order(found, level)]
    return ["model", *windows], rows


def _by_activity(found: Mapping[str, Any], level: str) -> tuple[list[str], list[list[str]]]:
    by, order = found["by_activity"][level], _order(found, level)
    buckets = {label: part["users"] for label, part in by[OURS].items() if part["users"]}
    rows = [[named(model), *(decimal(by[model][label][METRICS[0]]) for label in buckets)] for model in order]
    return ["model", *(f"{label} ({whole(users)})" for label, users in buckets.items())], rows


def _calibration(found: Mapping[str, Any]) -> tuple[str, str, list[str], list[list[str]]]:
    """Told and found shares of the targets at the interest level: title, words, head and rows of the table."""
    level, of = next(iter(found["test"])), found["reliability"]
    bins = zip(of["told"], of["found"], of["pairs"], strict=True)
    rows = [[decimal(told), decimal(share), whole(pairs)] for told, share, pairs in bins]
    title = f"Are the probabilities right? {named(level).capitalize()} level"
    words = f"{CALIBRATION} Expected calibration error {decimal(of['ece'])}."
    return title, words, ["told", "found", "pairs"], rows


def _verdict(found: Mapping[str, Any], level: str) -> str:
    return verdict(level, found["difference"][level], found["test"][level]).sentence


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def html(found: Mapping[str, Any]) -> str:
    """One self-contained page: for each level the verdict, the tables and drawings."""
    return rendered(
        "summary.html",
        introduction=introduction(found),
        method=METHOD,
        levels=[_page_level(found, level) for level in found["test"]],
        calibration=_calibration(found),
    )


def rendered(template: str, **content: Any) -> str:  # noqa: ANN401 - what a template is given
    """A page of this folder, filled in."""
    templates = Templates(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return templates.get_template(template).render(**content)


def _page_level(found: Mapping[str, Any], level: str) -> dict[str, Any]:
    tables = {"": level_table(found, level), "NDCG@20 by window": _by_window(found, level)}
    gaps, groups = found["difference"][level], found["by_activity"][level]
    charts = [*([forest_chart(level, gaps)] if gaps else []), group_chart(level, groups)]
    tables[ACTIVITY] = _by_activity(found, level)
    return {
        "headline": headline(found, level),
        "verdict": _verdict(found, level),
        "tables": tables,
        "lost": where_it_loses(found, level),
        "charts": charts,
    }
