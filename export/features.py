"""Features of a user and an item for a ranker: each part of the final score, modalities, paths in the graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from console import track
from data.log import Log
from evaluation.ranking import rank_batch, tie_order
from evaluation.scorer import FloatArray, IntArray
from export.levels import ItemLevel
from export.paths import STRENGTHS, BoughtWith, relations, same_value
from export.people import People
from training.learnt import modality_shares
from training.loaded import LoadedRun

FLOOR = float(np.log(np.finfo(np.float32).tiny))  # −87.3, the log of the smallest probability that float32 holds
PARTS = {
    "linear": "part of the score of the item's category: the linear map of the evidence",
    "deep": "part of the score of the item's category: the MLP over the evidence",
    "match": "part of the score of the item's category: the match of the user's and the category's vectors",
}


@dataclass(frozen=True)
class Scored:
    """Scores of some users, level by level from the interest level down to the one that is asked for.

    Attributes:
        history: of the users.
        parts: of the interest level's score, each of shape (b, categories).
        before: log-probabilities of each level before its re-ranking, each of shape (b, items).
        after: the same after it: the final score.
    """

    history: Log
    parts: dict[str, FloatArray]
    before: list[FloatArray]
    after: list[FloatArray]


class PairFeatures:
    """Features of pairs of a user and an item of one level, at a run's cut-off.

    ``score`` = ``log_p_CATEGORY`` + Σ over the levels below (``within_L`` + ``rerank_L``), where log p(CATEGORY) is the
    log-softmax over unseen categories of ``linear`` + ``deep`` + ``match``. `meanings` tells of each.

    Args:
        run: a loaded run.
        levels: all its levels, from the interest level down.
        label: of the level whose items are meant.
    """

    def __init__(self, run: LoadedRun, levels: Sequence[ItemLevel], label: str) -> None:
        self.run, self.batch = run, 64
        depth = [level.label for level in levels].index(label) + 1
        self.levels = list(levels[:depth])
        self.level = self.levels[-1]

    @cached_property
    def _shares(self) -> tuple[list[str], FloatArray]:
        return modality_shares(self.run.scorer.module, self.run.scorer.cutoff, self.level.label)

    @cached_property
    def _relations(self) -> list[BoughtWith | None]:
        found = [level.problem.level for level in self.levels]
        return relations(self.run.dataset, found, self.run.scorer.cutoff.time, self.run.config.copurchase)

    @property
    def _attributes(self) -> dict[str, IntArray]:
        """Each attribute's value of all products; none above them."""
        found = self.run.dataset.catalogue.attributes if self.level.problem.level is None else {}
        return {name: codes for name, (_, codes) in found.items()}

    @cached_property
    def meanings(self) -> dict[str, str]:
        """What each feature is, by name, in the order of their columns."""
        top, *below = (level.label for level in self.levels)
        found = {"score": "the full model's log-probability of the item among the user's unseen ones"} | PARTS
        found[f"log_p_{top.lower()}"] = f"log-probability of the item's {top}, among unseen ones"
        for label in below:
            found[f"within_{label.lower()}"] = f"log-probability of the item's {label} within what it sits in"
            found[f"rerank_{label.lower()}"] = f"what the re-ranking of {label} nodes added to its log-probability"
        for name in self._shares[0]:
            found[f"attention_{name}"] = f"share of the modality {name} in the item's vector"
        for level, relation in zip(self.levels, self._relations, strict=True):
            if relation is not None:
                found |= _path_meanings(level.label)
        found |= {f"same_{name}": f"products of the history with the item's {name}" for name in self._attributes}
        return found | {
            "seen": "1 where the model gives it no chance: the user bought from its category, or it is in none"
        }

    @property
    def names(self) -> list[str]:
        """Names of the features, in the order of their columns."""
        return list(self.meanings)

    def score(self, history: Log, rows: IntArray) -> Scored:
        """Score some users at every level.

        Args:
            history: their interactions before the cut-off, users numbered 0 … b − 1.
            rows: their rows in the run's population, −1 for strangers, shape (b,).
        """
        scorer = self.run.scorer
        found = [scorer.fit(level.problem).before_and_after(history, rows) for level in self.levels]
        parts, _ = scorer.parts(history, rows)
        return Scored(history, parts, *([pair[side] for pair in found] for side in (0, 1)))

    def best(self, scored: Scored, n: int) -> tuple[IntArray, IntArray]:
        """Each user's n best items: users and items, both of shape (pairs,), best first."""
        items, _ = rank_batch(scored.after[-1], n, self._ties)
        user, place = np.nonzero(items >= 0)
        return user, items[user, place].astype(np.int64)

    @cached_property
    def _ties(self) -> IntArray:
        return tie_order(self.level.problem.item_ids)

    def of(self, scored: Scored, user: IntArray, item: IntArray) -> FloatArray:
        """Features of some pairs.

        Args:
            scored: from `score`.
            user: row of each pair's user among the scored ones, shape (m,).
            item: position of each pair's item, shape (m,).

        Returns:
            Finite, shape (m, len(names)). Where the user bought from the category, ``seen`` is 1, log-probabilities
            are −87.3 and what was added to them is 0.
        """
        nodes = self._ancestors(item)
        columns = [*self._score_columns(scored, user, nodes), *self._shares[1][item].T]
        for relation, node in zip(self._relations, nodes, strict=True):
            if relation is not None:
                columns += [*relation.of(relation.bought(scored.history), user, node).T]
        columns += [same_value(scored.history, codes, user, item) for codes in self._attributes.values()]
        columns.append(~np.isfinite(_at(scored.after[0], user, nodes[0])))
        return np.stack([np.asarray(column, dtype=np.float32) for column in columns], axis=1)

    def of_pairs(self, people: People, user: IntArray, item: IntArray, what: str = "Features") -> FloatArray:
        """Features of pairs of any users, who are scored some at a time.

        Args:
            people: users with their histories.
            user: position of each pair's user among them, shape (m,).
            item: position of each pair's item, shape (m,).
            what: the progress bar's words.

        Returns:
            Shape (m, len(names)).
        """
        out = np.zeros((len(user), len(self.names)), dtype=np.float32)
        order = np.argsort(user, kind="stable")
        asked = np.unique(user)
        for start in track(range(0, len(asked), self.batch), what):
            some = asked[start : start + self.batch]
            first, last = np.searchsorted(user[order], [some[0], some[-1] + 1])
            part = order[first:last]
            scored = self.score(people.history.of_users(some), people.rows[some])
            out[part] = self.of(scored, np.searchsorted(some, user[part]), item[part])
        return out

    def of_best(self, people: People, n: int) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
        """Users, items and features of each user's n best items, some users at a time."""
        starts = range(0, len(people.ids), self.batch)
        for start in track(starts, f"Features: {self.level.label}"):
            some = np.arange(start, min(start + self.batch, len(people.ids)))
            scored = self.score(people.history.of_users(some), people.rows[some])
            user, item = self.best(scored, n)
            yield some[user], item, self.of(scored, user, item)

    def _ancestors(self, item: IntArray) -> list[IntArray]:
        """The node of each level that the items sit in, −1 for none, from the interest level down; then the items."""
        nodes = [item]
        for parent in reversed(self.run.scorer.cutoff.chain.parents[: len(self.levels) - 1]):
            nodes.insert(0, np.where(nodes[0] >= 0, parent[np.maximum(nodes[0], 0)], -1))
        return nodes

    def _score_columns(self, scored: Scored, user: IntArray, nodes: list[IntArray]) -> Iterator[FloatArray]:
        """The score and its parts, in the order of their names."""
        yield _floored(_at(scored.after[-1], user, nodes[-1]))
        for name in PARTS:
            yield np.where(nodes[0] >= 0, scored.parts[name][user, np.maximum(nodes[0], 0)], 0)
        yield _floored(_at(scored.after[0], user, nodes[0]))
        for step in range(1, len(nodes)):
            above, before, after = (
                _at(scores, user, node)
                for scores, node in (
                    (scored.after[step - 1], nodes[step - 1]),
                    (scored.before[step], nodes[step]),
                    (scored.after[step], nodes[step]),
                )
            )
            known = np.isfinite(after)
            yield np.where(known, np.where(known, before, 0) - np.where(known, above, 0), 0)
            yield np.where(known, np.where(known, after, 0) - np.where(known, before, 0), 0)


def _at(scores: FloatArray, user: IntArray, node: IntArray) -> FloatArray:
    """Scores of pairs, −inf where there is no node, shape (m,)."""
    return np.where(node >= 0, scores[user, np.maximum(node, 0)], np.float32(-np.inf))


def _floored(log_p: FloatArray) -> FloatArray:
    return np.where(np.isfinite(log_p), log_p, np.float32(FLOOR))


def _path_meanings(label: str) -> dict[str, str]:
    short = label.lower()
    found = {f"paths_{short}": f"BOUGHT_WITH relations from {label} nodes of the history to the item's {label}"}
    return found | {f"{name}_{short}": f"largest {name} among them, 0 for none" for name in STRENGTHS}
