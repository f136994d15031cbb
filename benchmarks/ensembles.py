"""Several runs and baselines together, beside each alone.

    python benchmarks/ensembles.py RUN RUN … --baselines ease lightgbm

Runs of the same data and protocol (other seeds, other settings), and baselines: those of the default grids, tuned on
the validation window, and ``lightgbm``. At the interest level, all candidates of the test users:

- *rank fusion*: reciprocal ranks, nothing is learnt;
- *stacking*: a logistic regression over scores and reciprocal ranks, learnt on the validation window. There each run
  stands with the weights that its validation chose, and each baseline as fitted at the validation cut-off: none of them
  has been trained on what came after it. At the test cut-off they stand as in a run: trained again up to it.

NDCG@20 and recall@20, and the difference to the model that alone is best on validation, with 95% intervals by paired
bootstrap over users.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from data.dataset import Dataset
from data.splits import ProtocolConfig, Targets, targets
from errors import InputError
from evaluation.baselines import default_grids
from evaluation.boosting import default_grid, tune_lightgbm
from evaluation.bootstrap import bootstrap
from evaluation.evaluate import accuracy
from evaluation.fusing import Stacking, reciprocal_rank_fusion
from evaluation.ranking import Rankings, rank, tie_order
from evaluation.scorer import Problem, Scorer
from evaluation.tuning import tune
from evidence.interest import InterestEvidence
from kg.config import StoreConfig
from train import explained
from training.build import evidence_config
from training.config import TrainConfig
from training.loaded import LoadedRun, load_chosen, load_run

METRICS = ("ndcg@20", "recall@20")
LIGHTGBM = "lightgbm"


@dataclass(frozen=True)
class Window:
    """What is asked at one cut-off.

    Attributes:
        problem: at the interest level.
        wanted: its targets.
    """

    problem: Problem
    wanted: Targets

    @classmethod
    def of(cls, dataset: Dataset, protocol: ProtocolConfig, cutoff: int) -> Window:
        """At a cut-off, with the protocol's horizon."""
        level = dataset.catalogue.interest
        return cls(Problem(dataset, level, cutoff), targets(dataset, level, cutoff, protocol.horizon))

    def rank(self, scorer: Scorer) -> Rankings:
        """All candidates of all users with a target."""
        return rank(scorer, self.problem, self.wanted, len(self.problem))

    def measure(self, rankings: Rankings) -> dict[str, npt.NDArray[np.float64]]:
        """Per user."""
        found = accuracy(rankings, self.wanted.hits[rankings.users], (20,))
        return {name: found[name] for name in METRICS}


@dataclass(frozen=True)
class Ranked:
    """One model's rankings in both windows."""

    validation: Rankings
    test: Rankings


def of_run(chosen: LoadedRun, run: LoadedRun, validation: Window, test: Window) -> Ranked:
    """A run: as validation chose it, and as it was trained again up to the test cut-off."""
    return Ranked(*(w.rank(one.scorer.fit(w.problem)) for one, w in ((chosen, validation), (run, test))))


def of_baseline(name: str, config: TrainConfig, validation: Window, test: Window) -> Ranked:
    """A baseline, its settings chosen on validation.

    Raises:
        InputError: there is no baseline of that name.
    """
    grids = default_grids(test.problem)
    if name == LIGHTGBM:
        return _lightgbm(config, validation, test)
    if name not in grids:
        remedy = f"Use some of {', '.join([*grids, LIGHTGBM])}."
        raise InputError(f"there is no baseline {name!r}", where="baselines", remedy=remedy)
    tuned = tune(grids[name], validation.problem, validation.wanted, test.problem)
    known = test.rank(tuned.scorer)
    return Ranked(validation.rank(tuned.scorer.fit(validation.problem)), known)


