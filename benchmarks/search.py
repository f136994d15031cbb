"""What a search finds: texts that people wrote, and the products that they put together for them.

    python benchmarks/search.py DATA --to FOLDER                      all strategies
    python benchmarks/search.py DATA --to FOLDER --strategies top     one; what FOLDER holds is not tuned again

DATA is the public bundle data of clothing: ``bundle_intent.csv``, ``bundle_item.csv``, ``item_titles.csv``,
``item_categories.csv``, ``session_bundle.csv``. A bundle's intent is the query, its items answer it; bundles are
split into 60% train, 20% validation, 20% test. Half of them share two items or more with another bundle of their
session: with --by_session whole sessions are split (into a FOLDER of its own). All items are ranked. Everything is
chosen on validation by NDCG@10: for TF-IDF and BM25 the text (title, or title and categories) and the settings, for
the text encoders the share of a product's own text against its categories' and the share of the graph (categories
that training bundles hold together), the epoch, and the strategy. Intervals: bootstrap over bundles, of differences
paired. "new words" are the test queries whose words no training query has as a whole.
"""

from __future__ import annotations

import argparse
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import bm25s
import numpy as np
import pandas as pd
import scipy.sparse as sp
from rich.console import Console
from rich.table import Table
from sklearn.feature_extraction.text import TfidfVectorizer

from console import say, track
from encoders.text import TextEncoder
from encoders.text_bank import TextBank
from encoders.text_cache import FrozenCache
from encoders.text_config import TextConfig
from errors import InputError
from evaluation import metrics
from evaluation import queries as measured
from evaluation.bootstrap import bootstrap
from evaluation.ranking import tie_order
from evaluation.scorer import FloatArray, IntArray
from evidence.histories import row_shares
from recommend.diversity import Candidates, GroupCap
from recommend.query_commands import before_and_after
from recommend.search import TEXTS, widened
from train import explained
from training.queries import FACTS, load_queries, save_queries, tune
from training.query_config import QueryConfig
from training.query_pairs import Queries, Shelf, split

STRATEGIES = ("top", "lora", "full")
OWN, GRAPH = (1.0, 0.85, 0.7, 0.5), (0.0, 0.1, 0.2, 0.3)
BM25 = ((1.2, 0.75), (0.9, 0.4), (1.5, 0.9))
TFIDF = (("word", (1, 1)), ("word", (1, 2)), ("char_wb", (3, 5)))
PEOPLE = ("Women", "Men", "Girls", "Boys", "Baby")
FIGURES = ("recall@10", "recall@50", "ndcg@10", "categories@10", "covered@10")
POOL, DIAL = 100, 0.5
SHOWN_CATEGORIES = 15
Score = Callable[[list[str]], FloatArray]


@dataclass(frozen=True)
class Shop:
    """The data, split.

    Attributes:
        shelf: items with titles and categories ("Women > Shoes").
        places: names of an item's places in the catalogue, in full.
        parts: train, validation, test.
    """

    shelf: Shelf
    places: list[str]
    parts: dict[str, Queries]

    @cached_property
    def ties(self) -> IntArray:
        """Order of equal scores."""
        return tie_order(self.shelf.ids)

    @cached_property
    def category(self) -> IntArray:
        """First category of each item, −1 for none."""
        counts = np.diff(self.shelf.of_product.indptr)
        found = np.full(len(counts), -1, dtype=np.int64)
        found[counts > 0] = self.shelf.of_product.indices[self.shelf.of_product.indptr[:-1][counts > 0]]
        return found

    @cached_property
    def links(self) -> sp.csr_array:
        """Cosine of categories by the training bundles that hold them, rows summing to 1."""
        held = sp.csr_array(self.parts["train"].relevant @ self.shelf.of_product)
        held.data[:] = 1
        both = (held.T @ held).toarray().astype(np.float64)
        norms = np.sqrt(np.maximum(np.diag(both), 1))
        np.fill_diagonal(both, 0)
        return row_shares(sp.csr_array((both / np.outer(norms, norms)).astype(np.float32)))

    def ndcg(self, part: str, scores: FloatArray) -> float:
        """Mean NDCG@10."""
        relevant = self.parts[part].relevant
        hits = metrics.hits(measured.first(scores, self.ties, 10), relevant)
        return float(metrics.ndcg(hits, metrics.n_targets(relevant), 10).mean())

    def figures(self, part: str, lists: np.ndarray) -> pd.DataFrame:
        """Figures of each query's list."""
        return measured.query_figures(lists, self.parts[part].relevant, self.shelf.of_product)

    def wanted(self, part: str) -> np.ndarray:
        """Whether an answer of a query sits in a category, shape (queries, categories)."""
        return np.asarray((self.parts[part].relevant @ self.shelf.of_product).toarray() > 0)


