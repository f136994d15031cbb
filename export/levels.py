"""The levels that are recommended at, with their towers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from data.log import Log
from evaluation.scorer import FloatArray, IntArray, Problem
from evidence.popularity import buyers
from export.tower import Tower, TowerConfig, agreement, fit_tower
from kg.schema import PRODUCT, level_labels
from training.cutoffs import Chain
from training.loaded import LoadedRun
from training.run import levels_of

TOP = 100


@dataclass(frozen=True)
class ItemLevel:
    """A level's items as they are recommended.

    Attributes:
        label: of its nodes in the graph.
        problem: the level at the run's cut-off.
        category: each item's category, −1 for none, shape (items,).
    """

    label: str
    problem: Problem
    category: IntArray

    def popularity(self) -> FloatArray:
        """Distinct users who bought each item before the cut-off, shape (items,)."""
        return buyers(self.problem.history, self.problem.of_product, self.problem.cutoff)

    def scores(self, run: LoadedRun, history: Log, rows: IntArray) -> FloatArray:
        """The full model's scores, −inf in categories bought from, shape (b, items)."""
        return run.scorer.fit(self.problem).score(history, rows)


def item_levels(run: LoadedRun) -> list[ItemLevel]:
    """All levels from the interest level down."""
    labels = level_labels(run.dataset)
    cutoff = run.scorer.cutoff
    categories = categories_of(cutoff.chain, len(run.dataset.catalogue.interest))
    return [
        ItemLevel(PRODUCT if level is None else labels[name], Problem(run.dataset, level, cutoff.time), category)
        for (name, level), category in zip(levels_of(run.dataset).items(), categories, strict=True)
    ]


def categories_of(chain: Chain, n_categories: int) -> list[IntArray]:
    """For the interest level and each level below it the category of each node, −1 for none."""
    found = [np.arange(n_categories)]
    for parent in chain.parents:
        found.append(np.where(parent >= 0, found[-1][np.maximum(parent, 0)], -1))
    return found


def fit_towers(
    run: LoadedRun, levels: list[ItemLevel], config: TowerConfig
) -> tuple[dict[str, Tower], dict[str, Mapping[str, float]]]:
    """Fit each level's tower, and measure its agreement with the full model on users that it was not fitted on.

    Returns:
        By label: the towers, and ``rank``, ``users``, ``held_out``, ``k`` and ``overlap`` (mean share of the full
        model's k best that are among the tower's).
    """
    fit, held = split_users(run.scorer.cutoff.history, config)
    history = run.scorer.cutoff.history
    towers: dict[str, Tower] = {}
    facts: dict[str, Mapping[str, float]] = {}
    for level in levels:

        def score(part: Log, rows: IntArray, level: ItemLevel = level) -> FloatArray:
            return level.scores(run, part, rows)

        tower = towers[level.label] = fit_tower(score, history, fit, level.category, config)
        k = min(TOP, max(1, len(level.category) // 10))
        parts = [held[start : start + config.batch] for start in range(0, len(held), config.batch)]
        overlaps = [agreement(tower, score(history.of_users(part), part), k) for part in parts]
        measured = {"rank": tower.vectors.shape[1], "users": len(fit), "held_out": len(held), "k": k}
        facts[level.label] = measured | {"overlap": float(np.concatenate(overlaps).mean())}
    return towers, facts


def split_users(history: Log, config: TowerConfig) -> tuple[IntArray, IntArray]:
    """Two samples of the users with a history: to fit on, and to measure on."""
    rows = np.random.default_rng(config.seed).permutation(np.unique(history.user)).astype(np.int64)
    held = max(1, min(config.held_out, len(rows) // 10))
    return np.sort(rows[held:][: config.users]), np.sort(rows[:held])
