"""Whether a ranking team's own ranker gets better by what CrossAisle learnt.

    python train.py --protocol.test_cutoffs 40 --out runs/before      # one horizon before the end of the data
    python benchmarks/downstream_ranking.py runs/before/40-0

With T the run's test cut-off and h its horizon, the team's rankers learn from what users bought in [T, T + h), and are
tested on what they bought in [T + h, T + 2h). CrossAisle's weights know nothing from T on; the histories that it is
given at either moment end there. Nobody is given a purchase from the window that is predicted.

- Candidates: at the interest level all unseen categories; below it the team's own retrieval, shared by all rankers:
  the 300 best by the reciprocal ranks (Cormack et al., SIGIR 2009) of recent popularity and item cosine.
- *by hand*: the team's features: buyers and new buyers by window, their trend, weeks since the last sale; of the user
  lines, baskets, spend, recency, categories; of the pair co-occurrence (item cosine, also of the category), lines and
  recency in the department.
- *+ embeddings*: and the vectors of item and user, and the item's largest and mean cosine with what the user bought.
- *+ features*: and what ``crossaisle export --features`` writes of a pair.
- LambdaRank is LightGBM's (rounds chosen on a fifth of the learning window's users), HistGB scikit-learn's
  HistGradientBoostingClassifier with its own early stopping, on all pairs taken up and a fifth of the others. Settings
  are the same in every row; none is tuned.

NDCG@20 counts all targets, those that the retrieval missed as well. Differences are paired by user, with 95% intervals
(bootstrap), also as a share of the by-hand ranker's NDCG@20. Figures are means over seeds.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import HistGradientBoostingClassifier

from console import track
from data.log import Log
from data.splits import Targets, blocked, targets
from evaluation.baselines import ItemCosine
from evaluation.bootstrap import Interval, bootstrap
from evaluation.evaluate import evaluate
from evaluation.ranking import Rankings
from evaluation.scorer import FloatArray, IntArray, Problem
from evidence.popularity import adopters, buyers, first_times
from export.features import PairFeatures
from export.levels import ItemLevel, item_levels
from kg.config import StoreConfig
from train import explained
from training.loaded import LoadedRun, load_run

CANDIDATES, K = 300, 20
USERS_AT_A_TIME = 64
NEGATIVES = 0.2
WINDOWS = (1, 4, 12)
SETS = {"by hand": ["hand"], "+ embeddings": ["hand", "embeddings"], "+ features": ["hand", "features"],
        "+ both": ["hand", "embeddings", "features"]}  # fmt: skip


# -- what the team counts -----------------------------------------------------------------------------------


class Team:
    """A ranking team's retrieval and hand-made features of one level at one moment.

    Args:
        problem: the level at that moment.
    """

    def __init__(self, problem: Problem) -> None:
        catalogue = problem.dataset.catalogue
        interest = Problem(problem.dataset, catalogue.interest, problem.cutoff)
        self.problem = problem
        self._category = _first(problem.membership)
        self._cosines = [(ItemCosine().fit(problem), np.arange(len(problem)))]
        self._items = [item_figures(problem)]
        if problem.level is not catalogue.interest:
            self._cosines.append((ItemCosine().fit(interest), self._category))
            self._items.append(item_figures(interest)[np.maximum(self._category, 0)])
        above = catalogue.above
        self._department = None if above is None else _first(catalogue.links(catalogue.interest, above))
        self._departments = sp.csr_array((len(catalogue.product_ids), 1)) if above is None else above.of_product
        self._recent = buyers(problem.history, problem.of_product, problem.cutoff, WINDOWS[-1])

    def candidates(self, history: Log, unseen: npt.NDArray[np.bool_]) -> tuple[IntArray, IntArray]:
        """Users and items, both of shape (pairs,), user by user."""
        free = ~blocked(unseen, self.problem.membership) & (self._category >= 0)
        if free.shape[1] > CANDIDATES and self.problem.level is not self.problem.dataset.catalogue.interest:
            cosine = self._cosines[0][0].score(history, np.full(len(unseen), -1))
            free = np.stack([_fused(row, self._recent, known) for row, known in zip(cosine, free, strict=True)])
        user, item = np.nonzero(free)
        return user, item

    def of(self, history: Log, user: IntArray, item: IntArray) -> FloatArray:
        """Features of pairs, shape (m, features)."""
        strangers = np.full(history.n_users, -1)
        columns = [figures[item] for figures in self._items] + [user_figures(history, self.problem)[user]]
        for scorer, of_item in self._cosines:
            columns.append(scorer.score(history, strangers)[user, np.maximum(of_item[item], 0)][:, None])
        if self._department is not None:
            department = self._department[np.maximum(self._category[item], 0)]
            columns.append(self._in_departments(history)[user, department])
        return np.concatenate(columns, axis=1).astype(np.float32)

    def _in_departments(self, history: Log) -> FloatArray:
        """Lines, and weeks since the last one, of each user in each department, shape (b, departments, 2)."""
        age = (self.problem.cutoff - history.time).astype(np.float32)
        lines = history.counts(self._departments).toarray()
        freshest = first_times(_reversed(history), self._departments).toarray()
        weeks = np.where(lines > 0, freshest - 1, age.max(initial=0) + 1)
        return np.stack([np.log1p(lines), np.log1p(weeks)], axis=2)


def item_figures(problem: Problem) -> FloatArray:
    """Buyers, new buyers, trend and weeks since the last sale of each item, shape (items, figures)."""
    history, of_product, cutoff = problem.history, problem.of_product, problem.cutoff
    counts = [np.log1p(buyers(history, of_product, cutoff, window)) for window in (*WINDOWS, None)]
    first = first_times(history, of_product)
    new = [np.log1p(adopters(first, cutoff, window)) for window in WINDOWS[1:]]
    last = np.zeros(len(problem), dtype=np.int64)
    membership = of_product[history.product]
    np.maximum.at(last, membership.indices, np.repeat(history.time, np.diff(membership.indptr)))
    return np.stack([*counts, *new, counts[1] - counts[2], np.log1p(cutoff - last)], axis=1).astype(np.float32)


def user_figures(history: Log, problem: Problem) -> FloatArray:
    """Lines, baskets, spend, recency and known categories of each user, shape (b, 5)."""
    n, interest = history.n_users, problem.dataset.catalogue.interest
    baskets = np.bincount(history.user[np.unique(history.basket, return_index=True)[1]], minlength=n)
    last = np.zeros(n)
    np.maximum.at(last, history.user, history.time)
    known = np.diff(history.counts(interest.of_product).indptr)
    columns = [np.bincount(history.user, minlength=n), baskets, np.bincount(history.user, history.value, n)]
    return np.log1p(np.maximum(np.stack([*columns, problem.cutoff - last, known], axis=1), 0)).astype(np.float32)


def _first(links: sp.csr_array) -> IntArray:
    """The first column of each row, −1 for none."""
    found = np.full(links.shape[0], -1, dtype=np.int64)
    filled = np.flatnonzero(np.diff(links.indptr))
    found[filled] = links.indices[links.indptr[filled]]
    return found


def _reversed(history: Log) -> Log:
    """The same purchases, with ages for times, the latest first."""
    end = int(history.time.max(initial=0)) + 1
    turned = {
        name: getattr(history, name)[::-1] for name in ("user", "product", "quantity", "value", "basket", "store")
    }
    return Log(time=end - history.time[::-1], n_users=history.n_users, **turned)


def _fused(cosine: FloatArray, recent: FloatArray, free: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """True for the items with the largest sum of 1 / (60 + rank) by either score."""
    total = np.zeros(len(free))
    for scores in (cosine, recent):
        masked = np.where(free, scores, -np.inf)
        best = np.argpartition(-masked, 2 * CANDIDATES)[: 2 * CANDIDATES] if len(free) > 2 * CANDIDATES else None
        best = np.arange(len(free)) if best is None else best
        best = best[np.argsort(-masked[best], kind="stable")]
        total[best] += 1 / (60 + np.arange(1, len(best) + 1))
    chosen = np.zeros(len(free), dtype=bool)
    chosen[np.argsort(-np.where(free, total, -1), kind="stable")[:CANDIDATES]] = True
    return chosen & free


# -- what CrossAisle adds -----------------------------------------------------------------------------------


class Learnt:
    """What CrossAisle knows of pairs of one level at one moment.

    Args:
        run: loaded at that moment.
        levels: of the run.
        level: whose items are meant.
    """

    def __init__(self, run: LoadedRun, levels: list[ItemLevel], level: ItemLevel) -> None:
        self.run, self.level = run, level
        self.features = PairFeatures(run, levels, level.label)
        vectors = run.scorer.fit(level.problem).vectors()
        self._vectors = vectors
        self._unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    def of(self, history: Log, rows: IntArray, user: IntArray, item: IntArray) -> dict[str, FloatArray]:
        """Embeddings and features of pairs, each of shape (m, columns)."""
        features = self.features.of(self.features.score(history, rows), user, item)
        _, users = self.run.scorer.parts(history, rows)
        people = users.float().cpu().numpy()
        near = self._nearness(history, user, item)
        return {"embeddings": np.concatenate([self._vectors[item], people[user], near], axis=1), "features": features}

    def _nearness(self, history: Log, user: IntArray, item: IntArray) -> FloatArray:
        """Largest and mean cosine of each pair's item with what the user bought, shape (m, 2)."""
        bought = self.level.problem.counts(history)
        out = np.zeros((len(user), 2), dtype=np.float32)
        for one in np.unique(user):
            own = bought.indices[bought.indptr[one] : bought.indptr[one + 1]]
            at = np.flatnonzero(user == one)
            if len(own):
                cosine = self._unit[item[at]] @ self._unit[own].T
                out[at] = np.column_stack([cosine.max(axis=1), cosine.mean(axis=1)])
        return out


