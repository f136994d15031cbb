"""Bundles: sets of products that go together, across categories, built one product at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp
from scipy.special import logsumexp
from sklearn.preprocessing import normalize

from data.log import Log
from data.lookup import positions
from data.rejects import Rejects
from errors import InputError
from evaluation.ranking import tie_order, top_k
from kg.schema import level_labels
from recommend.baskets import Baskets, Questions, questions
from recommend.filters import Filters, unit_prices
from recommend.seasons import around
from recommend.sets import Goods, Lesson, SetEvidence, SetModel, Texts, fit, taken
from training.loaded import LoadedRun

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Prices = npt.NDArray[np.float64]
LEARNT_FROM = 1000
LATE = 4
POOL = 100
ANY = "none"
TABLE = "bundles"
VARIETY = 0.2


@dataclass(frozen=True)
class BundleWish:
    """What a bundle shall be.

    Attributes:
        size: products in it, those that it begins with included.
        budget: most that all of it may cost, by `recommend.filters.unit_prices`; None: any. Products without a price
            are then not added; one that the bundle begins with counts nothing.
        per: one product of each ``category`` (name of a level), or ``none``: as many as there are.
        variety: d, 0 … 1: each product has the largest (1 − d) · relevance − d · cosine to its nearest in the bundle
            (MMR, Carbonell and Goldstein 1998), by the fusion's vectors.
        popularity: 0 … 1, how much of the weight of what is popular counts: 1 completes real baskets best, less
            brings what goes with these products rather than what is in most baskets.
        season: a period of the data; what was bought around its time of year, in any year before the cut-off, counts
            in place of what was bought lately. None: lately.
    """

    size: int = 4
    budget: float | None = None
    per: str = ""
    variety: float = VARIETY
    popularity: float = 1.0
    season: int | None = None

    def __post_init__(self) -> None:
        if self.size < 2:
            raise InputError(f"size is {self.size}", where="size", remedy="Give 2 or more.")
        if self.budget is not None and not self.budget > 0:
            raise InputError(f"budget is {self.budget:g}", where="budget", remedy="Give more than 0.")
        for name, value in (("variety", self.variety), ("popularity", self.popularity)):
            if not 0 <= value <= 1:
                raise InputError(f"{name} is {value:g}", where=name, remedy="Give a number from 0 to 1.")


def goods_of(run: LoadedRun, vectors: FloatArray) -> Goods:
    """What a run knows of its products: groups from the taxonomy, texts, learnt vectors.

    Args:
        run: a loaded run.
        vectors: of the products, centred, shape (products, d).
    """
    catalogue, module = run.dataset.catalogue, run.scorer.module
    levels = [level for level in (catalogue.below, catalogue.interest) if level is not None]
    words = normalize(module.bank.distinct().detach().float().cpu().numpy())
    inverse, spans = module.bank.inverse.cpu().numpy(), module.plan.spans
    place = inverse[slice(*spans[level_labels(run.dataset)[levels[0].name]])]
    deepest = np.where(levels[0].primary >= 0, place[np.maximum(levels[0].primary, 0)], -1)
    texts = {"product": Texts(words, inverse[slice(*spans[module.plan.leaf])]), "place": Texts(words, deepest)}
    return Goods({level.name: level.primary for level in levels}, texts, normalize(vectors))


def evidence_before(goods: Goods, log: Log, cutoff: int, without: Sequence[str] = (), late: int = LATE) -> SetEvidence:
    """Evidence from the baskets before a cut-off, of which the last ``late`` periods are the late ones."""
    held = Baskets.of(log.before(cutoff), len(goods)).held
    return SetEvidence(goods, held, Baskets.of(log.between(cutoff - late, cutoff), len(goods)).held, without=without)


def learnt_before(
    goods: Goods, log: Log, cutoff: int, horizon: int, apart: str, without: Sequence[str] = (), seed: int = 0
) -> SetModel:
    """Weights from the baskets of the last horizon before a cut-off, on evidence counted before them, then recounted.

    Args:
        goods: the products.
        log: interactions.
        cutoff: nothing at or after it is looked at.
        horizon: length of the window whose baskets are learnt from.
        apart: group of which what was taken out is the only one in its basket.
        without: names of evidence to leave out.
        seed: of the draws.

    Raises:
        InputError: no basket of the window can be learnt from.
    """
    window = Baskets.of(log.between(cutoff - horizon, cutoff), len(goods))
    asked = questions(window, LEARNT_FROM, goods.groups[apart], seed)
    known = evidence_before(goods, log, cutoff - horizon, without)
    return fit([Lesson(known, asked.sets, asked.hidden)], apart, seed).at(evidence_before(goods, log, cutoff, without))


def in_seasons(plain: SetEvidence, known: Baskets, asked: Questions, unit: str) -> list[Lesson]:
    """Questions, each with what was bought around its time of year.

    Args:
        plain: counted on ``known``.
        known: baskets of other users than those who are asked about.
        asked: at any time.
        unit: what a period is.

    Raises:
        InputError: how many periods a year has is not known.
    """
    found = []
    for time in np.unique(asked.times):
        some = asked.where(asked.times == time)
        season = plain.seasonal(known.held[around(known.times, int(time), unit)])
        found.append(Lesson(season, some.sets, some.hidden))
    return found


def learnt_by_season(goods: Goods, baskets: Baskets, unit: str, apart: str, seed: int = 0) -> SetModel:
    """Weights from the baskets of half of the users, at their times of year, on evidence of the others.

    A year's log has no earlier year to learn from, so one half of the users tells what the other's season brings.

    Args:
        goods: the products.
        baskets: all that are known.
        unit: what a period is.
        apart: group of which what was taken out is the only one in its basket.
        seed: of halves and draws.

    Returns:
        With the evidence of all baskets, for `at_season`.

    Raises:
        InputError: no basket can be learnt from, or how many periods a year has is not known.
    """
    half = np.random.default_rng(seed).permutation(int(baskets.users.max()) + 1)[baskets.users] % 2 == 0
    asked, known = questions(baskets.where(~half), LEARNT_FROM, goods.groups[apart], seed), baskets.where(half)
    lessons = in_seasons(SetEvidence(goods, known.held), known, asked, unit)
    return fit(lessons, apart, seed).at(SetEvidence(goods, baskets.held))


def at_season(model: SetModel, baskets: Baskets, season: int, unit: str) -> SetModel:
    """The model for a time of year.

    Args:
        model: of `learnt_by_season`.
        baskets: what its evidence was counted on.
        season: a period of that time of year.
        unit: what a period is.

    Raises:
        InputError: nothing was bought around that time of year.
    """
    near = around(baskets.times, season, unit)
    if not near.any():
        what = f"the purchases know nothing of the time of year of {unit} {season}"
        first, last = baskets.times.min(), baskets.times.max()
        remedy = f"Give a period of a time of year that lies in them: they go from {unit} {first} to {last}."
        raise InputError(what, where="season", remedy=remedy)
    return model.at(model.evidence.seasonal(baskets.held[near]))


class Bundler:
    """Builds bundles from a run's products.

    Args:
        run: a loaded run.
        history: before its test cut-off.
        vectors: of the products, centred, shape (products, d).
    """

    def __init__(self, run: LoadedRun, history: Log, vectors: FloatArray) -> None:
        self.run, self.history = run, history
        self.goods = goods_of(run, vectors)

    def model(self, season: int | None = None) -> SetModel:
        """What completes a set.

        Args:
            season: a period, at whose time of year; None: after the cut-off.

        Raises:
            InputError: nothing was bought around that time of year, or no basket can be learnt from.
        """
        if season is None:
            return self._coming
        return at_season(self._by_season, self._baskets, season, self.run.dataset.tables.time_unit)

    @cached_property
    def _coming(self) -> SetModel:
        """For the weeks after the cut-off."""
        horizon = self.run.config.protocol.horizon
        return learnt_before(self.goods, self.history, self.run.scorer.cutoff.time, horizon, self._apart)

    @cached_property
    def _by_season(self) -> SetModel:
        return learnt_by_season(self.goods, self._baskets, self.run.dataset.tables.time_unit, self._apart)

    @cached_property
    def _baskets(self) -> Baskets:
        return Baskets.of(self.history, len(self.goods))

    @property
    def _apart(self) -> str:
        return self.run.dataset.catalogue.interest_level

    @cached_property
    def prices(self) -> Prices:
        """Of a unit of each product; NaN where none is known."""
        try:
            return unit_prices(self.history, len(self.goods))
        except InputError:
            return np.full(len(self.goods), np.nan)

    @cached_property
    def _ties(self) -> IntArray:
        return tie_order(self.run.dataset.catalogue.product_ids)

    def frame(
        self, begun: Sequence[Sequence[str]], wish: BundleWish, filters: Filters, rejects: Rejects
    ) -> pd.DataFrame:
        """A bundle for each beginning; what cannot be begun or filled is noted.

        Args:
            begun: ids of the products that each bundle begins with, in any order.
            wish: size, budget, variety.
            filters: what may be added.
            rejects: notes what is amiss.

        Raises:
            InputError: no bundle can be built, or an argument is wrong.
        """
        groups = self._groups(wish.per)
        passed = self._passed(filters, wish)
        found = [self._one(at, names, wish, groups, passed, rejects) for at, names in enumerate(begun)]
        parts = [part for part in found if part is not None]
        if not parts:
            told = rejects.frame()
            reasons = told.loc[told["table"] == TABLE, "reason"]
            remedy = "Give product ids as in the run's data, a larger budget, or wider filters."
            raise InputError(
                f"no bundle can be built: {reasons.iloc[0] if len(reasons) else 'it begins with nothing'}",
                where="bundle",
                remedy=remedy,
            )
        return pd.concat(parts, ignore_index=True)

    def _passed(self, filters: Filters, wish: BundleWish) -> Mask:
        passed = filters.products(self.run.dataset.catalogue, self.history)
        passed &= self.run.dataset.catalogue.interest.primary >= 0
        if wish.budget is not None:
            unit_prices(self.history, len(self.goods))  # refuses data without spend
            passed &= self.prices > 0
        return passed

    def _groups(self, per: str) -> IntArray | None:
        name = per or self.run.dataset.catalogue.interest_level
        if name == ANY:
            return None
        if name not in self.goods.groups:
            there = ", ".join([*self.goods.groups, ANY])
            raise InputError(f"there is no level {name!r}", where="per", remedy=f"Use one of {there}.")
        return self.goods.groups[name]

    def _one(
        self,
        at: int,
        names: Sequence[str],
        wish: BundleWish,
        groups: IntArray | None,
        passed: Mask,
        rejects: Rejects,
    ) -> pd.DataFrame | None:
        known = self._known(at, names, rejects)
        if not len(known):
            return None
        why = self._why_not(known, wish)
        if why:
            _note(rejects, at, " ".join(names), why)
            return None
        added, scores = self._added(known, wish, groups, passed)
        if not len(added):
            _note(rejects, at, " ".join(names), "nothing that may be added passes filters and budget")
            return None
        short = wish.size - len(known) - len(added)
        if short:
            _note(rejects, at, " ".join(names), f"only {wish.size - short} of {wish.size} products")
        return self._rows(known, added, scores)

    def _known(self, at: int, names: Sequence[str], rejects: Rejects) -> IntArray:
        """Positions of a beginning's products, each once, ascending, so that their order is nothing to the rest."""
        found = positions(np.array(list(map(str, names)), dtype=str), self.run.dataset.catalogue.product_ids)
        for name, place in zip(names, found, strict=True):
            if place < 0:
                _note(rejects, at, str(name), "the product is not in the catalogue")
        return np.unique(found[found >= 0])

    def _why_not(self, known: IntArray, wish: BundleWish) -> str:
        if len(known) >= wish.size:
            return f"it begins with {len(known)} products, and size is {wish.size}"
        cost = float(np.nansum(self.prices[known]))
        if wish.budget is not None and cost >= wish.budget:
            return f"it begins with products for {cost:.2f}, and budget is {wish.budget:.2f}"
        return ""

    def _added(
        self, known: IntArray, wish: BundleWish, groups: IntArray | None, passed: Mask
    ) -> tuple[IntArray, FloatArray]:
        """What is added, best first, and the log-probability of each among what could have been."""
        chosen, scores = list(known), []
        left = np.inf if wish.budget is None else wish.budget - float(np.nansum(self.prices[known]))
        for place in range(len(known), wish.size):
            whole = _as_set(np.array(chosen), len(self.goods))
            open_ = passed & ~np.isin(np.arange(len(passed)), chosen)
            open_ &= True if groups is None else ~taken(groups, whole, 0)
            open_ &= self._affordable(open_, left, wish.size - place)
            if not open_.any():
                break
            best, score = self._best(whole, np.array(chosen), open_, wish)
            chosen.append(best)
            scores.append(score)
            left -= self.prices[best] if np.isfinite(left) else 0
        return np.array(chosen[len(known) :], dtype=np.int64), np.array(scores, dtype=np.float32)

    def _affordable(self, candidates: Mask, left: float, places: int) -> Mask:
        """What leaves enough for the cheapest candidates in the other places, if anything does."""
        if not np.isfinite(left) or not candidates.any():
            return candidates
        cheapest = self.prices[candidates].min()
        prices = np.nan_to_num(self.prices, nan=np.inf)
        enough = prices <= left - (places - 1) * cheapest
        return np.asarray(enough if (enough & candidates).any() else prices <= left)

    def _best(self, whole: sp.csr_array, chosen: IntArray, candidates: Mask, wish: BundleWish) -> tuple[int, float]:
        plain = self.model(wish.season).less_popular(wish.popularity).scores(whole)[0]
        scores = np.where(candidates, plain, -np.inf).astype(np.float32)
        pool = top_k(scores, POOL, self._ties)
        span = float(scores[pool[0]] - scores[pool[-1]]) or 1.0
        assert self.goods.vectors is not None
        near = (self.goods.vectors[pool] @ self.goods.vectors[chosen].T).max(axis=1)
        worth = (1 - wish.variety) * (scores[pool] - scores[pool[-1]]) / span - wish.variety * near
        best = int(pool[np.argmax(worth)])
        return best, float(scores[best] - logsumexp(scores[candidates]))

    def _rows(self, known: IntArray, added: IntArray, scores: FloatArray) -> pd.DataFrame:
        catalogue = self.run.dataset.catalogue
        items = np.concatenate([known, added])
        levels = [catalogue.interest, *([] if catalogue.below is None else [catalogue.below])]
        places = {
            level.name: np.where(level.primary[items] >= 0, level.ids[level.primary[items]], "") for level in levels
        }
        return pd.DataFrame(
            {
                "bundle": "+".join(catalogue.product_ids[known]),
                "item_id": catalogue.product_ids[items],
                "added": np.concatenate([np.zeros(len(known), int), np.arange(len(added)) + 1]),
                "score": np.concatenate([np.full(len(known), np.nan), scores]),
                "price": self.prices[items],
                "name": [catalogue.product_texts[item] for item in items],
                **places,
            }
        )


def _as_set(items: IntArray, n_products: int) -> sp.csr_array:
    ones = np.ones(len(items), dtype=np.float32)
    return sp.csr_array((ones, (np.zeros(len(items), dtype=np.int64), items)), shape=(1, n_products))


def _note(rejects: Rejects, at: int, value: str, reason: str) -> None:
    rejects.add(TABLE, pd.Index([at]), "bundle", value, reason)


def beginnings(anchor: str | Sequence[str] | None, basket: Sequence[str] | None) -> list[list[str]]:
    """One beginning for each anchor, or one for a basket.

    Raises:
        InputError: both or none are given.
    """
    if (anchor is None) == (basket is None):
        raise InputError("give anchors or a basket: one of them", where="bundle", remedy="Such as anchor='844179'.")
    if basket is not None:
        return [[str(name) for name in basket]]
    return [[str(name)] for name in ([anchor] if isinstance(anchor, str) else anchor or [])]
