"""What the runs of several windows and seeds are worth together, computed from their rankings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import scipy.sparse as sp

from data.dataset import Dataset
from data.splits import ProtocolConfig, Targets, targets
from evaluation import summary_page
from evaluation.calibration import reliability
from evaluation.evaluate import Evaluation, basket_counts, evaluate
from evaluation.pooled import METRICS, ByWindow, pooled_activity, pooled_differences, spread
from evaluation.ranking import Rankings
from evaluation.scorer import IntArray, Problem
from files import atomic, write_json
from training import baselines
from training.config import TrainConfig
from training.run import OURS, levels_of

JSON, CSV, MARKDOWN, HTML = "summary.json", "summary.csv", "summary.md", "summary.html"


@dataclass(frozen=True)
class WindowRuns:
    """The finished runs of one window.

    Attributes:
        protocol: its cut-offs.
        folders: by seed.
        baselines: folder of its baselines' results.
    """

    protocol: ProtocolConfig
    folders: Mapping[int, Path]
    baselines: Path


@dataclass(frozen=True)
class _Measured:
    """A level of a window: its problem and targets, our rankings by seed, and everybody's evaluations."""

    problem: Problem
    targets: Targets
    rankings: list[Rankings]
    evaluations: dict[str, list[Evaluation]]

    @cached_property
    def baskets(self) -> IntArray:
        """Baskets of the whole population before the window."""
        return basket_counts(self.problem.history)


def write(to: Path, config: TrainConfig, dataset: Dataset, runs: Sequence[WindowRuns]) -> dict[str, Any]:
    """Write ``summary.json``, ``summary.csv``, ``summary.md`` and ``summary.html``.

    Args:
        to: folder for the files.
        config: of the command.
        dataset: the shop's data.
        runs: by window, rising, with the same seeds.

    Returns:
        Contents of ``summary.json``, see `figures`.
    """
    found = figures(config, dataset, runs)
    write_json(to / JSON, found)
    pages = {CSV: summary_page.csv(found), MARKDOWN: summary_page.markdown(found), HTML: summary_page.html(found)}
    for name, text in pages.items():
        with atomic(to / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return found


def figures(config: TrainConfig, dataset: Dataset, runs: Sequence[WindowRuns]) -> dict[str, Any]:
    """Contents of ``summary.json``; arguments as of `write`.

    ``protocol``: {WINDOW: cut-offs}; ``users``: {LEVEL: {WINDOW: number}}; ``test``: {LEVEL: {MODEL: {METRIC: {mean,
    over_windows, over_seeds}}}} (see `Spread`); ``by_run``: {LEVEL: {MODEL: {METRIC: {WINDOW: [one for each seed]}}}},
    baselines being trained once for each window; ``difference``: {LEVEL: {BASELINE: {METRIC: {mean, low, high}}}}, ours
    minus the baseline (see `pooled_differences`); ``by_activity``: {LEVEL: {MODEL: {BASKETS: figures}}};
    ``reliability``: told and found shares at the interest level, with the expected calibration error.
    """
    cutoffs = {str(one.protocol.test_cutoff): asdict(one.protocol) for one in runs}
    found: dict[str, Any] = {
        "source": dataset.tables.name,
        "data_fingerprint": dataset.fingerprint,
        "time_unit": dataset.tables.time_unit,
        "seeds": list(runs[0].folders),
        "protocol": {window: {k: v for k, v in of.items() if v is not None} for window, of in cutoffs.items()},
    }
    parts = ("users", "items", "test", "by_run", "difference", "by_activity")
    found |= {part: {} for part in parts}
    for name, level in levels_of(dataset).items():
        measured = {one.protocol.test_cutoff: _measure(config, dataset, name, one) for one in runs}
        of_level = _level(measured)
        for part in parts:
            found[part][name] = of_level[part]
        if level is dataset.catalogue.interest:
            found["reliability"] = _reliability(list(measured.values()))
    return found


def _measure(config: TrainConfig, dataset: Dataset, name: str, runs: WindowRuns) -> _Measured:
    """Evaluate a level of a window: ours with each seed, and the baselines."""
    protocol = runs.protocol
    problem = Problem(dataset, levels_of(dataset)[name], protocol.test_cutoff)
    wanted = targets(dataset, problem.level, problem.cutoff, protocol.horizon)
    frames = [pd.read_parquet(folder / "rankings" / f"{name}.parquet") for folder in runs.folders.values()]
    ours = [Rankings.from_frame(frame, dataset.user_ids, problem.item_ids) for frame in frames]
    others = baselines.collect(runs.baselines / name, config.baselines.names)
    evaluations = {OURS: [evaluate(one, wanted, ks=(20,)) for one in ours]}
    evaluations |= {model: [evaluate(one, wanted, ks=(20,))] for model, (one, _) in others.items()}
    return _Measured(problem, wanted, ours, evaluations)


def _level(measured: Mapping[int, _Measured]) -> dict[str, Any]:
    """One level's part of `figures`."""
    first = next(iter(measured.values()))
    models: dict[str, ByWindow] = {
        name: {window: one.evaluations[name] for window, one in measured.items()} for name in first.evaluations
    }
    others = {name: of for name, of in models.items() if name != OURS}
    baskets = {window: one.baskets for window, one in measured.items()}
    differences = pooled_differences(models[OURS], others)
    return {
        "users": {str(window): len(one.targets.users) for window, one in measured.items()},
        "items": len(first.problem),
        "test": {name: {metric: vars(spread(of, metric)) for metric in METRICS} for name, of in models.items()},
        "by_run": {name: {metric: _by_run(of, metric) for metric in METRICS} for name, of in models.items()},
        "difference": {name: {key: vars(one) for key, one in by.items()} for name, by in differences.items()},
        "by_activity": {name: pooled_activity(of, baskets) for name, of in models.items()},
    }


def _by_run(of: ByWindow, metric: str) -> dict[str, list[float]]:
    return {str(window): [float(one.per_user[metric].mean()) for one in trained] for window, trained in of.items()}


def _reliability(measured: Sequence[_Measured]) -> dict[str, Any]:
    """Calibration of our probabilities over all windows and seeds."""
    pairs = [(ranking, one) for one in measured for ranking in one.rankings]
    found = reliability(
        [ranking for ranking, _ in pairs], [sp.csr_array(one.targets.hits[ranking.users]) for ranking, one in pairs]
    )
    return asdict(found) | {"ece": found.ece}
