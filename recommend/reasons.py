"""Why an item is suggested to a user: purchases, paths in the graph, parts of the score, and one sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt
import pandas as pd

from data.catalogue import Level
from data.histories import at_moment
from data.log import Log
from data.splits import unseen_categories
from errors import InputError
from evaluation.scorer import Problem
from kg.answer import Answer
from recommend import paths
from recommend.attribution import Attribution, Purchases
from recommend.lists import Asked
from training.cold import ColdScorer
from training.loaded import LoadedRun
from training.run import levels_of

TOP = 5
NAMED = 3
NO_PATHS = Answer(("names", "weight", "chance", "lifts", "path"), [])


@dataclass(frozen=True)
class Reasons:
    """Why an item is suggested to a user.

    Attributes:
        user_id: whom.
        item_id: what.
        name: of the item.
        level: of the item.
        category_id: the category that the item sits in; the item itself at the interest level.
        category: its name.
        place: of the category among the user's candidates, from 1.
        candidates: number of candidate categories.
        log_p: log-probability of the category among them.
        purchases: bought categories, the one that counts most first: ``category_id``, ``name``, ``lines``, ``last``
            (period of the latest), ``attention`` (the history encoder's, mean of its pools), ``change`` (by how much
            ``log_p`` falls without these purchases).
        parts: ``part``, ``adds`` (Shapley value; they sum to ``log_p`` + log ``candidates``), ``share`` of the sum of
            absolute values.
        modalities: ``modality``, ``attention``: weights of the fusion for the category.
        steps: ``level``, ``item_id``, ``log_p``, ``adds``: from the category down to the item.
        paths: ``names``, ``weight``, ``chance``, ``lifts``, as of the named query ``why-category``, and ``ids``.
        graph: the reasons as a network, for `kg.picture.draw`.
        notes: what is missing or to be read with care.
    """

    user_id: str
    item_id: str
    name: str
    level: str
    category_id: str
    category: str
    place: int
    candidates: int
    log_p: float
    purchases: pd.DataFrame
    parts: pd.DataFrame
    modalities: pd.DataFrame
    steps: pd.DataFrame
    paths: pd.DataFrame
    graph: nx.MultiDiGraph
    notes: list[str] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """One sentence that says it."""
        times = np.exp(self.log_p) * self.candidates
        head = f"{self.name} is suggested to {self.user_id}"
        if self.item_id != self.category_id:
            head += f" from {self.category}"
        head += f" (place {self.place} of {self.candidates} new categories, {times:.1f} times a uniform guess)"
        return f"{head}: {self._bought}, and what counts most is {_listed(self._strongest)}."

    @property
    def _bought(self) -> str:
        named = self.purchases[self.purchases["change"] > 0].head(NAMED)
        if not len(self.purchases):
            return "nothing was bought before"
        if not len(named):
            return "no single purchase speaks for it"
        return f"they bought {_listed(named['name'])}{self._tie(set(named['category_id']))}"

    def _tie(self, named: set[str]) -> str:
        """The strongest direct relationship from a named purchase."""
        for ids, names, lifts in self.paths[["ids", "names", "lifts"]].itertuples(index=False):
            if len(lifts) == 1 and ids[0] in named:
                return f" (customers of {names[0]} buy from {names[-1]} {lifts[0]:.1f} times as often as all do)"
        return ""

    @property
    def _strongest(self) -> list[str]:
        helping = self.parts[self.parts["adds"] > 0].head(2)
        return [f"{part} ({share:.0%})" for part, share in zip(helping["part"], helping["share"], strict=True)] or [
            "nothing"
        ]

    def to_dict(self) -> dict[str, Any]:
        """All but the network as plain values, for JSON."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "graph"}
        tables = {k: v.to_dict("records") for k, v in plain.items() if isinstance(v, pd.DataFrame)}
        return {"sentence": self.sentence, **plain, **tables}


def _listed(words: Any) -> str:  # noqa: ANN401
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else str(last)


@dataclass(frozen=True)
class _Place:
    """An item and the nodes that it sits in, from the interest level down: (level's name, Level or None, position)."""

    chain: list[tuple[str, Level | None, int]]

    @property
    def category(self) -> int:
        return self.chain[0][2]


