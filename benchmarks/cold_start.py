"""How well a finished run does where little is known: types and products never sold, users with few baskets.

    python benchmarks/cold_start.py withheld RUN      RUN trained with, say, --data.withhold 0.1
    python benchmarks/cold_start.py pretended RUN     types taken out of all that is counted, once RUN is trained
    python benchmarks/cold_start.py never_sold RUN    products that nobody bought before the test cut-off
    python benchmarks/cold_start.py never_sold_anywhere RUN      the same, of all categories
    python benchmarks/cold_start.py short RUN         users cut to their last 0, 1, 2, 3 baskets; those with at most 3
    python benchmarks/cold_start.py people RUN        users without a history, of whom the data tell age, income, …

NDCG@20 with the differences of ours to each baseline and their 95% intervals. Cold items are ranked among themselves,
for users who buy one of them from a category that they never bought from (``anywhere``: from any category); intervals
by user, by item, and by both (pigeonhole bootstrap). ``withheld`` is the whole test: nothing has ever met the types.
For ``pretended`` the weights have; histories, evidence and co-purchases at the test cut-off have not, and any run will
do. In ``short`` all candidates and targets stay those of the whole history, only what the scorers see of it is cut;
windows and λ of the baselines are chosen on the validation cut-off, for each group by itself. ``people`` shows nothing
of the history at all of users with any attribute; their groups' purchases were counted with theirs among some hundreds
of others.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.console import Console
from rich.table import Table

from console import track
from data.dataset import Dataset
from data.load import load
from data.log import Log
from data.lookup import positions
from data.splits import Targets, blocked, targets, unseen_categories
from data.withhold import withheld_nodes
from errors import InputError
from evaluation import metrics
from evaluation.baselines import Ease, EaseConfig, Popularity, PopularityConfig
from evaluation.bootstrap import bootstrap
from evaluation.cold import ColdTask, intervals, ndcg, simple_scorers
from evaluation.evaluate import basket_counts
from evaluation.ranking import batches, rank_batch, tie_order
from evaluation.scorer import FloatArray, IntArray, Problem, Scorer
from evidence.groups import GroupEvidence
from evidence.popularity import buyers
from files import write_json
from kg.config import StoreConfig
from recommend.people import attributes
from train import explained
from training import build
from training.cold import ColdScorer, ColdView
from training.cold_fit import chosen, cold_cutoffs, fit_heads, without_items
from training.config import TrainConfig
from training.cutoffs import Chain
from training.loaded import LoadedRun, load_run
from training.scorer import CrossAisleScorer
from training.texts import unit_texts

OURS, PLAIN = "crossaisle", "crossaisle without the cold head"
K = 20
MOST_ITEMS = 2000
WINDOWS = (1, 2, 4, 6, 8, 12)
STRENGTHS = (50.0, 200.0, 500.0, 1000.0, 2000.0)
BASKETS = (0, 1, 2, 3)
FEW = 3


# -- items without a history ---------------------------------------------------------------------------------


def withheld(run: LoadedRun) -> tuple[LoadedRun, ColdTask, int]:
    """The run, the task of the items that its data withhold, and the step that they are the children of.

    Raises:
        InputError: the run was trained on all purchases.
    """
    config = run.config.data
    if not config.withhold:
        remedy = "Train one with --data.withhold 0.1."
        raise InputError("this run withholds nothing", where=run.name, remedy=remedy)
    chain, cutoff = Chain.of(run.dataset), run.scorer.cutoff.time
    problem = Problem(run.dataset, chain.levels[0], cutoff)
    items = np.sort(positions(withheld_nodes(run.dataset.tables, config), problem.item_ids))
    whole = load(replace(config, withhold=0.0))
    return run, ColdTask.of(problem, items, run.config.protocol.horizon, whole), 0


def pretended(run: LoadedRun) -> tuple[LoadedRun, ColdTask, int]:
    """A tenth of the types (or products, where there are none) taken out of a run's data at its test cut-off.

    Returns:
        The run with what is left, the task, and the step.
    """
    chain, cutoff, config = Chain.of(run.dataset), run.scorer.cutoff, run.config
    items = chosen(chain.parents[0], config.cold, [config.seed, cutoff.time])
    without = without_items(run.dataset, chain.levels[0], items)
    module = run.scorer.module
    graph = cutoff.graph.without_purchases(module.model.shape.steps[0].label, items)
    left = build.cutoff(config, without, Chain.of(without), cutoff.time, graph)
    task = ColdTask.of(Problem(without, chain.levels[0], cutoff.time), items, config.protocol.horizon, run.dataset)
    return replace(run, dataset=without, scorer=CrossAisleScorer(module, left)), task, 0


def never_sold(run: LoadedRun, anywhere: bool = False) -> tuple[LoadedRun, ColdTask, int]:
    """The run, the task of products that nobody bought before its test cut-off (at most 2,000, seeded), and the step.

    Args:
        run: a loaded run.
        anywhere: those in categories that a user has bought from are candidates too.

    Raises:
        InputError: there are none, or nobody buys one of them.
    """
    chain, cutoff = Chain.of(run.dataset), run.scorer.cutoff.time
    step = len(chain.levels) - 1
    problem = Problem(run.dataset, None, cutoff)
    unsold = (buyers(problem.history, problem.of_product, cutoff) == 0) & (chain.parents[step] >= 0)
    items = np.random.default_rng(run.config.seed).permutation(np.flatnonzero(unsold))[:MOST_ITEMS]
    return run, ColdTask.of(problem, np.sort(items), run.config.protocol.horizon, anywhere=anywhere), step


TASKS: dict[str, Callable[[LoadedRun], tuple[LoadedRun, ColdTask, int]]] = {
    "withheld": withheld,
    "pretended": pretended,
    "never_sold": never_sold,
    "never_sold_anywhere": partial(never_sold, anywhere=True),
}


def measure_cold(run: LoadedRun, task: ColdTask, step: int) -> dict[str, Any]:
    """NDCG of the simple scorers, of the model as it is, and of its head for cold items, with intervals."""
    module, cutoff, chain = run.scorer.module, run.scorer.cutoff, Chain.of(run.dataset)
    label = module.model.shape.steps[step].label
    level = run.dataset.catalogue.interest if step == 0 else chain.levels[step - 1]
    assert level is not None
    texts = unit_texts(module.bank, module.plan.positions(label))
    gains: dict[str, FloatArray] = {}
    for scorer in track(simple_scorers(level, chain.parents[step], texts, run.config.protocol.horizon), "scorers"):
        gains[scorer.name] = task.gains(task.scores(_of_items(scorer.fit(task.problem), task.items)))
    plain = run.scorer.fit(task.problem)
    ours = ColdScorer(ColdView(module, cutoff, chain, step, task.items, run.config), _heads(run)[label])
    allowed = partial(_allowed, dataset=run.dataset, anywhere=task.anywhere)
    plainly = task.scores(lambda history, rows: plain.score_among(history, rows, allowed(history))[:, task.items])
    gains[PLAIN] = task.gains(plainly)
    gains[OURS] = task.gains(task.scores(lambda history, rows: ours.score(history, rows, allowed(history))))
    sizes = {"users": len(task.users), "items": len(task.items), "bought": int(task.wanted.any(axis=0).sum())}
    sizes["targets"] = int(task.wanted.sum())
    found = intervals(task, gains, OURS)
    difference = {name: {over: vars(one) for over, one in by.items()} for name, by in found.items()}
    return {"sizes": sizes, "ndcg@20": {name: ndcg(task, one) for name, one in gains.items()}, "difference": difference}


def _allowed(history: Log, dataset: Dataset, anywhere: bool) -> npt.NDArray[np.bool_]:
    """Categories that the users' candidates may sit in, shape (b, categories)."""
    unseen = unseen_categories(history, dataset.catalogue.interest)
    return np.ones_like(unseen) if anywhere else unseen