# -- pairs ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pairs:
    """Candidates of one moment, user by user.

    Attributes:
        users: rows of the users in the population, shape (n,).
        user: place of each pair's user among them, rising, shape (m,).
        item: shape (m,).
        taken: whether the user bought it in the window, shape (m,).
        columns: features by name, each of shape (m, columns).
    """

    users: IntArray
    user: IntArray
    item: IntArray
    taken: npt.NDArray[np.bool_]
    columns: dict[str, FloatArray]

    def table(self, names: list[str]) -> FloatArray:
        """Some features side by side."""
        return np.concatenate([self.columns[name] for name in names], axis=1)

    def of_users(self, kept: npt.NDArray[np.bool_]) -> Pairs:
        """The pairs of some of the users, shape (n,)."""
        at = kept[self.user]
        place = np.cumsum(kept) - 1
        columns = {name: values[at] for name, values in self.columns.items()}
        return Pairs(self.users[kept], place[self.user[at]], self.item[at], self.taken[at], columns)

    @property
    def findable(self) -> npt.NDArray[np.bool_]:
        """True for users with a target among their candidates, shape (n,)."""
        return np.bincount(self.user[self.taken], minlength=len(self.users)) > 0

    def rankings(self, scores: npt.NDArray[np.float64], n_items: int) -> Rankings:
        """Each user's best 20 by the scores of their pairs; ties by the candidates' order."""
        order = np.lexsort((-scores, self.user))
        starts = np.searchsorted(self.user, np.arange(len(self.users)))
        place = np.arange(len(order)) - starts[self.user[order]]
        top = place < K
        items = np.full((len(self.users), K), -1, dtype=np.int32)
        best = np.full((len(self.users), K), -np.inf, dtype=np.float32)
        items[self.user[order][top], place[top]] = self.item[order][top]
        best[self.user[order][top], place[top]] = scores[order][top]
        return Rankings(self.users, items, best, n_items)


