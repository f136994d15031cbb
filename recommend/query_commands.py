"""``crossaisle tune-queries`` as a plain function: pairs in, a folder with a tuned encoder and its figures out."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jsonargparse import Namespace
from rich.console import Console

from console import say
from data.rejects import Rejects
from encoders.text import TextEncoder
from errors import InputError
from evaluation import queries as measured
from evaluation.ranking import tie_order
from evaluation.scorer import FloatArray
from files import whole_folder
from kg import output
from kg.answer import Answer
from recommend.commands import PIPE_WIDTH, tell_problems
from training.queries import FACTS, save_queries, tune
from training.query_config import QueryConfig
from training.query_pairs import Queries, Shelf, read_queries, read_shelf, split

SHOWN_CATEGORIES = 15
CATEGORIES = "categories.csv"


@dataclass(frozen=True)
class Judged:
    """An encoder on the test queries.

    Attributes:
        figures: mean of each figure of `evaluation.queries.query_figures`.
        categories: `evaluation.queries.category_report`; empty where the products have no categories.
    """

    figures: dict[str, float]
    categories: pd.DataFrame


def cosines(encoder: TextEncoder, shelf: Shelf, queries: Queries) -> FloatArray:
    """Of each query with each product, shape (queries, products)."""
    products = encoder.encode(shelf.texts)
    return np.asarray((encoder.encode(queries.texts, False) @ products.T).cpu().numpy(), dtype=np.float32)


def judged(encoder: TextEncoder, shelf: Shelf, parts: dict[str, Queries], temperature: float) -> Judged:
    """Figures of the test queries; the threshold of the categories comes from validation."""
    asked = {name: parts[name] for name in ("validation", "test")}
    joined = Queries([text for part in asked.values() for text in part.texts], parts["test"].relevant)
    scores = dict(zip(asked, np.split(cosines(encoder, shelf, joined), [len(asked["validation"])]), strict=True))
    lists = measured.first(scores["test"], tie_order(shelf.ids))
    figures = measured.query_figures(lists, asked["test"].relevant, shelf.of_product).mean()
    report = pd.DataFrame()
    if shelf.categories:
        shares = {name: measured.category_shares(some, shelf.of_product, temperature) for name, some in scores.items()}
        wanted = {name: (part.relevant @ shelf.of_product).toarray() > 0 for name, part in asked.items()}
        least = measured.best_threshold(shares["validation"], wanted["validation"])
        report = measured.category_report(shares["test"], wanted["test"], shelf.categories, least)
    return Judged({str(name): float(value) for name, value in figures.dropna().items()}, report)


def tune_queries(given: Namespace) -> None:
    """Tune an encoder, measure it before and after on test queries, and write it.

    Args:
        given: the options of `recommend.search_options.add_tuning_options`.

    Raises:
        InputError: an option or a file is wrong, or the folder is there.
    """
    if given.to.exists():
        raise InputError("it is there already", where=str(given.to), remedy="Name another folder.")
    config = QueryConfig(**{name: given[name] for name in QueryConfig.__dataclass_fields__})
    problems = Rejects()
    shelf = read_shelf(given.products)
    queries = read_queries(given.pairs, shelf, problems)
    parts = split(queries, seed=config.seed, together=queries.words())
    tell_problems(problems.frame(), None)
    say("pairs", ", ".join(f"{len(part):,} queries for {name}" for name, part in parts.items()))
    tuned = tune(config, shelf, parts["train"], parts["validation"])
    epochs = ", ".join(f"{value:.4f}" for value in tuned.epochs)
    say(
        "tuning",
        f"{config.text.strategy}: validation NDCG@10 {epochs}; epoch {tuned.kept} kept ({tuned.seconds:.0f} s)",
    )
    before = judged(TextEncoder(replace(config.text, strategy="frozen")), shelf, parts, config.temperature)
    after = judged(tuned.encoder, shelf, parts, config.temperature)
    both = before_and_after(before.categories, after.categories)
    with whole_folder(given.to) as folder:
        save_queries(folder, config, tuned, {"test": {"before": before.figures, "after": after.figures}})
        if len(both):
            output.save(folder / CATEGORIES, lambda path: both.to_csv(path, index=False, float_format="%.4f"))
    _show(before.figures, after.figures, both)
    say("queries", f"{given.to}: crossaisle search RUN … --queries {given.to}; figures in {FACTS} and {CATEGORIES}")


def before_and_after(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Two reports of categories side by side, in the order of the second."""
    if not len(after):
        return after
    return after.merge(before.drop(columns="queries"), on="category", how="left", suffixes=("", " before")).fillna(0)


def _show(before: dict[str, float], after: dict[str, float], categories: pd.DataFrame) -> None:
    terminal = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    rows = [(name, before[name], after[name], after[name] - before[name]) for name in after]
    terminal.print(output.table(Answer(("test", "before", "after", "difference"), rows)))
    if len(categories):
        some = pd.concat([categories.iloc[:-2].head(SHOWN_CATEGORIES), categories.iloc[-2:]])
        terminal.print(output.table(Answer(tuple(some.columns), list(some.itertuples(index=False, name=None)))))


def folder_of(given: Path | None) -> Path | None:
    """A folder of tuned queries, looked at before anything heavy is loaded.

    Raises:
        InputError: it is none.
    """
    if given is not None and not (given / FACTS).is_file():
        remedy = "Make it with crossaisle tune-queries."
        raise InputError("this is no folder of tuned queries", where=str(given), remedy=remedy)
    return given