def _of_items(scorer: Scorer, items: IntArray) -> Callable[[Log, IntArray], FloatArray]:
    return lambda history, rows: np.asarray(scorer.score(history, rows)[:, items])


def _heads(run: LoadedRun) -> dict[str, Any]:
    """The run's heads for cold items; of a run without any they are fitted now."""
    if run.cold:
        return run.cold
    config = run.config if cold_cutoffs(run.config) else TrainConfig()
    times = cold_cutoffs(replace(run.config, cold=config.cold))
    _, graphs = build.load_and_read(run.config, run.dataset)
    ready = build.model_graphs({time: graphs[time] for time in times}, run.config)
    return fit_heads(run.config, run.scorer.module, run.dataset, ready, times)


def show_cold(found: dict[str, Any], title: str, terminal: Console) -> None:
    """Print a table of `measure_cold`."""
    sizes = found["sizes"]
    told = "{targets:,} purchases of {bought:,} of {items:,} items by {users:,} users".format(**sizes)
    table = Table("model", title=f"{title}: {told}")
    heads = ("NDCG@20", "ours leads by", "95% by user", "by item", "by both")
    for head in heads:
        table.add_column(head, justify="right")
    for name, value in sorted(found["ndcg@20"].items(), key=lambda pair: pair[1]):
        cells = [f"{value:.4f}"]
        if name in found["difference"]:
            by = found["difference"][name]
            cells.append(f"{by['user']['mean']:+.4f}")
            cells += [f"{by[over]['low']:+.4f} to {by[over]['high']:+.4f}" for over in ("user", "item", "both")]
        table.add_row(name, *cells, style="bold" if name == OURS else "")
    terminal.print(table)


