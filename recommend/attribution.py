"""What a category's score is made of: Shapley values of groups of inputs, and what each purchase does to it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from math import factorial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data.histories import joined
from data.log import Log
from fusion.attention import ModalityFusion
from fusion.model import Evidence, Nodes
from training.module import to_device
from training.scorer import CrossAisleScorer

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
CO_OCCURRENCE = ("ease_", "cosine", "neighbours", "product_neighbours")
PAIR_GROUPS = {"co-occurrence": CO_OCCURRENCE, "stores": ("store_",), "department": ("parent_",)}
POPULARITY, CUSTOMER = "popularity", "customer"


class Attribution:
    """Shapley values of the parts of log p(category), for the groups of inputs that the interest head is given.

    φ_i = Σ_{S ∌ i} |S|! (n − |S| − 1)! / n! · (v(S ∪ i) − v(S)), over all 2ⁿ sets of the n groups (Shapley 1953; for
    models' inputs Lundberg and Lee, NeurIPS 2017), exact, no sampling. v(S) is the log-probability among the same
    candidates when the groups outside S stand at their mean: evidence at its mean over training examples, a modality
    at its mean over the nodes. With no group all candidates are equal, so the values add up to log p − log(1 / number
    of candidates): what the category has over a uniform guess.

    Groups: ``co-occurrence`` (EASE, item cosine, similar users), ``stores``, ``department`` (what the customer does in
    the level above), ``popularity`` (all evidence on categories), ``customer`` (basket figures), and each modality of
    the match of learnt vectors (``graph``, ``text``, …; the texts that the graph encoder reads are ``text``).

    Args:
        scorer: the trained model at its cut-off.
    """

    def __init__(self, scorer: CrossAisleScorer) -> None:
        self.scorer, self.model = scorer, scorer.module.model
        names = scorer.cutoff.interest.pair_names
        columns = {group: [name.startswith(begin) for name in names] for group, begin in PAIR_GROUPS.items()}
        self.columns = {group: torch.tensor(those) for group, those in columns.items() if any(those)}
        fuse = self.model.fusion[f"fuse_{self.model.shape.interest}"]
        assert isinstance(fuse, ModalityFusion)
        self.fuse = fuse
        self.groups = [*self.columns, POPULARITY, CUSTOMER, *fuse.names]
        self._nodes = cache(self._encode)

    @torch.inference_mode()
    def shapley(self, history: Log, rows: IntArray, allowed: Mask) -> FloatArray:
        """What each group adds to log p of each category, shape (groups, b, categories); NaN where not allowed.

        Args:
            history: as of `CrossAisleScorer.score`.
            rows: as there.
            allowed: the candidates, shape (b, categories).
        """
        given = to_device(self.scorer.cutoff.evidence(history, rows), self.scorer.module.device)
        sets = np.array(list(product([False, True], repeat=len(self.groups))))
        values = [self._value(given, frozenset(np.array(self.groups)[one]), allowed) for one in sets]
        return np.tensordot(shapley_weights(sets), np.stack(values), axes=1).astype(np.float32)

    @torch.inference_mode()
    def log_p(self, history: Log, rows: IntArray, allowed: Mask, present: Collection[str]) -> npt.NDArray[np.float64]:
        """log p among the candidates by some groups alone, the others at their mean, shape (b, categories)."""
        given = to_device(self.scorer.cutoff.evidence(history, rows), self.scorer.module.device)
        return self._value(given, frozenset(present), allowed)

    def _value(self, given: Evidence, present: frozenset[str], allowed: Mask) -> npt.NDArray[np.float64]:
        """log p among the candidates by the groups that are present, shape (b, categories)."""
        nodes = self._nodes(present & frozenset(self.fuse.names))
        evidence = self._at_mean(given, present)
        users, _ = self.model.users(nodes, evidence)
        score = torch.stack(list(self.model.interest(nodes, users, evidence).values())).sum(dim=0).double().cpu()
        masked = score.masked_fill(~torch.from_numpy(allowed), -torch.inf)
        log_p = torch.log_softmax(masked, dim=1)
        return log_p.masked_fill(~torch.from_numpy(allowed), torch.nan).numpy()

    def _at_mean(self, given: Evidence, present: frozenset[str]) -> Evidence:
        """The evidence with absent groups at their mean over training examples."""
        pairs, model = given.pairs, self.model
        for group, those in self.columns.items():
            if group not in present:
                pairs = torch.where(those.to(pairs.device), model.pair_scale.mean, pairs)
        items = given.items if POPULARITY in present else model.item_scale.mean.expand_as(given.items)
        figures = given.figures if CUSTOMER in present else model.user_scale.mean.expand_as(given.figures)
        return replace(given, pairs=pairs, items=items, figures=figures)

    def _encode(self, present: frozenset[str]) -> Nodes:
        """The interest level's nodes with absent modalities at their mean over the nodes."""
        module, cutoff, label = self.scorer.module, self.scorer.cutoff, self.model.shape.interest
        texts = {name: module.bank.embed(module.plan.positions(name)) for name in self.model.shape.text_labels}
        if "text" not in present:
            texts = {name: _mean(vectors) for name, vectors in texts.items()}
        profiles = cutoff.profiles.to(module.device)
        made = self.model.nodes(cutoff.graph.contracted.to(module.device), texts, profiles)
        inputs = {"graph": made.hidden[label], "text": texts[label], "collaborative": profiles}
        if "id" in self.fuse.names:
            inputs["id"] = self.model.id[f"id_{label}"].weight  # type: ignore[assignment]
        shown = {name: inputs[name] if name in present else _mean(inputs[name]) for name in self.fuse.names}
        vectors, attention = self.fuse(shown)
        return Nodes(made.hidden, {label: vectors}, {label: attention})


def shapley_weights(sets: Mask) -> npt.NDArray[np.float64]:
    """Weights of v(S) in each player's Shapley value, shape (players, sets).

    Args:
        sets: all sets of players, shape (2ⁿ, n).
    """
    n = sets.shape[1]
    size = sets.sum(axis=1)
    joins = np.array([factorial(max(s - 1, 0)) * factorial(n - s) / factorial(n) for s in size])
    stays = np.array([factorial(s) * factorial(max(n - s - 1, 0)) / factorial(n) for s in size])
    return np.where(sets, joins[:, None], -stays[:, None]).T


def _mean(vectors: Tensor) -> Tensor:
    return vectors.mean(dim=0, keepdim=True).expand_as(vectors)


class Purchases:
    """What the categories that one user bought from do to the score of others.

    Args:
        scorer: the trained model.
        history: of one user.
        row: the user's row in the population, −1 for a stranger.
        allowed: the candidates, shape (categories,); the same whatever is taken out of the history.
    """

    def __init__(self, scorer: CrossAisleScorer, history: Log, row: int, allowed: Mask) -> None:
        self.scorer, self.history, self.row, self.allowed = scorer.at_interest(), history, row, allowed
        self.of_product = scorer.cutoff.interest.level.of_product
        self.bought = np.sort(history.counts(self.of_product).indices).astype(np.int64)

    @torch.inference_mode()
    def attention(self) -> npt.NDArray[np.float64]:
        """Weights of the history encoder over ``bought``, mean of its pools, shape (bought,); they sum to 1."""
        module = self.scorer.module
        evidence = to_device(self.scorer.cutoff.evidence(self.history, np.array([self.row])), module.device)
        _, weights = module.model.users(self.scorer.encode().nodes, evidence)
        order = np.argsort(evidence.bought[0].cpu().numpy()[: len(self.bought)], kind="stable")
        return weights[0, : len(self.bought)].mean(dim=1).double().cpu().numpy()[order]

    def leave_out(self, removed: Sequence[IntArray]) -> FloatArray:
        """log p of all categories without some of the purchases, shape (removals, categories).

        Args:
            removed: the categories whose purchases are taken out, removal by removal.
        """
        histories = [self._without(categories) for categories in removed]
        copies = joined([replace(one, user=np.full_like(one.user, i)) for i, one in enumerate(histories)], len(removed))
        rows, allowed = np.full(len(removed), self.row), np.tile(self.allowed, (len(removed), 1))
        return self.scorer.at_interest().score_among(copies, rows, allowed)

    def leave_one_out(self) -> FloatArray:
        """By how much log p of each category falls without each bought one, shape (bought, categories)."""
        nothing = np.empty(0, dtype=np.int64)
        scores = self.leave_out([nothing, *self.bought[:, None]])
        with np.errstate(invalid="ignore"):  # −∞ less −∞ where a category is no candidate
            return np.asarray(scores[:1] - scores[1:], dtype=np.float32)

    def _without(self, categories: IntArray) -> Log:
        gone = np.asarray(self.of_product[:, categories].sum(axis=1)).ravel() > 0
        kept = ~gone[self.history.product]
        names = ("user", "product", "time", "quantity", "value", "basket", "store")
        return Log(**{name: getattr(self.history, name)[kept] for name in names}, n_users=1)