FILES = ("item_titles.csv", "item_categories.csv", "bundle_intent.csv", "bundle_item.csv", "session_bundle.csv")


def read(folder: Path, by_session: bool = False, seed: int = 0) -> Shop:
    """Read the data and split it by bundle, or by the session that bundles were made of.

    Raises:
        InputError: a file is not there.
    """
    for name in FILES:
        if not (folder / name).is_file():
            raise InputError(f"there is no {name}", where=str(folder), remedy=f"Give the folder of {', '.join(FILES)}.")
    titles = pd.read_csv(folder / "item_titles.csv", dtype=str)
    said = pd.read_csv(folder / "item_categories.csv", dtype=str).set_index("item ID")["categories"]
    paths = [_paths(text) for text in said.loc[titles["item ID"]]]
    shelf = Shelf.of(titles["item ID"].tolist(), titles["titles"].tolist(), [_categories(some) for some in paths])
    intents = pd.read_csv(folder / "bundle_intent.csv", dtype=str).dropna()
    held = pd.read_csv(folder / "bundle_item.csv", dtype=str)
    held = held[held["bundle ID"].isin(intents["bundle ID"])]
    rows = pd.Index(intents["bundle ID"]).get_indexer(pd.Index(held["bundle ID"]))
    columns = pd.Index(shelf.ids).get_indexer(pd.Index(held["item ID"]))
    ones = np.ones(len(held), dtype=np.float32)
    relevant = sp.csr_array((ones, (rows, columns)), shape=(len(intents), len(shelf)))
    queries = Queries(intents["intent"].tolist(), relevant)
    places = [", ".join(dict.fromkeys(" ".join(path[1:][-2:]) for path in some if len(path) > 2)) for some in paths]
    made = pd.read_csv(folder / "session_bundle.csv", dtype=str).set_index("bundle ID")["session ID"]
    together = pd.factorize(made.loc[intents["bundle ID"]])[0] if by_session else None
    return Shop(shelf, places, split(queries, seed=seed, together=together))


def _paths(text: str) -> list[list[str]]:
    """``[[a,b, c],[a,d]]`` as lists; commas inside a name are followed by a space."""
    return [re.split(r",(?! )", path) for path in re.findall(r"\[([^\[\]]+)\]", text)]


def _categories(paths: list[list[str]]) -> list[str]:
    """The second and third node of each path, of those for people if there are any."""
    long = [path for path in paths if len(path) > 2]
    people = [path for path in long if path[1] in PEOPLE]
    return list(dict.fromkeys(" > ".join(path[1:3]) for path in people or long))


# -- baselines -----------------------------------------------------------------------------------------------


def tfidf(texts: list[str], analyzer: str, ngrams: tuple[int, int]) -> Score:
    """Cosine of TF-IDF vectors."""
    stop = "english" if analyzer == "word" else None
    model = TfidfVectorizer(analyzer=analyzer, ngram_range=ngrams, sublinear_tf=True, stop_words=stop)
    items = model.fit_transform(texts)
    return lambda queries: np.asarray((model.transform(queries) @ items.T).toarray(), dtype=np.float32)


def bm25(texts: list[str], k1: float, b: float) -> Score:
    """BM25 (Robertson and Zaragoza 2009), by `bm25s`."""
    model = bm25s.BM25(k1=k1, b=b)
    model.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)

    def score(queries: list[str]) -> FloatArray:
        words = bm25s.tokenize(queries, stopwords="en", show_progress=False, return_ids=False)
        none = np.zeros(len(texts), dtype=np.float32)
        return np.stack([model.get_scores(some) if some else none for some in words]).astype(np.float32)

    return score


def best_of(shop: Shop, candidates: dict[str, Score]) -> tuple[str, dict[str, FloatArray]]:
    """The candidate with the best NDCG@10 on validation: its settings, and its scores by part."""
    asked = shop.parts["validation"].texts
    name = max(candidates, key=lambda some: shop.ndcg("validation", candidates[some](asked)))
    return name, {part: candidates[name](shop.parts[part].texts) for part in ("validation", "test")}


def baselines(shop: Shop) -> dict[str, tuple[str, dict[str, FloatArray]]]:
    """TF-IDF and BM25, their texts and settings chosen on validation."""
    whole = [f"{title} {place}" for title, place in zip(shop.shelf.texts, shop.places, strict=True)]
    texts = {"titles": shop.shelf.texts, "titles and categories": whole}
    lexical = {
        f"{what}, {kind} {ngrams}": tfidf(some, kind, ngrams) for what, some in texts.items() for kind, ngrams in TFIDF
    }
    ranked = {f"{what}, k1 {k1}, b {b}": bm25(some, k1, b) for what, some in texts.items() for k1, b in BM25}
    return {"TF-IDF": best_of(shop, lexical), "BM25": best_of(shop, ranked)}


