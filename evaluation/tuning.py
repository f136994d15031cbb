"""Choosing a baseline's settings on validation, and fitting it again for the test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

from console import say
from data.splits import Targets
from evaluation.evaluate import evaluate
from evaluation.ranking import Rankings, rank
from evaluation.scorer import Problem, Scorer


@dataclass(frozen=True)
class Trial:
    """One setting, tried on validation.

    Attributes:
        config: the settings.
        value: the metric that was chosen by; None where it could not be computed.
        seconds: fitting and ranking.
    """

    config: dict[str, Any]
    value: float | None
    seconds: float


@dataclass(frozen=True)
class Tuned:
    """A scorer, chosen on validation and fitted for the test.

    Attributes:
        scorer: fitted at the test cut-off.
        trials: everything that was tried, in order.
        best: which of them was chosen.
    """

    scorer: Scorer
    trials: list[Trial]
    best: int


@dataclass(frozen=True)
class Baseline:
    """A baseline's part of a report.

    Attributes:
        rankings: of the test users.
        tuned: how it was chosen.
        seconds: trials, refit and test ranking together.
    """

    rankings: Rankings
    tuned: Tuned
    seconds: float


def tune(
    grid: Sequence[Scorer],
    validation: Problem,
    targets: Targets,
    test: Problem,
    metric: str = "ndcg@20",
    seed: int = 0,
) -> Tuned:
    """Try every setting on the validation cut-off and fit the best one at the test cut-off.

    The test cut-off's targets are no argument, so nothing can be chosen by them. A grid of one is not tried.

    Args:
        grid: unfitted scorers; of equals the first wins.
        validation: the problem at the validation cut-off.
        targets: its targets.
        test: the same level at the test cut-off.
        metric: its name with its k, as `evaluate` calls it.
        seed: of the tie order.

    Raises:
        ValueError: an empty grid.
    """
    if not grid:
        raise ValueError("an empty grid: nothing to choose from")
    trials = [] if len(grid) == 1 else [_try(scorer, validation, targets, metric, seed) for scorer in grid]
    values = [-1.0 if trial.value is None else trial.value for trial in trials]
    best = values.index(max(values)) if values else 0
    return Tuned(grid[best].fit(test), trials, best)


def run_baselines(
    grids: dict[str, list[Scorer]],
    validation: Problem,
    validation_targets: Targets,
    test: Problem,
    test_targets: Targets,
    *,
    k: int = 100,
    seed: int = 0,
) -> dict[str, Baseline]:
    """Tune each baseline on validation, fit it for the test and rank the test users; the seed orders their ties."""
    done = {}
    for name, grid in grids.items():
        started = perf_counter()
        tuned = tune(grid, validation, validation_targets, test, seed=seed)
        rankings = rank(tuned.scorer, test, test_targets, k, seed=seed)
        done[name] = Baseline(rankings, tuned, perf_counter() - started)
        tried = max(len(tuned.trials), 1)
        say("baseline", f"{name} ({test.name}): {done[name].seconds:.1f} s, {tried} settings")
    return done


def settings(scorer: Scorer) -> dict[str, Any]:
    """A scorer's settings as plain values."""
    return {} if scorer.config is None else asdict(scorer.config)


def _try(scorer: Scorer, validation: Problem, targets: Targets, metric: str, seed: int) -> Trial:
    started = perf_counter()
    k = int(metric.rpartition("@")[2])
    rankings = rank(scorer.fit(validation), validation, targets, k, seed=seed)
    value = evaluate(rankings, targets, ks=(k,)).summary[metric]
    return Trial(settings(scorer), value, perf_counter() - started)