# -- users with few baskets ----------------------------------------------------------------------------------


def last_baskets(history: Log, k: int) -> Log:
    """Each user's last k baskets; baskets of one period in the order of their numbers."""
    frame = pd.DataFrame({"user": history.user, "time": history.time, "basket": history.basket})
    baskets = frame.drop_duplicates("basket").sort_values(["user", "time", "basket"])
    from_end = baskets.groupby("user").cumcount(ascending=False)
    return history.where(np.isin(history.basket, baskets["basket"][from_end < k]))


class Group:
    """Users whose histories are shown to the scorers in part, at a cut-off, at the interest level.

    Args:
        dataset: the shop's data.
        cutoff: moment of prediction.
        horizon: of the targets.
        k: of everybody's baskets the last so many are shown; None: all, of those who have at most `FEW`.
        seed: of the tie order.
    """

    def __init__(self, dataset: Dataset, cutoff: int, horizon: int, k: int | None, seed: int = 0) -> None:
        self.problem = Problem(dataset, dataset.catalogue.interest, cutoff)
        self.targets: Targets = targets(dataset, dataset.catalogue.interest, cutoff, horizon)
        users = self.targets.users
        if k is None:
            users = users[basket_counts(self.problem.history)[users] <= FEW]
        self.users = users
        self.history = self.problem.history if k is None else last_baskets(self.problem.history, k)
        self._ties = tie_order(self.problem.item_ids, seed)

    def ndcg(self, scorer: Scorer) -> metrics.PerUser:
        """NDCG@20 of a fitted scorer, by user; candidates and targets are those of the whole history."""
        lists = []
        for rows in batches(self.users, None, len(self.problem)):
            scores = np.array(scorer.score(self.history.of_users(rows), rows), dtype=np.float32)
            closed = blocked(self.targets.unseen[rows], self.problem.membership)
            scores = np.where(closed, -np.inf, np.maximum(scores, np.float32(-1e30)))
            lists.append(rank_batch(scores, K, self._ties)[0])
        wanted = self.targets.hits[self.users]
        return metrics.ndcg(metrics.hits(np.concatenate(lists), wanted), metrics.n_targets(wanted), K)


def grids() -> dict[str, list[Scorer]]:
    """The baselines, each with the settings that validation chooses from."""
    return {
        "popularity": [Popularity()],
        "recent popularity": [Popularity(PopularityConfig(window)) for window in WINDOWS],
        "EASE": [Ease(EaseConfig(strength)) for strength in STRENGTHS],
    }


def measure_short(run: LoadedRun) -> dict[str, Any]:
    """NDCG of ours and the baselines for each group, with intervals by user."""
    protocol, found = run.config.protocol, {}
    for k in track([None, *BASKETS], "groups"):
        validation, test = (
            Group(run.dataset, time, protocol.horizon, k, run.config.seed)
            for time in (protocol.validation_cutoff, protocol.test_cutoff)
        )
        if not len(test.users):
            continue
        figures = {OURS: test.ndcg(run.scorer.fit(test.problem))}
        for name, grid in grids().items():
            figures[name] = test.ndcg(_tuned(grid, validation).fit(test.problem))
        told = f"at most {FEW} baskets" if k is None else f"last {k} baskets" if k else "no history"
        found[told] = _short_figures(figures)
    return found


