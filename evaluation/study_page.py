"""A search for settings for people and programs: its trials as CSV, Markdown, and a page for the browser.

All take the contents of ``study.json`` (`training.study_files.figures`) and compute nothing but their words.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from evaluation.report_charts import COLOURS, Chart, draw
from evaluation.report_words import decimal, duration, many, signed, whole
from evaluation.summary_page import markdown_table, rendered

METHOD = (
    "A trial trains the model with a frozen language model and without re-ranking, once for each validation window, on "
    "nothing but what precedes it; its figure is the mean over the windows of the best epoch's NDCG@20 at the interest "
    "level. A trial that is worse after an epoch than the median of the trials before it at that epoch is ended early. "
    "The best of many trials is picked for its figure, so that the figure is a little too good; what the settings are "
    "worth is told by the test of a run with them."
)
STATES = {"complete": "whole", "pruned": "ended early", "fail": "failed", "running": "under way", "waiting": "to come"}
SHOWN = 10

Table = tuple[str, str, list[str], list[list[str]]]


def csv(found: Mapping[str, Any]) -> str:
    """One row for each trial."""
    rows = [
        {name: of[name] for name in ("number", "state", "value", "epochs", "seconds")} | of["settings"]
        for of in found["trials"]
    ]
    text: str = pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")
    return text


def markdown(found: Mapping[str, Any]) -> str:
    """The study as a document of its own."""
    parts = [part for table in _tables(found) for part in (f"## {table[0]}", table[1], markdown_table(*table[2:]))]
    return "\n\n".join(["# Search for settings", introduction(found), verdict(found), METHOD, *parts]) + "\n"


def html(found: Mapping[str, Any]) -> str:
    """One self-contained page: the trials in a drawing and in tables."""
    return rendered(
        "study.html",
        introduction=introduction(found),
        verdict=verdict(found),
        method=METHOD,
        charts=[_chart(found)] if _figures(found) else [],
        tables=_tables(found),
    )


def introduction(found: Mapping[str, Any]) -> str:
    """Which data and windows, in two sentences."""
    unit = many(found["time_unit"])
    said = ", ".join(f"{window} (trained on {', '.join(map(str, of))})" for window, of in found["windows"].items())
    counts = [f"{whole(number)} {STATES[state]}" for state, number in _by_state(found).items()]
    return (
        f"Data: {found['source']}. Validation windows of {found['horizon']} {unit} from {said} on; nothing from "
        f"{found['test_cutoff']} on, where the test begins, was looked at. Trials: {', '.join(counts) or 'none'}."
    )


def verdict(found: Mapping[str, Any]) -> str:
    """The best trial, and its lead over the settings as they were given."""
    best, given = (_trial(found, found[name]) for name in ("best", "given"))
    if best is None:
        return "No trial is whole yet."
    said = f"Best: trial {best['number']} with {decimal(best['value'])}"
    if given is None or given["value"] is None:
        return f"{said}. The settings as given lie outside the space, so they were no trial."
    if given is best:
        return f"{said}: the settings as they were given."
    gap = signed(best["value"] - given["value"])
    return f"{said}; the settings as given (trial {given['number']}) {decimal(given['value'])}, {gap} to the best."


def _by_state(found: Mapping[str, Any]) -> dict[str, int]:
    states = [of["state"] for of in found["trials"]]
    return {state: states.count(state) for state in STATES if state in states}


def _trial(found: Mapping[str, Any], number: int | None) -> dict[str, Any] | None:
    return next((of for of in found["trials"] if of["number"] == number), None)


def _figures(found: Mapping[str, Any]) -> list[tuple[int, float]]:
    """Number and figure of the whole trials."""
    return [(of["number"], of["value"]) for of in found["trials"] if of["value"] is not None]


def _tables(found: Mapping[str, Any]) -> list[Table]:
    return [_searched(found), *([_importance(found)] if found["importance"] else []), _best(found)]


def _searched(found: Mapping[str, Any]) -> Table:
    """What was searched, with the values as given and of the best trial."""
    best = _trial(found, found["best"])
    rows = [
        [name, _told(entry), _value(found["settings"][name]), _value(best["settings"][name]) if best else "–"]
        for name, entry in found["space"].items()
    ]
    return (
        "Settings",
        "Range, the setting as given, and that of the best trial.",
        ["setting", "range", "given", "best"],
        rows,
    )


def _importance(found: Mapping[str, Any]) -> Table:
    words = (
        "Share of the figure's variance over the space that a setting explains alone (functional ANOVA, Hutter et al. "
        "2014), estimated from the whole trials."
    )
    rows = [[name, decimal(share, 2)] for name, share in found["importance"].items()]
    return "What matters", words, ["setting", "share"], rows


def _best(found: Mapping[str, Any]) -> Table:
    order = sorted(found["trials"], key=lambda of: (of["value"] is None, -(of["value"] or 0.0), of["number"]))
    names = list(found["space"])
    rows = [
        [str(of["number"]), decimal(of["value"]), STATES[of["state"]], duration(of["seconds"])]
        + [_value(of["settings"].get(name)) for name in names]
        for of in order[:SHOWN]
    ]
    words = f"The best {SHOWN}; all of them are in trials.csv."
    return "Trials", words, ["trial", "NDCG@20", "state", "time", *names], rows


def _told(entry: Mapping[str, Any]) -> str:
    if "choices" in entry:
        return ", ".join(map(str, entry["choices"]))
    return f"{entry['low']:g} to {entry['high']:g}{', logarithmic' if entry.get('log') else ''}"


def _value(value: object) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _chart(found: Mapping[str, Any]) -> Chart:
    """The whole trials' figures in their order, and the best so far."""
    points = _figures(found)
    number, value = max(points, key=lambda point: point[1])
    alt = f"Validation NDCG@20 of {len(points)} whole trials; the best is trial {number} with {decimal(value)}."
    return Chart(draw(partial(_paint, points), 230, alt), "Validation NDCG@20 by trial; the line is the best so far")


def _paint(points: list[tuple[int, float]], figure: Figure) -> None:
    axes = figure.subplots()
    numbers, values = zip(*points, strict=True)
    best = [max(values[: place + 1]) for place in range(len(values))]
    axes.step(numbers, best, where="post", color=COLOURS["ours"], linewidth=1.5)
    axes.plot(numbers, values, "o", color=COLOURS["rival"], markersize=5)
    axes.margins(y=0.2)
    axes.locator_params(axis="x", integer=True)
    axes.yaxis.set_major_formatter(lambda value, _: decimal(value))
    axes.set_xlabel("trial")
