"""What diversity costs: relevance against variety, for each re-ranker, on a run's test targets.

    python benchmarks/diversity.py RUN                     the interest level
    python benchmarks/diversity.py RUN --level product
    python benchmarks/diversity.py RUN --to FOLDER         also the figures as CSV and the picture

Each user with a target gets the best candidates (five times the list's length, at least 100), from which a re-ranker
takes 20 at each setting of its dial. Measured: NDCG@20 with the paired difference to the plain order (95% interval);
intra-list diversity by the fusion's vectors (what mmr and dpp look at), the graph encoder's, the texts' and by shared
buyers; coverage; novelty in bits; serendipity against the most popular candidates; Gini; share of the tail. The dial is
not chosen by these figures: they tell what each setting costs.

The picture: NDCG@20 against diversity by graph and text vectors, and by shared buyers, where the run's baselines stand
as points (from its metrics.json).
"""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp
from rich.console import Console
from rich.table import Table

from console import track
from data.splits import Targets, targets
from evaluation import beyond, metrics
from evaluation.baselines import Popularity
from evaluation.bootstrap import bootstrap
from evaluation.evaluate import co_purchase_vectors
from evaluation.ranking import Rankings, rank
from files import read_json
from kg.config import StoreConfig
from recommend import Recommender
from recommend.diversity import RERANKERS, reranker
from recommend.lists import Asked, Wish, pool_size
from train import explained
from training.learnt import node_vectors

K = 20
DIALS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0)
DEAR = 0.01
REST = {"coverage": 3, "novelty": 2, "serendipity": 4, "gini": 3, "tail": 3}
SPACES = ("fused", "graph", "text", "buyers")
PICTURE = "diversity-{level}.png"


@dataclass(frozen=True)
class Bench:
    """What all settings are measured with.

    Attributes:
        pool: candidates of each user with a target, best first.
        expected: the most popular candidates of the same users.
        wanted: their targets, CSR of shape (n, items).
        vectors: of all items by the name of the space.
        buyers: users who bought each item before the cut-off, shape (items,).
        asked: the same users.
    """

    pool: Rankings
    expected: Rankings
    wanted: sp.csr_array
    vectors: dict[str, Any]
    buyers: npt.NDArray[np.float32]
    asked: Asked


def prepare(recommender: Recommender, level: str) -> Bench:
    """Rank the candidates and collect what is measured with."""
    problem = recommender.ranker(level).problem
    protocol = recommender.run.config.protocol
    found: Targets = targets(problem.dataset, problem.level, problem.cutoff, protocol.horizon)
    users = found.users
    asked = Asked.known(problem.dataset, users, problem.history)
    every = np.ones(len(problem), dtype=np.bool_)
    pool = recommender.ranker(level).best(asked, Wish(min(len(problem), pool_size(K)), every))
    expected = rank(Popularity().fit(problem), problem, found, K)
    buyers = np.asarray((problem.interactions > 0).sum(axis=0), dtype=np.float32).ravel()
    return Bench(pool, expected, sp.csr_array(found.hits[users]), _vectors(recommender, level), buyers, asked)


def _vectors(recommender: Recommender, level: str) -> dict[str, Any]:
    """Of all items, by space; learnt ones less their mean."""
    run, problem = recommender.run, recommender.ranker(level).problem
    shape = run.scorer.module.model.shape
    label = shape.interest if problem.level is problem.dataset.catalogue.interest else shape.steps[-1].label
    found = node_vectors(run.scorer.module, run.scorer.cutoff)[label]
    learnt = {"fused": "embedding", "graph": "embedding_graph", "text": "embedding_text"}
    spaces: dict[str, Any] = {name: found[part] - found[part].mean(axis=0) for name, part in learnt.items()}
    return spaces | {"buyers": co_purchase_vectors(problem.interactions)}


def measure(recommender: Recommender, level: str, bench: Bench) -> pd.DataFrame:
    """A row for each re-ranker and setting of its dial."""
    plain = _ndcg(bench, bench.pool.items)
    rows = []
    settings = [(name, dial) for name in RERANKERS for dial in DIALS]
    for name, dial in track(settings, "settings"):
        chosen = recommender.aspects(level).rerank(reranker(name, dial), bench.pool, bench.asked.history, K)
        rows.append({"reranker": name, "diversity": dial, **_figures(bench, chosen, plain)})
    return pd.DataFrame(rows)


def _ndcg(bench: Bench, items: npt.NDArray[np.int32]) -> metrics.PerUser:
    return metrics.ndcg(metrics.hits(items, bench.wanted), metrics.n_targets(bench.wanted), K)


