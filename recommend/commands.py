"""``crossaisle recommend`` as a plain function: a run, users and wishes in; a table or a file out."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pandas as pd
from jsonargparse import Namespace
from rich.console import Console

from console import say
from data.rejects import Rejects
from data.sources.files import Reader, as_text
from errors import InputError
from kg import output
from kg.answer import Answer
from kg.config import StoreConfig
from recommend.emphasis import Emphasis
from recommend.filters import Filters
from recommend.recommender import Recommender

PIPE_WIDTH = 160
SHOWN_ROWS = 60
CATEGORY = "category"


def recommend(given: Namespace) -> pd.DataFrame:
    """Answer with lists: as a table in the terminal, or as a file.

    Args:
        given: the options of `recommend.options`, and ``store``.

    Raises:
        InputError: an option, a file or the run is wrong, or nobody can be answered.
    """
    _check(given)
    wanted, emphasis = filters_of(given), emphasis_of(given)
    recommender = Recommender.load(given.run, None if given.store == StoreConfig() else given.store)
    problems = Rejects()
    if given.products is not None:
        recommender.add_products(given.products)
        problems.extend(recommender.problems)
    if given.purchases is not None:
        recommender.update(given.purchases)
        problems.extend(recommender.problems)
    begin = time.perf_counter()
    lists = _lists(recommender, given, wanted, emphasis)
    seconds = time.perf_counter() - begin
    problems.extend(recommender.problems)
    tell_problems(problems.frame(), given.out)
    users = lists["user_id"].nunique()
    told = f"{users:,} user{'s' * (users != 1)}, {len(lists):,} rows in {seconds:.2f} s"
    show_rows(lists, given.out, "lists", told)
    return lists


def _check(given: Namespace) -> None:
    """Say what is wrong before the run is loaded."""
    ways = bool(given.user) + (given.histories is not None) + given.all
    if ways > 1 or not (ways or given.people):
        remedy = "Such as --user 1 7, --histories FILE, --people FILE, or --all."
        raise InputError("give users, histories, or all: one of them", where="recommend", remedy=remedy)
    check_format(given.out)


def check_format(out: Path | None) -> None:
    """Refuse a file whose suffix names no table format, before anything is loaded."""
    if out is not None and out.suffix not in output.FORMATS:
        remedy = f"Use one of {', '.join(output.FORMATS)}."
        raise InputError(f"there is no table format {out.suffix!r}", where=str(out), remedy=remedy)


def filters_of(given: Namespace) -> Filters:
    """The filters of the options; a stock list is read from its file."""
    stock = None
    if given.stock is not None:
        stock = as_text(_listed(given.stock).dropna()).tolist()
    return Filters(
        stock,
        given.price_from,
        given.price_to,
        given.brands,
        given.categories,
        given.forbidden,
        given.get("owned", False),
    )


def emphasis_of(given: Namespace) -> Emphasis:
    """The emphasis of the options."""
    return Emphasis(given.recent, given.half_life, given.last_basket)


def _listed(path: Path) -> pd.Series:
    if not path.is_file():
        raise InputError("no such file", where=str(path), remedy="Give a file with a column product_id.")
    return Reader(path.parent).read(path.name, ["product_id"])["product_id"]


def _lists(recommender: Recommender, given: Namespace, wanted: Filters, emphasis: Emphasis) -> pd.DataFrame:
    level = recommender.dataset.catalogue.interest_level if given.level == CATEGORY else given.level
    return recommender.recommend(
        level,
        given.user or (list(recommender.user_ids) if given.all else None),
        given.histories,
        given.k,
        people=given.people,
        within=given.within,
        filters=wanted,
        diversity=given.diversity,
        by=given.reranker,
        emphasis=emphasis,
    )


def tell_problems(problems: pd.DataFrame, out: Path | None) -> None:
    """Tell how many rows failed and why; beside a file all of them are written."""
    for (table, reason), rows in problems.groupby(["table", "reason"], sort=False):
        some = ", ".join(rows["value"].drop_duplicates().head(3))
        say(
            "left out", f"{table}: {len(rows):,} row{'s' * (len(rows) > 1)}: {reason} ({some}{', …' * (len(rows) > 3)})"
        )
    if out is not None and len(problems):
        path = out.with_suffix(".problems.csv")
        output.save(path, lambda temporary: problems.to_csv(temporary, index=False))
        say("", f"all of them: {path}")


def show_rows(lists: pd.DataFrame, out: Path | None, step: str, told: str) -> None:
    """Print a table, or write it to a file, and say what was done.

    Args:
        lists: the rows.
        out: the file; None: the terminal.
        step: name of the command's last step.
        told: its summary.
    """
    answer = Answer(tuple(lists.columns), list(lists.itertuples(index=False, name=None)))
    if out is not None:
        output.write(answer, out)
        say(step, f"{out}: {told}")
        return
    shown = Answer(answer.columns, answer.rows[:SHOWN_ROWS])
    Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH).print(output.table(shown))
    more = f"; the first {SHOWN_ROWS} rows are shown, --out FILE keeps all" if len(lists) > SHOWN_ROWS else ""
    say(step, told + more)