# -- text encoders -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cosines:
    """Of the queries of a part with items' titles and with their places, each of shape (queries, items)."""

    titles: FloatArray
    places: FloatArray

    def mixed(self, own: float) -> FloatArray:
        """Titles and places, by the share of titles."""
        return np.asarray(own * self.titles + (1 - own) * self.places, dtype=np.float32)


def encoded(encoder: TextEncoder, shop: Shop, folder: Path) -> dict[str, Cosines]:
    """Cosines by part; texts are encoded once and kept."""
    asked = [shop.parts[part].texts for part in ("validation", "test")]
    size = len(shop.shelf)
    bank = TextBank(encoder, [*shop.shelf.texts, *shop.places, *asked[0], *asked[1]], FrozenCache(folder / TEXTS))
    vectors = bank.vectors().detach().float().cpu().numpy()
    titles, places, queries = vectors[:size], vectors[size : 2 * size], vectors[2 * size :]
    parts = np.split(queries, [len(asked[0])])
    return {
        part: Cosines(some @ titles.T, some @ places.T)
        for part, some in zip(("validation", "test"), parts, strict=True)
    }


def tuned(shop: Shop, strategy: str, config: QueryConfig, folder: Path) -> TextEncoder:
    """An encoder tuned by a strategy, from the folder where it is there."""
    if strategy == "frozen":
        return TextEncoder(config.text)
    if not (folder / FACTS).is_file():
        found = tune(config, shop.shelf, shop.parts["train"], shop.parts["validation"])
        save_queries(folder, config, found, {"seconds": found.seconds})
        epochs = ", ".join(f"{value:.4f}" for value in found.epochs)
        say(strategy, f"validation NDCG@10 by epoch {epochs}; {found.seconds:.0f} s")
    return load_queries(folder)[0]


def with_graph(shop: Shop, scores: FloatArray, weight: float) -> FloatArray:
    """As `recommend.search` widens a query's likeness, for all queries."""
    return np.stack([widened(row, shop.category, shop.links, weight) for row in scores]) if weight else scores


def chosen(shop: Shop, cosines: dict[str, Cosines], graph: tuple[float, ...]) -> tuple[str, dict[str, FloatArray]]:
    """Shares of titles and graph with the best NDCG@10 on validation, and the scores by part."""
    settings = [(own, weight) for own in OWN for weight in graph]

    def scores(part: str, own: float, weight: float) -> FloatArray:
        return with_graph(shop, cosines[part].mixed(own), weight)

    best = max(settings, key=lambda some: shop.ndcg("validation", scores("validation", *some)))
    return f"own {best[0]}, graph {best[1]}", {part: scores(part, *best) for part in cosines}