def _figures(bench: Bench, chosen: Rankings, plain: metrics.PerUser) -> dict[str, float]:
    items, ndcg = chosen.items, _ndcg(bench, chosen.items)
    (lost,) = bootstrap(ndcg - plain)
    found = metrics.hits(items, bench.wanted)
    unexpected = beyond.serendipity(found, items, bench.expected.items, K)
    return {
        "ndcg": float(ndcg.mean()),
        "lost": lost.mean / float(plain.mean()),
        "low": lost.low / float(plain.mean()),
        "high": lost.high / float(plain.mean()),
        **{f"apart_{name}": _apart(items, bench.vectors[name]) for name in SPACES},
        "coverage": metrics.coverage(items, chosen.n_items, K),
        "novelty": float(np.nanmean(beyond.novelty(items, bench.buyers, bench.asked.history.n_users, K))),
        "serendipity": float(np.nanmean(unexpected)),
        "gini": beyond.gini(items, chosen.n_items, K),
        "tail": beyond.tail_share(items, bench.buyers, K),
    }


def _apart(items: npt.NDArray[np.int32], vectors: Any) -> float:  # noqa: ANN401 (dense or sparse)
    """Mean intra-list diversity; only the vectors of items that are shown are looked at."""
    shown, place = np.unique(items, return_inverse=True)
    places = np.asarray(place.reshape(items.shape) - (shown[0] < 0), dtype=np.int32)
    return float(np.nanmean(metrics.diversity(places, vectors[shown[shown >= 0]], K)))


def cheapest(figures: pd.DataFrame) -> pd.DataFrame:
    """For each re-ranker the farthest setting that costs less than 1% of NDCG@20 (mean over users)."""
    cheap = figures[figures["lost"] > -DEAR]
    return cheap.sort_values("apart_fused").groupby("reranker", sort=False).tail(1).sort_values("reranker")


def show(figures: pd.DataFrame, level: str, terminal: Console) -> None:
    """Print all settings, then the last cheap one of each re-ranker."""
    for title, rows in ((f"{level}: all settings", figures), ("costs less than 1% of NDCG@20", cheapest(figures))):
        table = Table("re-ranker", title=title)
        heads = ("diversity", "NDCG@20", "change (95%)", *SPACES, *REST)
        for head in heads:
            table.add_column(head, justify="right")
        for row in rows.to_dict("records"):
            change = f"{row['lost']:+.1%} ({row['low']:+.1%} to {row['high']:+.1%})"
            apart = [f"{row[f'apart_{name}']:.3f}" for name in SPACES]
            rest = [f"{row[name]:.{digits}f}" for name, digits in REST.items()]
            table.add_row(row["reranker"], f"{row['diversity']:g}", f"{row['ndcg']:.4f}", change, *apart, *rest)
        terminal.print(table)


def draw(figures: pd.DataFrame, baselines: dict[str, dict[str, float | None]], title: str, path: Path) -> None:
    """NDCG@20 against intra-list diversity, one panel by vectors and texts each, one by shared buyers."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), sharey=True, layout="constrained")
    for axis, space in zip(axes, ("graph", "text", "buyers"), strict=True):
        for name, rows in figures.groupby("reranker", sort=False):
            axis.plot(rows[f"apart_{space}"], rows["ndcg"], marker="o", markersize=3, label=name)
        axis.set_xlabel(f"intra-list diversity@20, {'shared buyers' if space == 'buyers' else f'{space} vectors'}")
        axis.grid(alpha=0.3)
    for name, row in baselines.items():
        if name != "crossaisle":
            axes[2].plot(row["diversity@20"], row["ndcg@20"], "x", color="grey")
            place = (row["diversity@20"], row["ndcg@20"])
            axes[2].annotate(name, place, (4, -7), textcoords="offset points", fontsize=6, color="grey")
    axes[0].set_ylabel("NDCG@20")
    axes[0].legend(title="re-ranker")
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def build_arguments() -> argparse.ArgumentParser:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks/diversity.py", description=__doc__, formatter_class=form)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--level", default="", help="a level of the run, or product; default: the interest level")
    parser.add_argument("--to", type=Path, help="folder for diversity-LEVEL.csv and .png")
    parser.add_argument("--store", type=Path, help="folder of the graph store; default: the run's")
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
    recommender = Recommender.load(given.run, StoreConfig(home=given.store) if given.store else None)
    level = given.level or recommender.dataset.catalogue.interest_level
    figures = measure(recommender, level, prepare(recommender, level))
    show(figures, level, Console(highlight=False, width=None if sys.stdout.isatty() else 180))
    if given.to:
        given.to.mkdir(parents=True, exist_ok=True)
        figures.to_csv(given.to / f"diversity-{level}.csv", index=False, float_format="%.5g")
        baselines = read_json(given.run / "metrics.json")["test"][level]
        draw(figures, baselines, f"{recommender.run.name}: {level}", given.to / PICTURE.format(level=level))
    return 0


if __name__ == "__main__":
    sys.exit(main())
