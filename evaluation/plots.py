"""Pictures for documents, as PNG files: quality by length of the history, and reliability."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.pooled import METRICS
from evaluation.report_charts import COLOURS, drawing_style
from evaluation.report_words import OURS, decimal, metric_name, named, whole
from files import atomic

SIZE, DOTS = (6.4, 3.2), 150
RIVALS = 2
LINES: dict[int, dict[str, Any]] = {
    0: {"color": COLOURS["ours"], "linewidth": 2.2, "marker": "o"},
    1: {"color": COLOURS["rival"], "linewidth": 1.8, "marker": "s", "linestyle": (0, (4, 2))},
    2: {"color": COLOURS["muted"], "linewidth": 1.8, "marker": "^", "linestyle": (0, (1, 2))},
}


def history_length(found: Mapping[str, Any], level: str, path: Path) -> list[str]:
    """Draw NDCG@20 by number of baskets in the history, for ours and the two best baselines.

    Args:
        found: contents of ``summary.json``.
        level: of it.
        path: of the picture.

    Returns:
        names of the models that are drawn, ours first.
    """
    by, test = found["by_activity"][level], found["test"][level]
    others = sorted((model for model in test if model != OURS), key=lambda model: -test[model][METRICS[0]]["mean"])
    models = [OURS, *others[:RIVALS]]
    picture(partial(_paint_history, {model: by[model] for model in models}), path)
    return models


def reliability(found: Mapping[str, Any], path: Path) -> None:
    """Draw told against found shares of the targets.

    Args:
        found: ``reliability`` of ``summary.json``.
        path: of the picture.
    """
    picture(partial(_paint_reliability, found), path)


def picture(paint: Callable[[Axes], None], path: Path) -> None:
    """Paint one drawing in the report's style and write it as PNG, whole or not at all."""
    with mpl.rc_context(drawing_style()):
        figure = Figure(figsize=SIZE, layout="constrained", facecolor=COLOURS["paper"])
        paint(figure.subplots())
        with atomic(path) as temporary:
            figure.savefig(temporary, format="png", dpi=DOTS, facecolor=COLOURS["paper"], metadata={"Software": None})


def _paint_history(groups: Mapping[str, Mapping[str, Mapping[str, float | None]]], axes: Axes) -> None:
    buckets = {label: part["users"] for label, part in groups[OURS].items() if part["users"]}
    for at, (model, by) in enumerate(groups.items()):
        values = [by[label][METRICS[0]] or 0.0 for label in buckets]
        axes.plot(range(len(buckets)), values, label=named(model), **LINES[at])
    axes.set_xticks(range(len(buckets)), [f"{label}\n{whole(users)}" for label, users in buckets.items()])
    axes.set_xlabel("baskets in the history; below: customers, of all windows")
    axes.set_ylabel(metric_name(METRICS[0]))
    axes.set_ylim(bottom=0)
    axes.legend(loc="best")


def _paint_reliability(found: Mapping[str, Any], axes: Axes) -> None:
    top = 1.1 * max(*found["told"], *found["found"])
    axes.plot([0, top], [0, top], color=COLOURS["other"], linewidth=1, label="told = found")
    axes.plot(found["told"], found["found"], label=named(OURS), **LINES[0])
    axes.set_xlabel("told share of the customer's targets")
    axes.set_ylabel("found share")
    axes.set_title(f"expected calibration error {decimal(found['ece'])}", fontsize=11)
    axes.legend(loc="upper left")
