"""Whether probabilities and expected spends are as large as they say, on the test window.

    python benchmarks/strength.py RUN

Every candidate category of every user with a history before the run's test cut-off. *calibrated* is fitted on the
validation window (as ``crossaisle calibrate`` does; made here, whatever lies in the folder), by the method that
cross-validation over users chose there; the other methods stand beside it. Baselines, from the validation window too:

- *one rate*: the share of all pairs that were bought; *rate of the category*: the share of its candidates that bought;
- *raw score*: exp(log p), which is a share among new purchases and no probability of one.

Brier score, log loss, and ECE with ten bins of equal numbers of pairs. Spends: *user's mean* and *category's mean* are
the mean over their pairs in the validation window. MAE, RMSE and MSE over all pairs (most of them 0), and over the
bought ones (what who buys spends). Differences to *calibrated* with 95% intervals by bootstrap over users.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from evaluation.bootstrap import bootstrap, user_means
from evaluation.calibration import binned
from kg.config import StoreConfig
from recommend.strength import KINDS, METHODS, Outcomes, Strength, fit, outcomes
from train import explained
from training.loaded import LoadedRun, load_chosen, load_run

FloatArray = npt.NDArray[np.float64]
OURS = "calibrated"


def seen_and_tested(chosen: LoadedRun, run: LoadedRun) -> tuple[Outcomes, Outcomes, Strength]:
    """Pairs of the validation and of the test window, and what is fitted on the former."""
    protocol = run.config.protocol
    seen = outcomes(chosen.scorer, protocol.horizon)
    return seen, outcomes(run.scorer, protocol.horizon), fit(seen, protocol.horizon, protocol.validation_cutoff)


def probabilities(seen: Outcomes, test: Outcomes, strength: Strength) -> dict[str, FloatArray]:
    """Told probabilities of the test pairs by model, ours first."""
    told = {OURS: strength.probability(test.inputs[strength.method])}
    for method in (one for one in METHODS if one != strength.method):
        told[method] = KINDS[method].fit(seen.inputs[method], seen.bought)(test.inputs[method])
    overall = float(seen.bought.mean())
    told["one rate"] = np.full(len(test.user), overall)
    told["rate of the category"] = _means(seen.category, seen.bought, overall, _categories(seen, test))[test.category]
    told["raw score"] = np.exp(test.log_p)
    return told


def spends(seen: Outcomes, test: Outcomes, told: FloatArray, strength: Strength) -> dict[str, FloatArray]:
    """Told spends of the test pairs by model, ours first."""
    *weights, constant = strength.spend
    overall = float(seen.spent.mean())
    n = int(max(seen.user.max(), test.user.max())) + 1
    return {
        OURS: told * np.exp(test.log_spends @ np.array(weights) + constant),
        "user's mean": _means(seen.user, seen.spent, overall, n)[test.user],
        "category's mean": _means(seen.category, seen.spent, overall, _categories(seen, test))[test.category],
        "nothing": np.zeros(len(test.user)),
    }


def spends_of_buyers(seen: Outcomes, test: Outcomes, strength: Strength) -> dict[str, FloatArray]:
    """Told spends of the bought test pairs, given that they were bought."""
    *weights, constant = strength.spend
    there, now = seen.bought, test.bought
    overall = float(seen.spent[there].mean())
    n = int(max(seen.user.max(), test.user.max())) + 1
    return {
        OURS: np.exp(test.log_spends[now] @ np.array(weights) + constant),
        "user's mean": _means(seen.user[there], seen.spent[there], overall, n)[test.user[now]],
        "category's mean": _means(seen.category[there], seen.spent[there], overall, _categories(seen, test))[
            test.category[now]
        ],
    }


def _categories(seen: Outcomes, test: Outcomes) -> int:
    return int(max(seen.category.max(), test.category.max())) + 1


def _means(
    group: npt.NDArray[np.int64], values: npt.NDArray[np.generic], otherwise: float, size: int | None = None
) -> FloatArray:
    """Mean by group; ``otherwise`` where a group has none."""
    number = np.bincount(group, minlength=size or int(group.max()) + 1)
    total = np.bincount(group, values.astype(np.float64), minlength=len(number))
    return np.where(number > 0, total / np.maximum(number, 1), otherwise)


def show(seen: Outcomes, test: Outcomes, strength: Strength, terminal: Console) -> None:
    """Print the tables."""
    told = probabilities(seen, test, strength)
    told[f"{OURS}: {strength.method}"] = told.pop(OURS)
    found = test.bought.astype(float)
    first = f"{OURS}: {strength.method}"
    ordered = {first: told.pop(first)} | told
    title = f"{len(found):,} pairs of {len(np.unique(test.user)):,} users, {found.mean():.4f} bought"
    table = Table("probability", "Brier", "log loss", "ECE", "Brier, less calibrated (95%)", title=title)
    for name, values in ordered.items():
        clipped = np.clip(values, 1e-6, 1 - 1e-6)
        loss = -np.where(test.bought, np.log(clipped), np.log(1 - clipped)).mean()
        more = _difference(test.user, (values - found) ** 2, (ordered[first] - found) ** 2)
        ece = binned(values, found).ece
        table.add_row(name, f"{((values - found) ** 2).mean():.5f}", f"{loss:.5f}", f"{ece:.5f}", more)
    terminal.print(table)
    _reliability(ordered[first], found, terminal)
    if not strength.spend:
        terminal.print("the data tell no spends")
        return
    _spends("expected spend, all pairs", spends(seen, test, ordered[first], strength), test.user, test.spent, terminal)
    now = test.bought
    of_buyers = spends_of_buyers(seen, test, strength)
    _spends("spend of who buys", of_buyers, test.user[now], test.spent[now], terminal)


def _reliability(told: FloatArray, found: FloatArray, terminal: Console) -> None:
    bins = binned(told, found)
    table = Table("told", "found", "pairs", title="reliability of calibrated")
    for row in zip(bins.told, bins.found, bins.pairs, strict=True):
        table.add_row(f"{row[0]:.4f}", f"{row[1]:.4f}", f"{row[2]:,}")
    terminal.print(table)


def _spends(
    title: str, told: dict[str, FloatArray], user: npt.NDArray[np.int64], spent: FloatArray, terminal: Console
) -> None:
    columns = ("MAE", "RMSE", "MSE", "MAE, less calibrated (95%)", "MSE, less calibrated (95%)")
    table = Table("model", *columns, title=f"{title}; mean {spent.mean():.3f}")
    ours = told[OURS] - spent
    for name, values in told.items():
        error = values - spent
        mse = float((error**2).mean())
        differences = _difference(user, np.abs(error), np.abs(ours)), _difference(user, error**2, ours**2)
        table.add_row(name, f"{np.abs(error).mean():.4f}", f"{mse**0.5:.4f}", f"{mse:.4f}", *differences)
    terminal.print(table)


def _difference(user: npt.NDArray[np.int64], one: FloatArray, other: FloatArray) -> str:
    """Mean over users of each user's mean difference."""
    (found,) = bootstrap(user_means(user, one - other), resamples=2000)
    return f"{found.mean:+.5f} ({found.low:+.5f} to {found.high:+.5f})"