def gather(run: LoadedRun, label: str, users: int, seed: int = 0) -> tuple[Pairs, Targets, int]:
    """Pairs of a level at the run's moment for users with a target after it, the targets, and the number of items.

    Args:
        run: loaded at the moment.
        label: of the level.
        users: at most; a sample of them.
        seed: of the sample.
    """
    levels = item_levels(run)
    level = next(one for one in levels if one.label == label)
    problem = level.problem
    found = targets(run.dataset, problem.level, problem.cutoff, run.config.protocol.horizon)
    chosen = np.sort(np.random.default_rng(seed).permutation(found.users)[:users])
    team, learnt = Team(problem), Learnt(run, levels, level)
    parts = [
        _some(problem, found, chosen[start : start + USERS_AT_A_TIME], team, learnt)
        for start in track(range(0, len(chosen), USERS_AT_A_TIME), f"{label}, cut-off {problem.cutoff}")
    ]
    user = np.concatenate([part.user + at * USERS_AT_A_TIME for at, part in enumerate(parts)])
    item, taken = (np.concatenate([getattr(part, name) for part in parts]) for name in ("item", "taken"))
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    return Pairs(chosen, user, item, taken, columns), found, len(problem)


def _some(problem: Problem, found: Targets, rows: IntArray, team: Team, learnt: Learnt) -> Pairs:
    history = problem.history.of_users(rows)
    user, item = team.candidates(history, found.unseen[rows])
    taken = np.asarray(found.hits[rows].toarray() > 0)[user, item]
    columns = {"hand": team.of(history, user, item)} | learnt.of(history, rows, user, item)
    return Pairs(rows, user, item, taken, columns)


# -- rankers -------------------------------------------------------------------------------------------------

Ranker = Callable[[Pairs, list[str], int], Callable[[FloatArray], npt.NDArray[np.float64]]]


def lambdarank(pairs: Pairs, names: list[str], seed: int) -> Callable[[FloatArray], npt.NDArray[np.float64]]:
    """LightGBM's LambdaRank (Burges, 2010); rounds by NDCG@20 on a fifth of the users."""
    held = np.random.default_rng(seed).random(len(pairs.users)) < 0.2
    sides = [pairs.of_users(~held & pairs.findable), pairs.of_users(held & pairs.findable)]
    sets = [lgb.Dataset(side.table(names), side.taken, group=np.bincount(side.user)) for side in sides]
    params = {"objective": "lambdarank", "metric": "ndcg", "eval_at": [K], "lambdarank_truncation_level": 30,
              "learning_rate": 0.05, "num_leaves": 15, "min_data_in_leaf": 50, "feature_fraction": 0.5,
              "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 5.0, "max_bin": 63, "verbose": -1,
              "seed": seed, "deterministic": True, "force_row_wise": True}  # fmt: skip
    stop = lgb.early_stopping(40, verbose=False)
    booster = lgb.train(params, sets[0], 400, valid_sets=[sets[1]], callbacks=[stop])
    return lambda table: np.asarray(booster.predict(table, num_iteration=booster.best_iteration), dtype=np.float64)


