"""The tables of a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.evaluate import Figures
from evaluation.report_content import Cost, Groups, ReportContent
from evaluation.report_words import METRIC, OURS, is_measured, whole

ACCURACY = ("ndcg@20", "recall@20", "ndcg@10", "recall@10", "hit_rate@20", "hit_rate@10", "mrr@20", "mrr@10")


@dataclass(frozen=True)
class Row:
    """One line of a table: cells, and the columns whose cell is the best."""

    name: str
    cells: Sequence[float | None]
    best: frozenset[int] = frozenset()
    note: str = ""


def level_table(level: str, content: ReportContent) -> dict[str, Any]:
    """Name, columns and rows of a level's results: the model first, then baselines from the best on."""
    models, difference = content.test[level], content.difference.get(level, {})
    columns = _columns(models.values())
    order = _ranked(models)
    cells = [[models[name].get(column) for column in columns] for name in order]
    best = _best_of_columns(cells, [column in ACCURACY for column in columns])
    rows = [Row(name, values, marks) for name, values, marks in zip(order, cells, best, strict=True)]
    gaps = {name: found[METRIC] for name, found in difference.items() if is_measured(found.get(METRIC))}
    users = content.facts.test_users.get(level) if content.facts else None
    return {"name": level, "columns": columns, "rows": rows, "gaps": gaps, "users": users}


def group_table(groups: Groups) -> dict[str, Any]:
    """Columns (models) and rows (buckets) of NDCG@20 by group."""
    models = _ranked({name: {METRIC: _mean(found.values())} for name, found in groups.items()})
    labels = list(dict.fromkeys(label for name in models for label in groups[name]))
    cells = [[groups[name].get(label, {}).get(METRIC) for name in models] for label in labels]
    columns = _best_of_columns([list(column) for column in zip(*cells, strict=True)], [True] * len(labels))
    best = [frozenset(at for at, marks in enumerate(columns) if row in marks) for row in range(len(labels))]
    notes = [_sizes(next(groups[name][label] for name in models if label in groups[name])) for label in labels]
    rows = [Row(*row) for row in zip(labels, cells, best, notes, strict=True)]
    return {"models": models, "rows": rows}


def cost_shares(costs: Sequence[Cost]) -> list[float]:
    """Each step's share of the wall time, in percent."""
    total = sum(cost.seconds for cost in costs)
    return [100 * cost.seconds / total if total else 0.0 for cost in costs]


def group_tables(levels: Mapping[str, Groups]) -> dict[str, dict[str, Any]]:
    """Of each level that has groups its `group_table`."""
    return {level: group_table(groups) for level, groups in levels.items() if any(groups.values())}


def _columns(models: Iterable[Figures]) -> list[str]:
    found = dict.fromkeys(column for figures in models for column in figures)
    return [column for column in ACCURACY if column in found] + [column for column in found if column not in ACCURACY]


def _ranked(models: Mapping[str, Figures]) -> list[str]:
    """Ours first, the others by falling NDCG@20."""
    return sorted(models, key=lambda name: (name != OURS, -(models[name].get(METRIC) or 0.0)))


def _best_of_columns(cells: Sequence[Sequence[float | None]], judged: Sequence[bool]) -> list[frozenset[int]]:
    """For each row the columns in which it is the best, equals as shown included; no contest, no best."""
    best: list[set[int]] = [set() for _ in cells]
    for at, counts in enumerate(judged):
        shown = {row: round(value, 4) for row, values in enumerate(cells) if (value := values[at]) is not None}
        top = max(shown.values(), default=0.0)
        winners = [row for row, value in shown.items() if value == top]
        if counts and len(winners) < len(shown):
            for row in winners:
                best[row].add(at)
    return [frozenset(columns) for columns in best]


def _mean(groups: Iterable[Figures]) -> float:
    values = [value for figures in groups if (value := figures.get(METRIC)) is not None]
    return float(np.mean(values)) if values else 0.0


def _sizes(figures: Figures) -> str:
    kinds = {"items": "items", "targets": "targets", "users": "customers"}
    return ", ".join(f"{whole(figures[kind])} {word}" for kind, word in kinds.items() if kind in figures)