def _lightgbm(config: TrainConfig, validation: Window, test: Window) -> Ranked:
    """LightGBM of the run's own evidence; for validation its trees come from cut-offs before that window."""
    dataset, protocol = test.problem.dataset, config.protocol
    level, above, evidence = dataset.catalogue.interest, dataset.catalogue.above, evidence_config(config)
    provider = lru_cache(None)(lambda cutoff: InterestEvidence(dataset, level, above, cutoff, evidence))
    grid = default_grid(protocol, config.baselines.threads, config.seed)
    found = []
    for window, times in ((validation, protocol.train_cutoffs), (test, protocol.refit_cutoffs)):
        tuned = tune_lightgbm(grid, validation.problem, validation.wanted, window.problem, times, evidence=provider)
        found.append(window.rank(tuned.scorer))
    return Ranked(*found)


def fused(models: dict[str, Ranked], validation: Window, test: Window) -> dict[str, Rankings]:
    """The test rankings of each model, and of all together."""
    ties, n = tie_order(test.problem.item_ids), len(test.problem)
    seen, asked = [one.validation for one in models.values()], [one.test for one in models.values()]
    stacking = Stacking.fit(seen, validation.wanted.hits[seen[0].users])
    together = {"rank fusion": reciprocal_rank_fusion(asked, n, ties), "stacking": stacking.fuse(asked, n, ties)}
    return {name: one.test for name, one in models.items()} | together


def show(models: dict[str, Ranked], validation: Window, test: Window, terminal: Console) -> None:
    """Print the table."""
    seen = {name: float(validation.measure(one.validation)["ndcg@20"].mean()) for name, one in models.items()}
    best = max(seen, key=lambda name: seen[name])
    figures = {name: test.measure(rankings) for name, rankings in fused(models, validation, test).items()}
    table = Table("model", title=f"{len(test.wanted.users):,} test users; best alone on validation: {best}")
    for head in ("NDCG@20, validation", "NDCG@20", "recall@20", f"NDCG@20, less {best} (95%)"):
        table.add_column(head, justify="right")
    for name, of_users in figures.items():
        (gain,) = bootstrap(of_users["ndcg@20"] - figures[best]["ndcg@20"])
        told = "" if name == best else f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
        means = (f"{of_users[metric].mean():.4f}" for metric in METRICS)
        table.add_row(name, f"{seen[name]:.4f}" if name in seen else "", *means, told)
    terminal.print(table)


def build_arguments() -> argparse.ArgumentParser:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks/ensembles.py", description=__doc__, formatter_class=form)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished runs of the same data and cut-offs")
    parser.add_argument("--baselines", nargs="*", default=["ease", LIGHTGBM], help="default: ease lightgbm")
    parser.add_argument("--store", type=Path, help="folder of the graph store; default: the runs'")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Rank, fuse, measure and print.

    Returns:
        0, or 2 when something given is wrong.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    given = build_arguments().parse_args(arguments)
    return explained(lambda: _run(given), "--help lists all options.")


def _run(given: argparse.Namespace) -> int:
    store = StoreConfig(home=given.store) if given.store else None
    models: dict[str, Ranked] = {}
    windows: tuple[Window, Window] | None = None
    fingerprints: set[str] = set()
    for folder in given.runs:
        run = load_run(folder, store)
        fingerprints.add(run.dataset.fingerprint)
        if len(fingerprints) > 1:
            raise InputError("the runs are of different data", where=str(folder), remedy="Give runs of the same data.")
        protocol = run.config.protocol
        windows = windows or (
            Window.of(run.dataset, protocol, protocol.validation_cutoff),
            Window.of(run.dataset, protocol, protocol.test_cutoff),
        )
        name = folder.name if folder.name not in models else str(folder)
        models[name] = of_run(load_chosen(folder, store), run, *windows)
        config = run.config
    assert windows is not None
    models |= {name: of_baseline(name, config, *windows) for name in given.baselines}
    show(models, *windows, Console(highlight=False, width=None if sys.stdout.isatty() else 130))
    return 0


if __name__ == "__main__":
    sys.exit(main())
