"""Whether reasons are true to the model: do scores fall when the named reasons are taken away, more than by chance?

    python benchmarks/reasons.py RUN --users 200

For a sample of the run's test users with at least 10 bought categories, and the category that stands first in their
list:

- *agreement*: Spearman's correlation, over a user's bought categories, of the change of log p without the category
  (leave one out) with what is cheaper to ask: the history encoder's attention, lines bought, how lately;
- *purchases*: by how much log p of the category falls when the three purchases that each of these names are taken out
  of the history together, against three drawn at random (mean of 10 draws);
- *parts*: by how much it falls when the part of the score with the largest Shapley value is put at its mean, against
  the mean over all parts.

Means over users; 95% intervals by bootstrap over users, of the difference paired. All is computed again by the model
on the changed input: nothing is read off the attribution.
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
from scipy.stats import spearmanr

from console import track
from data.log import Log
from data.splits import targets, unseen_categories
from evaluation.bootstrap import bootstrap
from kg.config import StoreConfig
from recommend import Recommender
from recommend.attribution import Attribution, Purchases
from train import explained

NAMED, DRAWS, FEWEST = 3, 10, 10
NAMERS = ("leave one out", "attention", "lines", "latest")


def measure(recommender: Recommender, n_users: int, seed: int = 0, fewest: int = FEWEST) -> pd.DataFrame:
    """One row for each user: agreements, and falls of log p.

    Args:
        recommender: with the run.
        n_users: size of the sample.
        seed: of the sample and the draws.
        fewest: bought categories that a user must have.
    """
    rng, run = np.random.default_rng(seed), recommender.run
    level, cutoff = recommender.dataset.catalogue.interest, run.scorer.cutoff.time
    users = targets(recommender.dataset, level, cutoff, run.config.protocol.horizon).users
    known = (~unseen_categories(recommender.history.of_users(users), level)).sum(axis=1)
    sample = np.sort(rng.permutation(users[known >= fewest])[:n_users])
    attribution = Attribution(run.scorer)
    return pd.DataFrame([one_user(recommender, attribution, int(user), rng) for user in track(sample, "users")])


def one_user(
    recommender: Recommender, attribution: Attribution, user: int, rng: np.random.Generator
) -> dict[str, float]:
    """Agreements and falls of one user."""
    scorer, level = recommender.run.scorer, recommender.dataset.catalogue.interest
    history = recommender.history.of_users(np.array([user]))
    allowed = unseen_categories(history, level)[0]
    purchases = Purchases(scorer, history, user, allowed)
    log_p = purchases.leave_out([np.empty(0, dtype=np.int64)])[0]
    category = int(log_p.argmax())
    named = importance(purchases, history, category)
    row = {f"agrees {name}": spearmanr(named["leave one out"], named[name]).statistic for name in NAMERS[1:]}
    row = {name: float(np.nan_to_num(value)) for name, value in row.items()}
    chosen = [purchases.bought[np.argsort(-named[name], kind="stable")[:NAMED]] for name in NAMERS]
    chosen += [np.sort(rng.permutation(purchases.bought)[:NAMED]) for _ in range(DRAWS)]
    falls = log_p[category] - purchases.leave_out(chosen)[:, category]
    row |= dict(zip(NAMERS, falls.astype(float), strict=False)) | {"random": float(falls[len(NAMERS) :].mean())}
    return row | parts(attribution, history, user, allowed, category)


def importance(purchases: Purchases, history: Log, category: int) -> dict[str, npt.NDArray[np.float64]]:
    """How much each bought category counts, by each way to ask, shape (bought,)."""
    of_line = purchases.of_product[history.product].tocoo()
    last = np.zeros(purchases.of_product.shape[1])
    np.maximum.at(last, of_line.col, history.time[of_line.row])
    return {
        "leave one out": purchases.leave_one_out()[:, category].astype(float),
        "attention": purchases.attention(),
        "lines": history.counts(purchases.of_product).toarray()[0, purchases.bought].astype(float),
        "latest": last[purchases.bought],
    }


def parts(
    attribution: Attribution, history: Log, user: int, allowed: npt.NDArray[np.bool_], category: int
) -> dict[str, float]:
    """Shapley values, and the falls of log p without the largest part and without any one part, on average."""
    row, groups = np.array([user]), attribution.groups
    values = attribution.shapley(history, row, allowed[None])[:, 0, category].astype(float)
    whole, *without = (
        float(attribution.log_p(history, row, allowed[None], [one for one in groups if one != gone])[0, category])
        for gone in ("", *groups)
    )
    falls = whole - np.array(without)
    named = {"largest part": float(falls[values.argmax()]), "any part": float(falls.mean())}
    return named | {f"adds {group}": float(value) for group, value in zip(groups, values, strict=True)}


def show(figures: pd.DataFrame, terminal: Console) -> None:
    """Print the tables."""
    agreement = Table("leave one out against", "Spearman (95%)", title=f"agreement, {len(figures):,} users")
    for name in NAMERS[1:]:
        agreement.add_row(name, _told(figures[f"agrees {name}"]))
    falls = Table("taken away", title="by how much log p of the first category falls")
    for head in ("falls by", "others", "difference (95%)", "users where it falls more"):
        falls.add_column(head, justify="right")
    pairs = [(f"{NAMED} purchases: {name}", name, "random") for name in NAMERS]
    for head, name, other in [*pairs, ("largest part of the score", "largest part", "any part")]:
        more = figures[name] - figures[other]
        falls.add_row(
            head, f"{figures[name].mean():.3f}", f"{figures[other].mean():.3f}", _told(more), f"{(more > 0).mean():.1%}"
        )
    adds = Table("part", "adds to log p (95%)", title="Shapley values")
    for name in (column for column in map(str, figures) if column.startswith("adds ")):
        adds.add_row(name.removeprefix("adds "), _told(figures[name]))
    for table in (agreement, falls, adds):
        terminal.print(table)


def _told(values: pd.Series) -> str:
    (found,) = bootstrap(values.to_numpy())
    return f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def build_arguments() -> argparse.ArgumentParser:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks/reasons.py", description=__doc__, formatter_class=form)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--users", type=int, default=200, help="size of the sample")
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
    figures = measure(recommender, given.users)
    show(figures, Console(highlight=False, width=None if sys.stdout.isatty() else 120))
    return 0


if __name__ == "__main__":
    sys.exit(main())
