"""A trained run that answers: which categories next, and which products in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.dataset import Dataset
from data.histories import Histories, joined, renumbered
from data.log import Log
from data.lookup import positions
from data.rejects import Rejects
from errors import InputError
from evaluation.ranking import Rankings
from evidence.groups import GroupEvidence
from kg.config import StoreConfig
from recommend.additions import read_additions
from recommend.aspects import Aspects
from recommend.bundles import VARIETY, Bundler, BundleWish, beginnings
from recommend.diversity import Reranker, reranker
from recommend.emphasis import PLAIN, Emphasis
from recommend.filters import Filters
from recommend.judged import Later, figures
from recommend.lists import Asked, Ranker, Wish, note_short, pool_size
from recommend.people import attributes, read_people
from recommend.reasons import TOP, Explainer, Reasons
from recommend.search import GRAPH, INTEREST, Blend, Searcher, checked_queries, nobody
from recommend.strength import FILE as STRENGTH
from recommend.strength import Strength
from training.added import cold_scorer, with_products
from training.loaded import LoadedRun, load_run
from training.run import levels_of

IntArray = npt.NDArray[np.int64]
Given = pd.DataFrame | Path | str
PRODUCT = "product"
EVERYTHING = Filters()
BOUGHT_TOO = Filters(owned=True)


class Recommender:
    """Lists for a run's users, for strangers with a history, and for either after further purchases.

    The evidence on categories and products is the one of the run's test cut-off, whatever is bought later; a user
    is their history, and what they buy counts in the next answer. Each user is asked about at a moment of their
    own: the cut-off, or the period after their latest purchase where that is later.

    Args:
        run: a loaded run.

    """

    def __init__(self, run: LoadedRun) -> None:
        self.run = run
        dataset = run.dataset
        self.history = dataset.log.before(run.scorer.cutoff.time)
        self.user_ids = dataset.user_ids
        self._log: Log = self.history
        self._rankers: dict[str, Ranker] = {}
        self._aspects: dict[str, Aspects] = {}
        self._searchers: dict[Path | None, Searcher] = {}
        self._explains: Explainer | None = None
        self.strength: Strength | None = None
        self._rejects = Rejects()
        self._added: npt.NDArray[np.str_] = np.empty(0, dtype=str)

    @classmethod
    def load(cls, folder: Path | str, store: StoreConfig | None = None) -> Self:
        """Load a finished run and encode its catalogue, so that the first answer is as quick as the others.

        Args:
            folder: of the run.
            store: where its graph is kept, when not where the run kept it.

        Raises:
            InputError: the folder holds no whole run of this version, the data are not the run's any more, or its
                calibration is another run's.
        """
        calibrated = Path(folder) / STRENGTH
        made = cls(load_run(Path(folder), store))
        made.strength = Strength.read(calibrated) if calibrated.exists() else None
        protocol, found = made.run.config.protocol, made.strength
        if found and (found.horizon, found.fitted_at) != (protocol.horizon, protocol.validation_cutoff):
            remedy = "Make it again: crossaisle calibrate RUN."
            raise InputError("the calibration is of another run", where=str(calibrated), remedy=remedy)
        made.ranker(PRODUCT).encode()
        return made

    @property
    def dataset(self) -> Dataset:
        """The run's data."""
        return self.run.dataset

    @property
    def problems(self) -> pd.DataFrame:
        """What the last call could not use or answer, row by row.

        ``table`` (history, users, people, stock, lists, products), ``row`` (from 1), ``column``, ``value``, ``reason``.
        """
        return self._rejects.frame()

    # -- lists -------------------------------------------------------------------------------------------

    def categories(
        self,
        users: Sequence[str] | None = None,
        histories: Given | None = None,
        k: int = 20,
        *,
        people: Given | None = None,
        filters: Filters = EVERYTHING,
        diversity: float = 0.0,
        by: str = "mmr",
        emphasis: Emphasis = PLAIN,
    ) -> pd.DataFrame:
        """The categories that users have never bought from, best first.

        Args:
            users: ids of users of the run, or whom `update` brought; None, without histories, is all of them.
            histories: of users, known or not, instead: a frame or a CSV or Parquet file (`Histories.read`).
            k: length of the lists; shorter where a user has fewer candidates.
            people: what is known of users but their purchases (`recommend.people.read_people`). It counts for those
                without a history; alone, without users and histories, it names the users, who have none.
            filters: what may stand in them.
            diversity: 0 (plain order) … 1.
            by: the re-ranker: mmr, dpp, calibrated or cap.
            emphasis: how much late purchases count beside the whole history.

        Returns:
            ``user_id``, ``item_id``, ``rank`` (from 1), ``score`` (log-probability among the user's unseen
            categories), ``name``; where the run is calibrated (``crossaisle calibrate``) ``probability`` of a purchase
            within the horizon and ``expected_spend``, both of the whole history, whatever the emphasis. Users that
            cannot be answered stand in ``problems``.

        Raises:
            InputError: nobody can be answered, or an argument is wrong.
        """
        level = self.dataset.catalogue.interest_level
        return self.recommend(
            level, users, histories, k, people=people, filters=filters, diversity=diversity, by=by, emphasis=emphasis
        )

    def products(
        self,
        users: Sequence[str] | None = None,
        histories: Given | None = None,
        k: int = 20,
        *,
        people: Given | None = None,
        within: int | None = None,
        filters: Filters = EVERYTHING,
        diversity: float = 0.0,
        by: str = "mmr",
        emphasis: Emphasis = PLAIN,
    ) -> pd.DataFrame:
        """Products in categories that users have never bought from, best first.

        Args:
            users: as of `categories`.
            histories: as of `categories`.
            k: length of the lists.
            people: as of `categories`.
            within: only products of each user's so many best categories; None: of all.
            filters: what may stand in them.
            diversity: 0 (plain order) … 1.
            by: the re-ranker.
            emphasis: as of `categories`.

        Returns:
            As `categories`, and for each level of the taxonomy from the interest level down a column with its
            name: the node that the product sits in.

        Raises:
            InputError: nobody can be answered, or an argument is wrong.
        """
        return self.recommend(
            PRODUCT,
            users,
            histories,
            k,
            people=people,
            within=within,
            filters=filters,
            diversity=diversity,
            by=by,
            emphasis=emphasis,
        )

    def recommend(
        self,
        level: str,
        users: Sequence[str] | None = None,
        histories: Given | None = None,
        k: int = 20,
        *,
        people: Given | None = None,
        within: int | None = None,
        filters: Filters = EVERYTHING,
        diversity: float = 0.0,
        by: str = "mmr",
        emphasis: Emphasis = PLAIN,
    ) -> pd.DataFrame:
        """The same at any level that the run ranks: the interest level, the one below it, or ``product``."""
        _check_length("k", k)
        _check_length("within", within)
        order, ranker = reranker(by, diversity), self.ranker(level)
        self._rejects = rejects = Rejects()
        asked = self._asked(users, histories, rejects) if people is None else self._people(users, histories, people)
        passed = filters.items(ranker.problem.level, self.dataset.catalogue, self.history)
        pool = k if diversity == 0 else pool_size(k)
        found = ranker.best(asked, Wish(min(pool, int(passed.sum())), passed, filters.owned, within, emphasis))
        found = self._reordered(level, asked, found, order, k)
        self._note_stock(filters, rejects)
        note_short(asked, found, k, rejects)
        return self._with_strength(level, asked, found, ranker.frame(asked, found))

    def evaluate(
        self,
        levels: Sequence[str] | None = None,
        purchases: Given | None = None,
        k: int = 20,
        *,
        diversity: float = 0.0,
        by: str = "mmr",
        emphasis: Emphasis = PLAIN,
    ) -> pd.DataFrame:
        """What the lists of histories up to the test cut-off are worth against what was bought from then on.

        Args:
            levels: of the lists; None: all.
            purchases: what was bought, as histories; None: what the run's data hold of its test horizon.
            k: length of the lists.
            diversity: as of `categories`.
            by: as of `categories`.
            emphasis: as of `categories`.

        Returns:
            As `recommend.judged.figures`; what cannot be used of the purchases stands in ``problems``.

        Raises:
            InputError: there is nothing to measure with, or an argument is wrong.
        """
        _check_length("k", k)
        order, cutoff = reranker(by, diversity), self.run.scorer.cutoff.time
        self._rejects = Rejects()
        later = Later(self.dataset, cutoff, self.run.config.protocol.horizon)
        if purchases is not None:
            later = Later.read(purchases, self.dataset, cutoff, self._stores, self._rejects)
        parts = []
        for name in levels_of(self.dataset) if levels is None else levels:
            ranker, found = self.ranker(name), later.targets(name)
            every = np.ones(len(ranker.problem), dtype=np.bool_)
            asked = Asked.known(self.dataset, found.users, self.history)
            pool = min(k if diversity == 0 else pool_size(k), len(every))
            ranked = ranker.best(asked, Wish(pool, every, emphasis=emphasis))
            parts.append(figures(name, self._reordered(name, asked, ranked, order, k), found, k))
        return pd.concat(parts, ignore_index=True)

    def update(self, interactions: Given) -> None:
        """Add purchases to the histories of known users, or of new ones, who are known from then on.

        The next answer counts them. The model and its evidence on the catalogue stay as they are.

        Args:
            interactions: as histories, each basket in one call; what cannot be used stands in ``problems``.

        Raises:
            InputError: the file or a column is missing, or there are no rows.
        """
        found = Histories.read(interactions, self.dataset)
        strangers = found.user_ids[positions(found.user_ids, self.user_ids) < 0]
        self.user_ids = np.concatenate([self.user_ids, strangers])
        more = found.log(self.dataset, self._stores, int(self._log.basket.max(initial=-1)) + 1)
        more = renumbered(more, positions(found.user_ids, self.user_ids), len(self.user_ids))
        self._log = joined([self._log, more], len(self.user_ids))
        self._rejects = Rejects(found.rejects)

    def add_products(self, products: Given) -> None:
        """Add products to the catalogue by their text and their place in the graph; nothing is trained.

        They are ranked by the run's head for products never sold, beside all others. What was bought, and by whom,
        stays; purchases of the new products count in histories from `update` on.

        Args:
            products: as of `recommend.additions.read_additions`; what cannot be used stands in ``problems``.

        Raises:
            InputError: the file or a column is missing, no product can be added, or the run has no head for them.
        """
        rejects = Rejects()
        rows = read_additions(products, self.dataset, rejects)
        before = self.dataset.catalogue.product_ids
        run = with_products(self.run, rows)
        added = np.concatenate([self._added, rows["product_id"].to_numpy(dtype=str)])
        scorer = cold_scorer(run, added)
        place = positions(before, run.dataset.catalogue.product_ids).astype(np.int32)
        self.history, self._log = (replace(log, product=place[log.product]) for log in (self.history, self._log))
        self.run, self._added = run, added
        self._rankers = {PRODUCT: Ranker(run.scorer, run.dataset, None, scorer)}
        self._aspects, self._searchers, self._rejects = {}, {}, rejects
        self.__dict__.pop("bundler", None)  # it is made anew with them

    # -- search ------------------------------------------------------------------------------------------

    def search(
        self,
        query: str | Sequence[str],
        user: str | None = None,
        k: int = 20,
        *,
        interest: float = INTEREST,
        graph: float = GRAPH,
        own: float | None = None,
        filters: Filters = BOUGHT_TOO,
        diversity: float = 0.5,
        by: str = "cap",
        queries: Path | str | None = None,
    ) -> pd.DataFrame:
        """Products from several categories for a text (`recommend.search.Blend` has the score).

        Args:
            query: a text, or several.
            user: whose interest counts; None: nobody's, so that what is popular does.
            k: length of the lists.
            interest: weight of the log-probability that the model gives to each product; 0: none.
            graph: how much the texts of categories that are bought with a product's count, 0 … 1.
            own: how much a product's own text counts against those of its place in the catalogue, 0 … 1; None: the more
                the more of them are distinct.
            filters: what may stand in the lists; by default also what the user has bought from before.
            diversity: 0 (plain order) … 1.
            by: the re-ranker; cap spreads a list over categories.
            queries: folder of an encoder that `crossaisle tune-queries` tuned; None: the run's own.

        Returns:
            ``query``, ``item_id``, ``rank``, ``score``, ``name``, and the nodes that the product sits in. What is
            amiss with a query (cut, nothing near, fewer than k) stands in ``problems``.

        Raises:
            InputError: a query is empty, the user is unknown, nothing passes the filters, or an argument is wrong.
        """
        _check_length("k", k)
        order, ranker, texts, blend = (
            reranker(by, diversity),
            self.ranker(PRODUCT),
            checked_queries(query),
            Blend(interest, graph, own),
        )
        self._rejects = rejects = Rejects()
        asked = nobody() if user is None else self._asked([user], None, rejects)
        wish = Wish(k, filters.products(self.dataset.catalogue, self.history), filters.owned)
        self._note_stock(filters, rejects)
        return self._searcher(queries).lists(texts, ranker, self.aspects(PRODUCT), asked, blend, wish, order, rejects)

    def _searcher(self, queries: Path | str | None) -> Searcher:
        folder = None if queries is None else Path(queries)
        if folder not in self._searchers:
            self._searchers[folder] = Searcher.of(self.run, folder)
        return self._searchers[folder]

    # -- bundles -----------------------------------------------------------------------------------------

    def bundle(
        self,
        anchor: str | Sequence[str] | None = None,
        basket: Sequence[str] | None = None,
        size: int = 4,
        budget: float | None = None,
        *,
        per: str = "",
        variety: float = VARIETY,
        popularity: float = 1.0,
        season: int | None = None,
        filters: Filters = EVERYTHING,
    ) -> pd.DataFrame:
        """Sets of products that go together (`recommend.sets`, `recommend.bundles.BundleWish`).

        Args:
            anchor: product that a bundle begins with, or several, each of which begins one.
            basket: products that one bundle begins with, in any order; instead of anchors.
            size: products in a bundle, those that it begins with included.
            budget: most that all of it may cost; None: any.
            per: one product of each node of this level; "": of the interest level; ``none``: no such limit.
            variety: 0 … 1, of the products in it.
            popularity: 0 … 1, how much it counts what is in many baskets.
            season: a period of the data: what was bought around its time of year counts, not what was bought lately.
            filters: what may be added.

        Returns:
            ``bundle`` (what it begins with), ``item_id``, ``added`` (0: it begins with it, then 1, 2, …), ``score``
            (log-probability among what could have been added), ``price``, ``name``, and the nodes that the product sits
            in. What is amiss stands in ``problems``.

        Raises:
            InputError: no bundle can be built, or an argument is wrong.
        """
        begun, wish = beginnings(anchor, basket), BundleWish(size, budget, per, variety, popularity, season)
        self._rejects = rejects = Rejects()
        self._note_stock(filters, rejects)
        return self.bundler.frame(begun, wish, filters, rejects)

    @cached_property
    def bundler(self) -> Bundler:
        """What builds bundles; the weights are learnt when first asked for."""
        return Bundler(self.run, self.history, self.aspects(PRODUCT).vectors)

    # -- reasons -----------------------------------------------------------------------------------------

    def explain(
        self,
        user: str,
        item: str,
        histories: Given | None = None,
        *,
        level: str | None = None,
        top: int = TOP,
        with_paths: bool = True,
    ) -> Reasons:
        """Why an item is suggested to a user (`recommend.reasons.Explainer`).

        Args:
            user: id of a user of the run, of ``histories``, or whom `update` brought.
            item: id of a category, of a node below, or of a product.
            histories: with the user's history, as of `categories`.
            level: of the item; default: the first from the interest level down that knows the id.
            top: purchases that are looked at in the graph, and paths, at most.
            with_paths: whether the store is asked for paths; where it cannot be reached they are left out and told.

        Raises:
            InputError: the user or the item is unknown, or an argument is wrong.
        """
        _check_length("top", top)
        self._rejects = rejects = Rejects()
        asked = self._asked([user] if histories is None else None, histories, rejects)
        at = np.flatnonzero(asked.user_ids == str(user))
        if not len(at):
            raise InputError(f"the histories name no user {user!r}", where="user", remedy="Give one of theirs.")
        one = Asked(asked.user_ids[at], asked.rows[at], asked.history.of_users(at))
        return self._explainer.explain(one, item, level, top, with_paths)

    @property
    def _explainer(self) -> Explainer:
        """Of the present run, which `add_products` changes; what it encodes is kept."""
        if self._explains is None or self._explains.run is not self.run:
            self._explains = Explainer(self.run, self.ranker(PRODUCT).added)
        return self._explains

    # -- parts -------------------------------------------------------------------------------------------

    def ranker(self, level: str) -> Ranker:
        """What ranks a level: the interest level, the one below it, or ``product``.

        Raises:
            InputError: the run ranks no such level.
        """
        levels = levels_of(self.dataset)
        if level not in levels:
            raise InputError(f"the run ranks no {level!r}", where="level", remedy=f"Use one of {', '.join(levels)}.")
        if level not in self._rankers:
            self._rankers[level] = Ranker(self.run.scorer, self.dataset, levels[level])
        return self._rankers[level]

    @cached_property
    def _stores(self) -> npt.NDArray[np.object_]:
        """Ids of the stores by their number in the log."""
        return np.asarray(pd.factorize(self.dataset.tables.interactions["store_id"])[1], dtype=object)

    def aspects(self, level: str) -> Aspects:
        """What re-rankers are told of a level's items."""
        if level not in self._aspects:
            self._aspects[level] = Aspects.of(self.run.scorer, self.ranker(level).problem)
        return self._aspects[level]

    def _asked(self, users: Sequence[str] | None, histories: Given | None, rejects: Rejects) -> Asked:
        if users is not None and histories is not None:
            raise InputError("users and histories are both given", where="users", remedy="Give one of them.")
        if histories is not None:
            return self._strangers(histories, rejects)
        rows = np.arange(len(self.user_ids)) if users is None else self._rows(users, rejects)
        return Asked(
            self.user_ids[rows], np.where(rows < len(self.dataset.user_ids), rows, -1), self._log.of_users(rows)
        )

    @cached_property
    def _attributes(self) -> pd.DataFrame:
        """What is known of the run's users but their purchases."""
        return attributes(self.dataset)

    @cached_property
    def _groups(self) -> GroupEvidence:
        """What the run's users of the same groups bought before the cut-off."""
        return GroupEvidence(self.history, self.dataset.catalogue.interest.of_product, self._attributes)

    def _people(self, users: Sequence[str] | None, histories: Given | None, people: Given) -> Asked:
        """Users of whom more than purchases is known, which counts for those without any."""
        found = read_people(people, list(self._attributes.columns), self._groups, self._rejects)
        if users is None and histories is None:
            histories = pd.DataFrame({"user_id": found.index, "product_id": None, "time": None})
        asked = self._asked(users, histories, self._rejects)
        lift = self._groups.of_people(found.reindex(asked.user_ids))
        lift[asked.history.user] = 0
        return replace(asked, lift=lift)

    def _strangers(self, given: Given, rejects: Rejects) -> Asked:
        found = Histories.read(given, self.dataset)
        rejects.extend(found.rejects)
        return Asked(
            found.user_ids,
            positions(found.user_ids, self.dataset.user_ids),
            found.log(self.dataset, self._stores),
        )

    def _rows(self, users: Sequence[str], rejects: Rejects) -> IntArray:
        """Rows of the known ones of some users, each once."""
        named = pd.Series(list(dict.fromkeys(map(str, users))), dtype="str").to_frame("user_id")
        rows = positions(named["user_id"], self.user_ids)
        named = rejects.drop(named, rows < 0, "users", "user_id", "the run knows no such user")
        if not len(named):
            remedy = "Give ids as in the run's data, or the user's history."
            lost = ", ".join(map(repr, list(users)[:3]))
            raise InputError(
                f"the run knows no user {lost}" if lost else "no user is named", where="users", remedy=remedy
            )
        return rows[rows >= 0]

    def _reordered(self, level: str, asked: Asked, found: Rankings, order: Reranker, k: int) -> Rankings:
        if order.diversity == 0:
            return found
        return self.aspects(level).rerank(order, found, asked.history, k)

    def _with_strength(self, level: str, asked: Asked, found: Rankings, frame: pd.DataFrame) -> pd.DataFrame:
        """Lists of categories with ``probability`` and ``expected_spend``, where the run is calibrated."""
        if self.strength is None or level != self.dataset.catalogue.interest_level:
            return frame
        probability, spend = self.strength.of_lists(self.run.scorer, asked.history, asked.rows, found)
        return frame.assign(probability=probability, expected_spend=spend)

    def _note_stock(self, filters: Filters, rejects: Rejects) -> None:
        lost = pd.DataFrame({"product_id": filters.unknown_stock(self.dataset.catalogue)}, dtype="str")
        rejects.drop(lost, np.ones(len(lost), bool), "stock", "product_id", "the product is not in the catalogue")


def _check_length(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise InputError(f"{name} is {value}", where=name, remedy="Give 1 or more.")
