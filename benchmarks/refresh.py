"""What it is worth that purchases count at once: answers refreshed each period against answers of the cut-off.

    python benchmarks/refresh.py RUN

For each period w of the run's test horizon but the first: the targets are the categories that a user first buys from
in w or later within the horizon, the candidates those that they had not bought from before w, for all sides alike.
*refreshed* ranks them by the history up to w, *frozen* by the history up to the cut-off. The model and its evidence on
categories are those of the cut-off on all sides, so that the difference is the user's side alone. NDCG@20 is averaged
over a user's periods; intervals by paired bootstrap over users. *moved* are the users who bought something, from any
category, between the cut-off and w: for the others frozen and refreshed are the same.

A second table: the history up to w with more weight on late purchases (`recommend.emphasis.Emphasis`), against the
plain one.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.console import Console
from rich.table import Table

from console import track
from data.splits import targets
from evaluation import metrics
from evaluation.bootstrap import bootstrap
from evaluation.ranking import Rankings
from kg.config import StoreConfig
from recommend import Emphasis, Recommender
from recommend.emphasis import PLAIN
from recommend.lists import Asked, Wish
from train import explained

K = 20
EMPHASES = {
    "decayed, a quarter": Emphasis(recent=0.25),
    "decayed, half": Emphasis(recent=0.5),
    "decayed alone": Emphasis(recent=1.0),
    "last basket, a quarter": Emphasis(last_basket=0.25),
    "last basket alone": Emphasis(last_basket=1.0),
}


def measure(recommender: Recommender) -> pd.DataFrame:
    """NDCG@20 of all sides: a row for each period and user with a target, ``moved`` or not."""
    protocol = recommender.run.config.protocol
    end = protocol.test_cutoff + protocol.horizon
    periods = range(protocol.test_cutoff + 1, end)
    return pd.concat([one_period(recommender, period, end) for period in track(periods, "periods")])


def one_period(recommender: Recommender, period: int, end: int) -> pd.DataFrame:
    """All sides at one period; targets end before ``end``."""
    dataset = recommender.dataset
    level, cutoff = dataset.catalogue.interest, recommender.run.scorer.cutoff.time
    found = targets(dataset, level, period, end - period)
    users, unseen = found.users, found.unseen[found.users]
    wanted = found.hits[users]
    sides = {"refreshed": (period, PLAIN), "frozen": (cutoff, PLAIN)}
    sides |= {name: (period, emphasis) for name, emphasis in EMPHASES.items()}
    row: dict[str, npt.NDArray[np.generic]] = {"user": users}
    for side, (until, emphasis) in sides.items():
        asked = Asked.known(dataset, users, dataset.log.before(until))
        every = np.ones(len(level), dtype=np.bool_)
        ranked = recommender.ranker(level.name).best(asked, Wish(len(level), every, emphasis=emphasis))
        hits = metrics.hits(candidates_only(ranked, unseen), wanted)
        row[side] = metrics.ndcg(hits, metrics.n_targets(wanted), K)
    bought = np.bincount(dataset.log.between(cutoff, period).user, minlength=len(dataset.user_ids))
    return pd.DataFrame(row | {"period": np.full(len(users), period), "moved": bought[users] > 0})


def candidates_only(ranked: Rankings, unseen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """The first 20 of each list that are candidates, shape (n, 20); −1 where there are fewer."""
    kept = np.zeros(ranked.items.shape, dtype=np.bool_)
    user, place = np.nonzero(ranked.items >= 0)
    kept[user, place] = unseen[user, ranked.items[user, place]]
    order = np.argsort(~kept, axis=1, kind="stable")[:, :K]
    return np.take_along_axis(np.where(kept, ranked.items, -1), order, axis=1).astype(np.int32)


def show(figures: pd.DataFrame, terminal: Console) -> None:
    """Print a row for each period, and one for all."""
    table = Table("period", title=f"NDCG@{K}, refreshed against frozen")
    for head in ("users", "moved", "frozen", "refreshed", "difference (95%)"):
        table.add_column(head, justify="right")
    for period, rows in [*figures.groupby("period"), ("all", figures), ("all, moved", figures[figures["moved"]])]:
        per_user = rows.groupby("user")[["frozen", "refreshed"]].mean()
        (gain,) = bootstrap((per_user["refreshed"] - per_user["frozen"]).to_numpy())
        moved = rows.loc[rows["moved"], "user"].nunique()
        cells = [f"{len(per_user):,}", f"{moved:,}", *(f"{per_user[side].mean():.4f}" for side in per_user)]
        table.add_row(str(period), *cells, f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})")
    terminal.print(table)


def show_emphases(figures: pd.DataFrame, terminal: Console) -> None:
    """Print what each emphasis is worth over all periods."""
    table = Table("history", title=f"NDCG@{K}, refreshed each period")
    for head in ("all", "difference to the whole history (95%)"):
        table.add_column(head, justify="right")
    per_user = figures.groupby("user")[["refreshed", *EMPHASES]].mean()
    table.add_row("whole, plain", f"{per_user['refreshed'].mean():.4f}", "")
    for name in EMPHASES:
        (gain,) = bootstrap((per_user[name] - per_user["refreshed"]).to_numpy())
        table.add_row(name, f"{per_user[name].mean():.4f}", f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})")
    terminal.print(table)


def build_arguments() -> argparse.ArgumentParser:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks/refresh.py", description=__doc__, formatter_class=form)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--store", type=Path, help="folder of the graph store; default: the run's")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Measure and print.

    Returns:
        0, or 2 when something given is wrong.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    given = build_arguments().parse_args(arguments)
    return explained(lambda: _run(given), "--help lists all options.")


def _run(given: argparse.Namespace) -> int:
    recommender = Recommender.load(given.run, StoreConfig(home=given.store) if given.store else None)
    terminal = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    figures = measure(recommender)
    show(figures, terminal)
    show_emphases(figures, terminal)
    return 0


if __name__ == "__main__":
    sys.exit(main())
