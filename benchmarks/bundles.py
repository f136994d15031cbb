"""What completes a set: products hidden from real baskets, and items hidden from bundles that people put together.

    python benchmarks/bundles.py run RUN              baskets from the run's test cut-off on
    python benchmarks/bundles.py season RUN           baskets of other users, with and without their time of year
    python benchmarks/bundles.py data DATA --to FOLDER   bundles of clothing, leave one out

run: from one basket of each user with three or more products, a product is hidden that is the only one of its category
in the basket; ranked are all products of categories that the rest of the basket lacks. Evidence is counted before the
cut-off, weights are learnt from the last horizon before it on evidence counted before that horizon. What is chosen (κ
of the prior, λ of EASE as a baseline, the shrinkage of the cosines) is chosen on the horizon before the test cut-off,
with evidence and weights from before that. The learnt vectors are the run's, whose final fit saw that horizon: on
validation they flatter themselves, on test they do not.

season: users are split. Evidence is counted on the baskets of half of them, of all times, weights are learnt from a
quarter's, the last quarter's are asked about. A year's data have no earlier year: other users in the same one stand in
for it. Learnt vectors are left out.

data: the public bundle data of clothing (see benchmarks/search.py), split by bundle or --by_session; an item is
hidden from each bundle of validation and test, all items are ranked; evidence: training bundles; weights: half of
them, on evidence from the other. Texts are encoded by the frozen language model and kept in FOLDER.

Intervals: bootstrap over users (bundles), differences paired.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from rich.console import Console
from rich.table import Table
from sklearn.preprocessing import normalize

from benchmarks.search import read
from console import track
from encoders.text import TextEncoder
from encoders.text_bank import TextBank
from encoders.text_cache import FrozenCache
from encoders.text_config import TextConfig
from evaluation.bootstrap import bootstrap
from evaluation.scorer import FloatArray, IntArray
from evidence.cooccurrence import cosine_weights, ease_weights
from evidence.histories import row_shares
from kg.config import StoreConfig
from recommend import Recommender
from recommend.baskets import Baskets, Questions, questions
from recommend.bundles import LATE, LEARNT_FROM, goods_of, in_seasons
from recommend.seasons import year_of
from recommend.sets import Goods, Lesson, SetEvidence, Texts, fit, taken
from train import explained

FIGURES = ("hit@10", "hit@50", "ndcg@10")
PRIORS = (0.2, 1.0, 5.0, 20.0, 80.0)
SHRINKAGES = (0.0, 10.0)
LAMBDAS = (50.0, 500.0)
MOST_EASE, MOST_KNN = 3000, 10_000
MOST, BATCH = 600, 32
OURS = "crossaisle"
Score = Callable[[sp.csr_array], FloatArray]


@dataclass(frozen=True)
class Moment:
    """What is asked at a moment, and what is known then.

    Attributes:
        held: baskets before it, CSR of shape (baskets, products).
        late: the late ones of them, if there is a time.
        asked: sets with a product hidden.
        first: baskets that the weights' evidence is counted on.
        first_late: the late ones of them.
        learnt: sets that the weights are learnt from.
    """

    held: sp.csr_array
    late: sp.csr_array | None
    asked: Questions
    first: sp.csr_array
    first_late: sp.csr_array | None
    learnt: Questions


@dataclass(frozen=True)
class Task:
    """Both moments of a data set.

    Attributes:
        goods: the products.
        validation: where things are chosen.
        test: what is reported.
        apart: group of which completions bring a new one; None: none.
    """

    goods: Goods
    validation: Moment
    test: Moment
    apart: str | None


# -- the data ------------------------------------------------------------------------------------------------


def of_run(recommender: Recommender, most: int = MOST) -> Task:
    """Baskets of a run's data, at its validation and test cut-offs."""
    protocol, log = recommender.run.config.protocol, recommender.dataset.log
    goods = goods_of(recommender.run, recommender.aspects("product").vectors)
    apart, horizon = recommender.dataset.catalogue.interest_level, protocol.horizon

    def between(begin: int, end: int) -> Baskets:
        return Baskets.of(log.between(begin, end), len(goods))

    def moment(cutoff: int, asked: int, seed: int) -> Moment:
        known, groups = cutoff - horizon, goods.groups[apart]
        return Moment(
            Baskets.of(log.before(cutoff), len(goods)).held,
            between(cutoff - LATE, cutoff).held,
            questions(between(cutoff, cutoff + horizon), asked, groups, seed),
            Baskets.of(log.before(known), len(goods)).held,
            between(known - LATE, known).held,
            questions(between(known, cutoff), LEARNT_FROM, groups, seed),
        )

    test = protocol.test_cutoff
    return Task(goods, moment(test - horizon, most // 2, 1), moment(test, most, 2), apart)


def of_clothing(data: Path, folder: Path, by_session: bool = False) -> Task:
    """Bundles of clothing: places in the catalogue as types, "Women > Shoes" as categories."""
    shop = read(data, by_session)
    parts = {name: part.relevant for name, part in shop.parts.items()}
    bank = TextBank(TextEncoder(TextConfig(strategy="frozen")), [*shop.shelf.texts, *shop.places], FrozenCache(folder))
    words, size = normalize(bank.distinct().detach().float().cpu().numpy()), len(shop.shelf)
    inverse = bank.inverse.cpu().numpy()
    texts = {"product": Texts(words, inverse[:size]), "place": Texts(words, inverse[size:])}
    goods = Goods({"type": pd.factorize(np.array(shop.places))[0].astype(np.int64), "category": shop.category}, texts)
    # Neighbours in the file are often bundles of the same items: halves are drawn, as the parts are.
    drawn = np.random.default_rng(0).permutation(parts["train"].shape[0])
    first, second = (sp.csr_array(parts["train"][np.sort(half)]) for half in np.array_split(drawn, 2))

    def moment(part: str, seed: int) -> Moment:
        learnt = from_bundles(second, seed)
        return Moment(parts["train"], None, from_bundles(parts[part], seed), first, None, learnt)

    return Task(goods, moment("validation", 1), moment("test", 2), None)


def from_bundles(held: sp.csr_array, seed: int) -> Questions:
    """One item taken out of each bundle."""
    rng, number = np.random.default_rng(seed), np.diff(held.indptr)
    hidden = held.indices[held.indptr[:-1] + rng.integers(0, number)].astype(np.int64)
    entries = sp.coo_array(held)
    kept = entries.col != hidden[entries.row]
    rest = sp.csr_array((entries.data[kept], (entries.row[kept], entries.col[kept])), shape=held.shape)
    return Questions(rest, hidden, np.arange(held.shape[0]), np.zeros(held.shape[0], dtype=np.int64))


# -- models --------------------------------------------------------------------------------------------------


def popularity(moment: Moment) -> Score:
    """Number of baskets; late ones first where there is a time."""
    counts = np.asarray(moment.held.sum(axis=0)).ravel()
    late = np.zeros_like(counts) if moment.late is None else np.asarray(moment.late.sum(axis=0)).ravel()
    return lambda sets: np.tile((late + counts / (counts.max() + 1)).astype(np.float32), (sets.shape[0], 1))


def co_occurrence(moment: Moment) -> Score:
    """Mean share of the baskets with a product of the set that hold the other, then popularity."""
    number = np.asarray(moment.held.sum(axis=0)).ravel()
    baskets = sp.csr_array(moment.held.T)
    popular = popularity(moment)

    def score(sets: sp.csr_array) -> FloatArray:
        scaled = sp.csr_array(row_shares(sets) @ sp.diags_array(1 / np.maximum(number, 1)))
        found = (sp.csr_array(scaled @ baskets) @ moment.held).toarray()
        return np.asarray(found + 1e-9 * popular(sets), dtype=np.float32)

    return score


def item_knn(moment: Moment, shrinkage: float) -> Score:
    """Sum of cosines of products by baskets (Sarwar et al. 2001), of those most often bought; then popularity."""
    kept = most_bought(moment, MOST_KNN)
    return by_weights(moment, kept, cosine_weights(sp.csr_array(moment.held[:, kept]), shrinkage))


def ease(moment: Moment, regularisation: float) -> Score:
    """EASE (Steck 2019) by baskets, of the products most often bought; then popularity."""
    kept = most_bought(moment, MOST_EASE)
    return by_weights(moment, kept, ease_weights(sp.csr_array(moment.held[:, kept]), regularisation))


def most_bought(moment: Moment, most: int) -> IntArray:
    """Positions of the products in most baskets, ascending."""
    number = np.asarray(moment.held.sum(axis=0)).ravel()
    return np.sort(np.argsort(-number, kind="stable")[:most])


def by_weights(moment: Moment, kept: IntArray, weights: FloatArray | sp.csr_array) -> Score:
    """Scores of a set by weights between some products, shape (kept, kept)."""
    popular = popularity(moment)

    def score(sets: sp.csr_array) -> FloatArray:
        found = 1e-9 * popular(sets)
        own = sets[:, kept] @ weights
        found[:, kept] += own.toarray() if sp.issparse(own) else own
        return np.asarray(found, dtype=np.float32)

    return score


def set_model(task: Task, moment: Moment, prior: float, without: tuple[str, ...] = ()) -> Score:
    """Ours (`recommend.sets`)."""
    before = SetEvidence(task.goods, moment.first, moment.first_late, prior, without)
    model = fit([Lesson(before, moment.learnt.sets, moment.learnt.hidden)], task.apart)
    return model.at(SetEvidence(task.goods, moment.held, moment.late, prior, without)).scores


def models(task: Task) -> dict[str, dict[str, Callable[[Moment], Score]]]:
    """By name: what there is to choose from, by setting."""
    graph = ("with_type", "with_category", "ease_type", "ease_category", "learnt")
    text = tuple(f"text_{name}" for name in task.goods.texts)
    parts: dict[str, tuple[str, ...]] = {OURS: (), "without graph": graph, "without text": text}
    parts |= {"without trend": ("lately",)} if task.test.late is not None else {}
    baselines: dict[str, dict[str, Callable[[Moment], Score]]] = {
        "popularity": {"": popularity},
        "co-occurrence": {"": co_occurrence},
        "item-kNN": {f"shrinkage {some:g}": partial(item_knn, shrinkage=some) for some in SHRINKAGES},
        "EASE": {f"λ {some:g}": partial(ease, regularisation=some) for some in LAMBDAS},
    }
    ours: dict[str, dict[str, Callable[[Moment], Score]]] = {
        name: {f"κ {prior:g}": partial(set_model, task, prior=prior, without=out) for prior in PRIORS}
        for name, out in parts.items()
    }
    return baselines | ours


# -- the comparison ------------------------------------------------------------------------------------------


def ranks(groups: IntArray | None, sets: sp.csr_array, hidden: IntArray, score: Score) -> IntArray:
    """Number of candidates before what was hidden, ties counted half, shape (n,).

    Args:
        groups: group of each product, of which a completion brings a new one, shape (products,); None: any product.
        sets: what is left of each, CSR of shape (n, products).
        hidden: what was taken out, shape (n,).
        score: of all products.
    """
    found = []
    for at in range(0, len(hidden), BATCH):
        some = sp.csr_array(sets[at : at + BATCH])
        scores = score(some).copy()
        entries = sp.coo_array(some)
        scores[entries.row, entries.col] = -np.inf
        if groups is not None:
            scores[:, groups < 0] = -np.inf
            for row in range(some.shape[0]):
                scores[row, taken(groups, some, row)] = -np.inf
        own = scores[np.arange(some.shape[0]), hidden[at : at + BATCH]][:, None]
        found.append((scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) // 2)
    return np.concatenate(found)


def figures(place: IntArray) -> pd.DataFrame:
    """Of one hidden product each: NDCG@10 = 1 / log₂(rank + 1)."""
    ndcg = np.where(place < 10, 1 / np.log2(place + 2.0), 0)
    return pd.DataFrame({"hit@10": place < 10, "hit@50": place < 50, "ndcg@10": ndcg}).astype(float)


def measure(task: Task) -> dict[str, tuple[str, float, pd.DataFrame]]:
    """By model: what was chosen on validation, NDCG@10 there, and the figures of each test question."""
    found: dict[str, tuple[str, float, pd.DataFrame]] = {}
    groups = None if task.apart is None else task.goods.groups[task.apart]

    def of(moment: Moment, setting: Callable[[Moment], Score]) -> pd.DataFrame:
        return figures(ranks(groups, moment.asked.sets, moment.asked.hidden, setting(moment)))

    for name, settings in track(list(models(task).items()), "models"):
        # A variant keeps what was chosen for the whole.
        asked = [found[OURS][0]] if name.startswith("without") else list(settings)
        tried = {some: float(of(task.validation, settings[some])["ndcg@10"].mean()) for some in asked}
        best = max(tried, key=lambda setting: tried[setting])
        found[name] = (best, tried[best], of(task.test, settings[best]))
    return found


def show(task: Task, found: dict[str, tuple[str, float, pd.DataFrame]], terminal: Console) -> None:
    """Print the figures and the paired differences."""
    table = Table("model", "chosen on validation", title=_sizes(task.test.asked, task.goods))
    for head in ("val. NDCG@10", *FIGURES, f"{OURS} minus it, NDCG@10 (95%)"):
        table.add_column(head, justify="right")
    for name, (setting, validation, test) in found.items():
        table.add_row(name, setting, f"{validation:.4f}", *_cells(test, None if name == OURS else found[OURS][2]))
    terminal.print(table)


def _sizes(asked: Questions, goods: Goods) -> str:
    return f"{len(asked.hidden):,} hidden products of {len(goods):,}"


def _cells(of_questions: pd.DataFrame, ours: pd.DataFrame | None) -> list[str]:
    """Means with intervals; by how much ours leads, where it is another model."""
    found = bootstrap(of_questions[[*FIGURES]].to_numpy())
    cells = [f"{one.mean:.4f} ({one.low:.4f}–{one.high:.4f})" for one in found]
    if ours is None:
        return [*cells, ""]
    (gain,) = bootstrap((ours["ndcg@10"] - of_questions["ndcg@10"]).to_numpy())
    return [*cells, f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"]


# -- seasons -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Year:
    """Baskets of other users at all times of a year.

    Attributes:
        goods: the products.
        unit: what a period is.
        apart: group of which completions bring a new one.
        known: baskets of half of the users, on which evidence is counted.
        learnt: questions of a quarter of the users, from which weights are learnt.
        asked: questions of the other quarter.
    """

    goods: Goods
    unit: str
    apart: str
    known: Baskets
    learnt: Questions
    asked: Questions

    @classmethod
    def of(cls, recommender: Recommender, most: int = MOST) -> Year:
        """All purchases of a run's data; the learnt vectors, which have seen many of them, are left out."""
        dataset = recommender.dataset
        goods = goods_of(recommender.run, recommender.aspects("product").vectors)
        goods = Goods(goods.groups, goods.texts)
        baskets, apart = Baskets.of(dataset.log, len(goods)), dataset.catalogue.interest_level
        part = np.random.default_rng(0).permutation(dataset.log.n_users)[baskets.users] % 4
        learnt = questions(baskets.where(part == 2), LEARNT_FROM, goods.groups[apart], 1)
        asked = questions(baskets.where(part == 3), most, goods.groups[apart], 2)
        return cls(goods, dataset.tables.time_unit, apart, baskets.where(part < 2), learnt, asked)

    @cached_property
    def plain(self) -> SetEvidence:
        """What the baskets of the known users tell, of no season."""
        return SetEvidence(self.goods, self.known.held)

    def measure(self, away: int | None) -> pd.DataFrame:
        """Figures of each question, by time.

        Args:
            away: told is the time of year so many periods after a question's own; None: none is told.
        """
        plain, groups = self.plain, self.goods.groups[self.apart]
        moved = replace(self.asked, times=self.asked.times + (away or 0))
        lessons, asked = (in_seasons(plain, self.known, some, self.unit) for some in (self.learnt, moved))
        if away is None:
            lessons, asked = ([replace(one, evidence=plain) for one in some] for some in (lessons, asked))
        model = fit(lessons, self.apart)
        found = [figures(ranks(groups, one.sets, one.hidden, model.at(one.evidence).scores)) for one in asked]
        return pd.concat(found, ignore_index=True)


def show_seasons(year: Year, terminal: Console) -> None:
    """Print what it is worth to know the time of year."""
    half = round(year_of(year.unit) / 2)
    models = {"season told": 0, "none told": None, "half a year off": half}
    found = {name: year.measure(away) for name, away in track(list(models.items()), "models")}
    table = Table("model", title=_sizes(year.asked, year.goods))
    for head in (*FIGURES, "season told minus it, NDCG@10 (95%)"):
        table.add_column(head, justify="right")
    for name, test in found.items():
        table.add_row(name, *_cells(test, None if name == "season told" else found["season told"]))
    terminal.print(table)


def build_arguments() -> argparse.ArgumentParser:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks/bundles.py", description=__doc__, formatter_class=form)
    kinds = parser.add_subparsers(dest="kind", required=True)
    of_run = argparse.ArgumentParser(add_help=False)
    of_run.add_argument("run", type=Path, help="folder of a finished run")
    of_run.add_argument("--store", type=Path, help="folder of the graph store; default: the run's")
    of_run.add_argument("--most", type=int, default=MOST, help="hidden products at most")
    kinds.add_parser("run", help="baskets of a run's data", parents=[of_run])
    kinds.add_parser("season", help="what the time of year is worth", parents=[of_run])
    data = kinds.add_parser("data", help="bundles of clothing")
    data.add_argument("data", type=Path, help="their folder")
    data.add_argument("--by_session", action="store_true", help="split sessions, not bundles")
    data.add_argument("--to", type=Path, required=True, help="where encoded texts are kept")
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
    terminal = Console(highlight=False, width=None if sys.stdout.isatty() else 180)
    if given.kind == "data":
        task = of_clothing(given.data, given.to, given.by_session)
    else:
        recommender = Recommender.load(given.run, StoreConfig(home=given.store) if given.store else None)
        if given.kind == "season":
            show_seasons(Year.of(recommender, given.most), terminal)
            return 0
        task = of_run(recommender, given.most)
    show(task, measure(task), terminal)
    return 0


if __name__ == "__main__":
    sys.exit(main())