class Explainer:
    """Explains what a run suggests.

    Args:
        run: a loaded run.
        added: what scores the products that were added after training.
    """

    def __init__(self, run: LoadedRun, added: ColdScorer | None = None) -> None:
        self.run, self.dataset, self.scorer, self.added = run, run.dataset, run.scorer, added

    @cached_property
    def _attribution(self) -> Attribution:
        return Attribution(self.scorer)

    def explain(
        self, asked: Asked, item: str, level: str | None = None, top: int = TOP, with_paths: bool = True
    ) -> Reasons:
        """Say why an item is suggested to the one user who is asked about.

        Args:
            asked: one user.
            item: id of a category, of a node below, or of a product.
            level: of the item; default: the first of these that knows the id.
            top: purchases that are looked at in the graph, and paths, at most.
            with_paths: whether the store is asked for paths.

        Raises:
            InputError: no item of that id.
        """
        place = self._place(item, level)
        history = at_moment(asked.history, self.scorer.cutoff.time)
        notes: list[str] = []
        allowed = self._allowed(history, place.category, notes)
        log_p = self.scorer.at_interest().score_among(history, asked.rows, allowed[None])[0]
        purchases = self._purchases(history, int(asked.rows[0]), allowed, place.category)
        answer = self._paths(place, purchases, top, notes) if with_paths else NO_PATHS
        return self._gathered(asked, place, allowed, log_p, history, purchases, answer, notes)

    def _gathered(
        self, asked: Asked, place: _Place, allowed: npt.NDArray[np.bool_], log_p: npt.NDArray[np.float32],
        history: Log, purchases: pd.DataFrame, answer: Answer, notes: list[str],
    ) -> Reasons:  # fmt: skip
        catalogue, category = self.dataset.catalogue, place.category
        level, kind, at = place.chain[-1]
        interest, user = catalogue.interest, str(asked.user_ids[0])
        named = purchases[purchases["change"] > 0].head(TOP)
        return Reasons(
            user_id=user,
            item_id=str(_ids(catalogue.product_ids, kind)[at]),
            name=catalogue.product_texts[at] if kind is None else kind.names[at],
            level=level,
            category_id=str(interest.ids[category]),
            category=interest.names[category],
            place=int((log_p > log_p[category]).sum()) + 1,
            candidates=int(allowed.sum()),
            log_p=float(log_p[category]),
            purchases=purchases,
            parts=self._parts(history, asked.rows, allowed, category),
            modalities=self._modalities(category),
            steps=self._steps(history, asked.rows, allowed, place),
            paths=paths.table(answer),
            graph=paths.network(answer, user, named, str(interest.ids[category]), interest.names[category]),
            notes=notes,
        )

    # -- where an item is --------------------------------------------------------------------------------

    def _place(self, item: str, level: str | None) -> _Place:
        known = levels_of(self.dataset)
        if level is not None and level not in known:
            raise InputError(f"the run ranks no {level!r}", where="level", remedy=f"Use one of {', '.join(known)}.")
        names = list(known)
        for name in names if level is None else [level]:
            at = pd.Index(_ids(self.dataset.catalogue.product_ids, known[name])).get_indexer(pd.Index([item]))[0]
            if at >= 0:
                return self._chain(names, known, names.index(name), int(at), item)
        remedy = "Give an id as `crossaisle recommend` prints it."
        raise InputError(f"there is no {level or 'item'} {item!r}", where="item", remedy=remedy)

    def _chain(self, names: list[str], known: dict[str, Level | None], depth: int, at: int, item: str) -> _Place:
        found = [(names[depth], known[names[depth]], at)]
        for step in range(depth - 1, -1, -1):
            at = int(self.scorer.cutoff.chain.parents[step][at])
            if at < 0:
                raise InputError(f"{item!r} sits in no {names[step]}", where="item", remedy="Ask about another.")
            found.insert(0, (names[step], known[names[step]], at))
        return _Place(found)

    def _allowed(self, history: Log, category: int, notes: list[str]) -> npt.NDArray[np.bool_]:
        """The user's candidates, with the category whether it is one or not."""
        allowed = unseen_categories(history, self.dataset.catalogue.interest)[0]
        if not allowed[category]:
            notes.append(
                "the user has bought from the category: the model is trained for others, this is extrapolation"
            )
        allowed[category] = True
        return allowed

    # -- reasons -----------------------------------------------------------------------------------------

    def _purchases(self, history: Log, row: int, allowed: npt.NDArray[np.bool_], category: int) -> pd.DataFrame:
        level, found = self.dataset.catalogue.interest, Purchases(self.scorer, history, row, allowed)
        bought = found.bought
        last = np.zeros(len(level), dtype=np.int64)
        of_line = level.of_product[history.product].tocoo()
        np.maximum.at(last, of_line.col, history.time[of_line.row])
        frame = pd.DataFrame(
            {
                "category_id": level.ids[bought],
                "name": [level.names[node] for node in bought],
                "lines": history.counts(level.of_product).toarray()[0, bought].astype(np.int64),
                "last": last[bought],
                "attention": found.attention(),
                "change": found.leave_one_out()[:, category],
            }
        )
        frame = frame[frame["category_id"] != level.ids[category]]
        return frame.sort_values("change", ascending=False, kind="stable").reset_index(drop=True)

    def _parts(
        self, history: Log, rows: npt.NDArray[np.int64], allowed: npt.NDArray[np.bool_], category: int
    ) -> pd.DataFrame:
        adds = self._attribution.shapley(history, rows, allowed[None])[:, 0, category].astype(float)
        frame = pd.DataFrame({"part": self._attribution.groups, "adds": adds})
        frame["share"] = frame["adds"].abs() / max(frame["adds"].abs().sum(), 1e-12)
        return frame.sort_values("adds", ascending=False, kind="stable").reset_index(drop=True)

    def _modalities(self, category: int) -> pd.DataFrame:
        weights = self.scorer.at_interest().encode().nodes.attention[self.scorer.module.model.shape.interest]
        return pd.DataFrame({"modality": self._attribution.fuse.names, "attention": weights[category].tolist()})

    def _steps(
        self, history: Log, rows: npt.NDArray[np.int64], allowed: npt.NDArray[np.bool_], place: _Place
    ) -> pd.DataFrame:
        found, before = [], 0.0
        for name, level, at in place.chain:
            log_p = self._log_p(level, at, history, rows, allowed[None])
            ids = _ids(self.dataset.catalogue.product_ids, level)
            found.append({"level": name, "item_id": str(ids[at]), "log_p": log_p, "adds": log_p - before})
            before = log_p
        return pd.DataFrame(found)

    def _log_p(
        self, level: Level | None, at: int, history: Log, rows: npt.NDArray[np.int64], allowed: npt.NDArray[np.bool_]
    ) -> float:
        """The score that lists show: of an added product that of the head for products never sold."""
        if level is None and self.added is not None and at in self.added.view.items:
            cold = self.added.score(history, rows, allowed)[0]
            return float(cold[self.added.view.items == at][0])
        problem = Problem(self.dataset, level, self.scorer.cutoff.time)
        return float(self.scorer.fit(problem).score_among(history, rows, allowed)[0, at])

    def _paths(self, place: _Place, purchases: pd.DataFrame, top: int, notes: list[str]) -> Answer:
        """From the purchases that count most, or where none leads to the category, from all."""
        category = str(self.dataset.catalogue.interest.ids[place.category])
        bought = purchases["category_id"].tolist()
        if not bought:
            return NO_PATHS
        try:
            answer = paths.fetch(self.run.config.store, category, [bought[:top], bought], self.scorer.cutoff.time, top)
        except InputError as error:
            notes.append(f"paths are left out, the store does not give them: {error.what}")
            return NO_PATHS
        if not answer.rows:
            notes.append("no path of one or two steps in the graph leads there from what was bought")
        return answer


def _ids(product_ids: npt.NDArray[np.str_], level: Level | None) -> npt.NDArray[np.str_]:
    return product_ids if level is None else level.ids