# -- the comparison ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """A model of the table.

    Attributes:
        settings: chosen on validation.
        validation: NDCG@10.
        test: figures of each test query.
        scores: by part; none for a list that was ranked again.
    """

    settings: str
    validation: float
    test: pd.DataFrame
    scores: dict[str, FloatArray]


def measure(shop: Shop, folder: Path, strategies: tuple[str, ...], epochs: int) -> tuple[dict[str, Model], str]:
    """All models, and the name of ours: the best strategy on validation, with the graph."""
    found = dict(baselines(shop))
    for strategy in track(["frozen", *strategies], "strategies"):
        config = QueryConfig(TextConfig(strategy=strategy), epochs=epochs)  # type: ignore[arg-type]
        cosines = encoded(tuned(shop, strategy, config, folder / strategy), shop, folder / strategy)
        found[strategy] = ("titles", {part: some.titles for part, some in cosines.items()})
        found[f"{strategy}, catalogue"] = chosen(shop, cosines, (0.0,))
        found[f"{strategy}, catalogue, graph"] = chosen(shop, cosines, GRAPH)
    models = {name: _model(shop, *some) for name, some in found.items()}
    graphs = [name for name in models if name.endswith("graph") and not name.startswith("frozen")]
    ours = max(graphs or models, key=lambda name: models[name].validation)
    models[f"{ours}, cap"] = _spread(shop, models[ours])
    return models, ours


def _model(shop: Shop, settings: str, scores: dict[str, FloatArray]) -> Model:
    test = shop.figures("test", measured.first(scores["test"], shop.ties))
    return Model(settings, shop.ndcg("validation", scores["validation"]), test, scores)


def _spread(shop: Shop, model: Model) -> Model:
    """The same with the default of `crossaisle search`: at most so many of a category in each round."""
    lists = {part: capped(shop, scores) for part, scores in model.scores.items()}
    validation = float(shop.figures("validation", lists["validation"])["ndcg@10"].mean())
    return Model(f"diversity {DIAL}", validation, shop.figures("test", lists["test"]), {})


def capped(shop: Shop, scores: FloatArray, k: int = 10) -> np.ndarray:
    """First k of each list by `recommend.diversity.GroupCap`, then the others in their order, shape (queries, 50)."""
    out = []
    for row, items in zip(scores, measured.first(scores, shop.ties, POOL), strict=True):
        category = shop.category[items]
        some = Candidates(row[items], np.zeros((len(items), 1), np.float32), category, category, np.zeros(1))
        first = GroupCap(DIAL).rerank(some, k)
        out.append(np.concatenate([items[first], np.delete(items, first)])[:50])
    return np.stack(out).astype(np.int32)


def new_words(shop: Shop) -> np.ndarray:
    """Test queries that no training query is equal to, whatever its case and spaces."""
    known = {" ".join(text.casefold().split()) for text in shop.parts["train"].texts}
    return np.array([" ".join(text.casefold().split()) not in known for text in shop.parts["test"].texts])


def show(shop: Shop, models: dict[str, Model], ours: str, terminal: Console) -> None:
    """Print the figures, the differences, and the categories before and after."""
    sizes = ", ".join(f"{len(part):,} {name}" for name, part in shop.parts.items())
    table = Table("model", "chosen on validation", title=f"{len(shop.shelf):,} items; bundles: {sizes}")
    for head in ("val. NDCG@10", *FIGURES):
        table.add_column(head, justify="right")
    for name, model in models.items():
        table.add_row(
            name,
            model.settings,
            f"{model.validation:.4f}",
            *map(_cell, bootstrap(model.test[[*FIGURES]].dropna().to_numpy())),
        )
    terminal.print(table)
    terminal.print(_differences(models, ours, np.ones(len(shop.parts["test"]), dtype=bool), "all test queries"))
    new = new_words(shop)
    if new.any():
        terminal.print(_differences(models, ours, new, f"{new.sum()} of {len(new)} test queries: new words"))
    terminal.print(_categories_table(shop, models, ours))


def _cell(some: object) -> str:
    return f"{some.mean:.3f} ({some.low:.3f}–{some.high:.3f})"  # type: ignore[attr-defined]


def _differences(models: dict[str, Model], ours: str, rows: np.ndarray, title: str) -> Table:
    table = Table(f"{ours} minus", title=title)
    heads = FIGURES[:3]
    for head in heads:
        table.add_column(f"{head} (95%)", justify="right")
    own = models[ours].test.loc[rows, [*heads]]
    for name, model in models.items():
        if name != ours:
            gains = bootstrap((own - model.test.loc[rows, [*heads]]).to_numpy())
            table.add_row(name, *(f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})" for gain in gains))
    return table


def category_reports(shop: Shop, models: dict[str, Model], ours: str) -> pd.DataFrame:
    """Precision, recall and F1 of query → category by ours, beside the frozen model's, on test."""
    reports = []
    for name in ("frozen", ours):
        shares = {
            part: measured.category_shares(scores, shop.shelf.of_product, QueryConfig().temperature)
            for part, scores in models[name].scores.items()
        }
        least = measured.best_threshold(shares["validation"], shop.wanted("validation"))
        reports.append(measured.category_report(shares["test"], shop.wanted("test"), shop.shelf.categories, least))
    return before_and_after(*reports)


def _categories_table(shop: Shop, models: dict[str, Model], ours: str) -> Table:
    found = category_reports(shop, models, ours)
    table = Table("category", "queries", title=f"query → category: {ours}, and the frozen model before it")
    heads = [head for head in found.columns if head not in ("category", "queries")]
    for head in heads:
        table.add_column(head, justify="right")
    for row in pd.concat([found.iloc[:-2].head(SHOWN_CATEGORIES), found.iloc[-2:]]).to_dict("records"):
        table.add_row(str(row["category"]), str(row["queries"]), *(f"{row[head]:.2f}" for head in heads))
    return table


def build_arguments() -> argparse.ArgumentParser:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks/search.py", description=__doc__, formatter_class=form)
    parser.add_argument("data", type=Path, help="folder of the bundles of clothing")
    parser.add_argument("--to", type=Path, required=True, help="folder of the tuned encoders; reused where it is there")
    parser.add_argument("--strategies", nargs="*", choices=STRATEGIES, default=STRATEGIES)
    parser.add_argument("--by_session", action="store_true", help="split sessions, not bundles")
    parser.add_argument("--epochs", type=int, default=3)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Tune, measure and print.

    Returns:
        0, or 2 when something given is wrong.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    given = build_arguments().parse_args(arguments)
    return explained(lambda: _run(given), "--help lists all options.")


def _run(given: argparse.Namespace) -> int:
    shop = read(given.data, given.by_session)
    models, ours = measure(shop, given.to, tuple(given.strategies), given.epochs)
    show(shop, models, ours, Console(highlight=False, width=None if sys.stdout.isatty() else 200))
    return 0


if __name__ == "__main__":
    sys.exit(main())