def boosting(pairs: Pairs, names: list[str], seed: int) -> Callable[[FloatArray], npt.NDArray[np.float64]]:
    """scikit-learn's gradient-boosted trees on whether a pair was taken, with a sample of those that were not."""
    model = HistGradientBoostingClassifier(
        learning_rate=0.05, max_leaf_nodes=15, max_iter=300, min_samples_leaf=50, l2_regularization=5.0,
        max_bins=63, early_stopping=True, random_state=seed,
    )  # fmt: skip
    kept = pairs.taken | (np.random.default_rng(seed).random(len(pairs.taken)) < NEGATIVES)
    model.fit(pairs.table(names)[kept], pairs.taken[kept])
    return lambda table: np.asarray(model.predict_proba(table)[:, 1], dtype=np.float64)


RANKERS: dict[str, Ranker] = {"LambdaRank": lambdarank, "HistGB": boosting}


def lifts(learn: Pairs, test: Pairs, found: Targets, n_items: int, seeds: int) -> Iterator[list[str]]:
    """One row for each ranker and set of features."""

    def measured(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return evaluate(test.rankings(scores, n_items), found, ks=(K,)).per_user[f"ndcg@{K}"]

    alone = measured(test.columns["features"][:, 0].astype(np.float64))
    yield ["CrossAisle's score", "", f"{alone.mean():.4f}", "", ""]
    for name, ranker in RANKERS.items():
        base: npt.NDArray[np.float64] | None = None
        for called, names in SETS.items():
            fitted = [ranker(learn, names, seed) for seed in range(seeds)]
            values = np.mean([measured(predict(test.table(names))) for predict in fitted], axis=0)
            base = values if base is None else base
            yield [name, called, f"{values.mean():.4f}", *_told(values - base, base)]


def _told(gain: npt.NDArray[np.float64], base: npt.NDArray[np.float64]) -> list[str]:
    if not gain.any():
        return ["", ""]
    (found,) = bootstrap(gain)
    share = Interval(*(value / base.mean() for value in vars(found).values()))
    return [f"{found.mean:+.4f} ({found.low:+.4f} to {found.high:+.4f})",
            f"{share.mean:+.1%} ({share.low:+.1%} to {share.high:+.1%})"]  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Measure and print.

    Returns:
        0, or 2 when something given is wrong.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run, two horizons before the end of the data")
    parser.add_argument("--levels", nargs="*", default=[], help="labels of the levels to measure; default: all")
    parser.add_argument("--users", type=int, default=1500, help="users that the rankers learn from, at most")
    parser.add_argument("--test_users", type=int, default=100_000, help="users that they are tested on, at most")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each ranker")
    parser.add_argument("--store", type=Path, default=None, help="home of an embedded store, if not the run's")
    given = parser.parse_args(arguments)
    return explained(lambda: _run(given), "--help lists all options.")


def _run(given: argparse.Namespace) -> int:
    store = None if given.store is None else StoreConfig(home=given.store)
    show(given.run, given.levels, (given.users, given.test_users), given.seeds, store)
    return 0


def show(folder: Path, labels: list[str], users: tuple[int, int], seeds: int, store: StoreConfig | None) -> None:
    """Print a table for each level; ``users`` are the most to learn from and to be tested on."""
    before = load_run(folder, store)
    before_time = before.scorer.cutoff.time
    later = before_time + before.config.protocol.horizon
    labels = labels or [level.label for level in item_levels(before)]
    learn = {label: gather(before, label, users[0]) for label in labels}
    del before
    after = load_run(folder, store, later)
    for label in labels:
        test, found, n_items = gather(after, label, users[1])
        pairs = learn.pop(label)[0]
        told = test.taken.sum() / found.hits[test.users].nnz
        title = (
            f"{label}: learnt on {int(pairs.findable.sum()):,} users from {before_time}, tested on "
            f"{len(test.users):,} from {later}; candidates hold {told:.1%} of the targets"
        )
        table = Table("ranker", "features", "NDCG@20", "difference (95%)", "lift (95%)", title=title)
        for row in lifts(pairs, test, found, n_items, seeds):
            table.add_row(*row)
        Console(width=120).print(table)


if __name__ == "__main__":
    sys.exit(main())