class Told(Scorer):
    """Another scorer's log-probabilities plus what the users' groups buy.

    Args:
        scorer: fitted.
        people: attributes of all users, rows as in the log.
    """

    def __init__(self, scorer: Scorer, people: pd.DataFrame) -> None:
        self.name, self.scorer, self.people = f"{scorer.name} and attributes", scorer, people

    def fit(self, problem: Problem) -> Told:
        """Count what the groups bought before the cut-off."""
        self._groups = GroupEvidence(problem.history, problem.of_product, self.people)
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """Shape (b, categories)."""
        return self.scorer.score(history, rows) + self._groups.of_people(self.people.iloc[rows])


class LogPopularity(Popularity):
    """Popularity's scores as log-probabilities, so that others can be added to them."""

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """Shape (b, categories)."""
        return np.log(np.maximum(super().score(history, rows), 0) + 0.5).astype(np.float32)


def measure_people(run: LoadedRun) -> dict[str, Any]:
    """NDCG without any history, with and without what is known of the users; intervals by user.

    Raises:
        InputError: the data tell nothing of users.
    """
    people, protocol = attributes(run.dataset), run.config.protocol
    group, validation = (
        Group(run.dataset, time, protocol.horizon, 0, run.config.seed)
        for time in (protocol.test_cutoff, protocol.validation_cutoff)
    )
    for one in (group, validation):
        one.users = one.users[people.notna().any(axis=1).to_numpy(dtype=bool)[one.users]]
    popular = _tuned([LogPopularity(PopularityConfig(window)) for window in WINDOWS], validation).fit(group.problem)
    ours = run.scorer.fit(group.problem)
    figures = {OURS: group.ndcg(Told(ours, people).fit(group.problem)), "without attributes": group.ndcg(ours)}
    figures["recent popularity and attributes"] = group.ndcg(Told(popular, people).fit(group.problem))
    figures["recent popularity"] = group.ndcg(popular)
    return {"no history": _short_figures(figures)}


def _tuned(grid: Sequence[Scorer], validation: Group) -> Scorer:
    """The best of a grid on the validation group; of equals, or without users, the first."""
    if len(grid) == 1 or not len(validation.users):
        return grid[0]
    reached = [float(validation.ndcg(scorer.fit(validation.problem)).mean()) for scorer in grid]
    return grid[int(np.argmax(reached))]


def _short_figures(figures: dict[str, npt.NDArray[np.float64]]) -> dict[str, Any]:
    others = [name for name in figures if name != OURS]
    gaps = bootstrap(np.stack([figures[OURS] - figures[name] for name in others], axis=1))
    return {
        "sizes": {"users": len(figures[OURS])},
        "ndcg@20": {name: float(values.mean()) for name, values in figures.items()},
        "difference": {name: vars(gap) for name, gap in zip(others, gaps, strict=True)},
    }


def show_short(found: dict[str, Any], terminal: Console) -> None:
    """Print a table of `measure_short`."""
    table = Table("histories", title="category NDCG@20, and by how much ours leads (95% by user)")
    names = list(next(iter(found.values()))["ndcg@20"])
    for name in ("users", *names):
        table.add_column(name, justify="right")
    for told, figures in found.items():
        cells = [f"{figures['sizes']['users']:,}"]
        for name in names:
            gap = figures["difference"].get(name)
            lead = f" ({gap['mean']:+.4f}: {gap['low']:+.4f} to {gap['high']:+.4f})" if gap else ""
            cells.append(f"{figures['ndcg@20'][name]:.4f}{lead}")
        table.add_row(told, *cells)
    terminal.print(table)


# -- command -------------------------------------------------------------------------------------------------


def build_arguments() -> argparse.ArgumentParser:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks/cold_start.py", description=__doc__, formatter_class=form)
    parser.add_argument("what", choices=(*TASKS, "short", "people"))
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--store", type=Path, help="folder of the graph store; default: the run's")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and, if asked, write.

    Returns:
        0, or 2 when something given is wrong.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    given = build_arguments().parse_args(arguments)
    return explained(lambda: _run(given), "--help lists all options.")


def _run(given: argparse.Namespace) -> int:
    run = load_run(given.run, StoreConfig(home=given.store) if given.store else None)
    terminal = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    if given.what in ("short", "people"):
        found = (measure_short if given.what == "short" else measure_people)(run)
        show_short(found, terminal)
    else:
        run, task, step = TASKS[given.what](run)
        found = measure_cold(run, task, step)
        show_cold(found, given.what.replace("_", " "), terminal)
    if given.out:
        write_json(given.out, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