def draw(seen: Outcomes, test: Outcomes, strength: Strength, path: Path) -> None:
    """The reliability diagram."""
    from matplotlib.figure import Figure

    from kg.output import save

    figure = Figure(figsize=(5, 5), dpi=110)
    axes = figure.add_subplot()
    found = test.bought.astype(float)
    for name, values in probabilities(seen, test, strength).items():
        bins = binned(values, found)
        if name in (OURS, "rate of the category", "raw score"):
            axes.plot(bins.told, bins.found, marker="o", label=f"{name}, ECE {bins.ece:.4f}")
    axes.axline((0, 0), slope=1, color="#999", linewidth=0.8)
    axes.set(xlabel="told probability", ylabel="share that was bought", title="Purchases in the test window")
    axes.legend(frameon=False)
    save(path, lambda temporary: figure.savefig(temporary, format=path.suffix[1:], bbox_inches="tight"))


def build_arguments() -> argparse.ArgumentParser:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks/strength.py", description=__doc__, formatter_class=form)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--to", type=Path, help="reliability diagram to draw: .png or .svg")
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
    store = StoreConfig(home=given.store) if given.store else None
    seen, test, strength = seen_and_tested(load_chosen(given.run, store), load_run(given.run, store))
    show(seen, test, strength, Console(highlight=False, width=None if sys.stdout.isatty() else 140))
    if given.to is not None:
        draw(seen, test, strength, given.to)
    return 0


if __name__ == "__main__":
    sys.exit(main())
