"""The trained model under the contract of all scorers: log-probabilities at each level, factorised from the top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data.log import Log
from data.splits import unseen_categories
from evaluation.scorer import Problem, Scorer
from fusion.model import Nodes
from fusion.rerank import RerankHead
from fusion.within import WithinHead
from training.cutoffs import CutOff
from training.module import InterestModule, to_device
from training.texts import TextSimilarity

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Encoded:
    """A cut-off's nodes and, by step, the children's vectors, of shape (children, dim), and constant scores."""

    nodes: Nodes
    vectors: list[Tensor]
    constant: list[FloatArray]


@dataclass(frozen=True)
class Candidates:
    """The best items of some users at a step below the interest level, and what is known of them.

    Attributes:
        items: positions, shape (b, n).
        log_p: before the re-ranking, shape (b, n), float32; −inf where a user has fewer.
        evidence: shape (b, n, features), float32; named by `training.cutoffs.rerank_names`.
    """

    items: IntArray
    log_p: FloatArray
    evidence: FloatArray

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """One after the other."""
        names = ("items", "log_p", "evidence")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


class CrossAisleScorer(Scorer):
    """Scores of the trained model: log p(category), + log p(type | category), + log p(product | type).

    At each level below the interest level the best candidates are ranked again (`fusion.rerank`).

    Args:
        module: the trained module; put in evaluation mode.
        cutoff: with the evidence of all levels.
        chunk: products encoded at a time.
        reranks: whether candidates are ranked again, where the run has heads for that.
    """

    name = "crossaisle"

    def __init__(self, module: InterestModule, cutoff: CutOff, chunk: int = 20_000, reranks: bool = True) -> None:
        self.module, self.cutoff, self.chunk, self.reranks = module, cutoff, chunk, reranks
        self.step = -1
        self._encoded: _Encoded | None = None
        self._alike: dict[int, TextSimilarity] = {}
        self._siblings = cache(lambda step: _Siblings(cutoff.chain.parents[step]))

    def fit(self, problem: Problem) -> Self:
        """Choose the level; the model is trained already.

        Raises:
            ValueError: the problem's cut-off is another one.
        """
        if problem.cutoff != self.cutoff.time:
            raise ValueError(f"the evidence is of cut-off {self.cutoff.time}, not {problem.cutoff}")
        if problem.level is problem.dataset.catalogue.interest:
            return self.at_interest()
        self.step = [level is problem.level for level in self.cutoff.chain.levels].index(True)
        return self

    def at_interest(self) -> Self:
        """Score the interest level, as after ``fit`` with its problem."""
        self.step = -1
        return self

    @torch.inference_mode()
    def encode(self) -> _Encoded:
        """Encode all nodes, once; products only when their level is asked for."""
        if self._encoded is None or len(self._encoded.vectors) <= self.step:
            self.module.eval()
            nodes = self.module.nodes(self.cutoff)
            vectors, constant = [], []
            for step in range(self.step + 1):
                label = self.module.model.shape.steps[step].label
                vectors.append(self._leaves(nodes) if self._is_leaf(step) else nodes.vectors[label])
                items = torch.from_numpy(self.cutoff.steps[step].items).to(self.module.device)
                constant.append(self._head(step).of_item(items).cpu().numpy())
            self._encoded = _Encoded(nodes, vectors, constant)
        return self._encoded

    def vectors(self) -> FloatArray:
        """Fused vectors of the level's items, shape (items, dim)."""
        encoded = self.encode()
        found = encoded.nodes.vectors[self.module.model.shape.interest] if self.step < 0 else encoded.vectors[self.step]
        return found.float().cpu().numpy()

    def _is_leaf(self, step: int) -> bool:
        return step == len(self.module.model.shape.steps) - 1

    def _head(self, step: int) -> WithinHead:
        head = self.module.model.within[f"within_{self.module.model.shape.steps[step].label}"]
        assert isinstance(head, WithinHead)
        return head

    def _leaves(self, nodes: Nodes) -> Tensor:
        first, last = self.module.plan.spans[self.module.plan.leaf]
        out = []
        for start in range(first, last, self.chunk):
            positions = torch.arange(start, min(start + self.chunk, last))
            neighbours = self.cutoff.graph.rows((positions - first).numpy())
            moved = {edge: matrix.to(self.module.device) for edge, matrix in neighbours.items()}
            texts = self.module.bank.embed(positions)
            out.append(self.module.model.leaves(nodes, moved, texts, positions - first)[0])
        return torch.cat(out)

    @torch.inference_mode()
    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """Log-probabilities of the level's items, shape (b, items); −inf in categories bought from before."""
        return self.score_among(history, rows, unseen_categories(history, self.cutoff.interest.level))

    @torch.inference_mode()
    def score_among(self, history: Log, rows: IntArray, allowed: npt.NDArray[np.bool_]) -> FloatArray:
        """Log-probabilities among the allowed categories of each user, shape (b, categories), and what is in them."""
        scores, candidates = self._descend(history, rows, allowed)
        return self._reranked(self.step, scores, candidates)

    @torch.inference_mode()
    def before_and_after(self, history: Log, rows: IntArray) -> tuple[FloatArray, FloatArray]:
        """`score` without the level's own re-ranking (those above it are done), and with it, each (b, items)."""
        before, found = self._descend(history, rows, unseen_categories(history, self.cutoff.interest.level))
        return before, self._reranked(self.step, before.copy(), found)

    def candidates(self, history: Log, rows: IntArray) -> Candidates:
        """The candidates of the fitted level, as its own re-ranking finds them.

        Raises:
            ValueError: the level has no re-ranking.
        """
        _, found = self._descend(history, rows, unseen_categories(history, self.cutoff.interest.level))
        if found is None:
            raise ValueError("this level has no re-ranking")
        return found

    @torch.inference_mode()
    def _descend(
        self, history: Log, rows: IntArray, allowed: npt.NDArray[np.bool_]
    ) -> tuple[FloatArray, Candidates | None]:
        """Scores and candidates of the fitted level, before its own re-ranking but after those above."""
        parts, users = self.parts(history, rows)
        scores = log_softmax(np.sum(list(parts.values()), axis=0), allowed)
        encoded, found = self.encode(), None
        for step in range(self.step + 1):
            scores = self._reranked(step - 1, scores, found)
            within, pairs = self._within(step, history, users, encoded)
            parent = self.cutoff.chain.parents[step]
            scores = np.where(parent >= 0, scores[:, np.maximum(parent, 0)], -np.inf) + within
            found = self._candidates(step, history, rows, scores, [within, *pairs])
        return np.asarray(scores, dtype=np.float32), found

    def _rerank_head(self, step: int) -> RerankHead | None:
        name = f"rerank_{self.module.model.shape.steps[step].label}"
        if name not in self.module.model.rerank or not self.reranks:
            return None
        head = self.module.model.rerank[name]
        assert isinstance(head, RerankHead)
        return head if head.kept else None

    def _candidates(
        self, step: int, history: Log, rows: IntArray, scores: FloatArray, columns: list[FloatArray]
    ) -> Candidates | None:
        """The best of each row of scores, shape (b, items), with the columns' values there and all other evidence."""
        if self._rerank_head(step) is None:
            return None
        n = min(self.module.model.config.rerank.candidates, scores.shape[1])
        items = np.argpartition(-scores, n - 1, axis=1)[:, :n]
        within, *pairs = (np.take_along_axis(column, items, axis=1)[..., None] for column in columns)
        of_item = self.cutoff.steps[step].items[items]
        dear = self.cutoff.candidates(step).of(history, rows, items)
        log_p = np.take_along_axis(scores, items, axis=1)
        texts = [self._texts(step).of(history.counts(self.cutoff.steps[step].of_product), items)] * self._reads_texts
        return Candidates(items, log_p, np.concatenate([within, of_item, *pairs, dear, *texts], axis=2))

    @property
    def _reads_texts(self) -> bool:
        return "text" in self.module.model.config.modalities

    def _texts(self, step: int) -> TextSimilarity:
        if step not in self._alike:
            label = self.module.model.shape.steps[step].label
            self._alike[step] = TextSimilarity(self.module.bank, self.module.plan.positions(label))
        return self._alike[step]

    def _reranked(self, step: int, scores: FloatArray, candidates: Candidates | None) -> FloatArray:
        """Scores of shape (b, items) with the candidates' own ones in their places."""
        if candidates is None:
            return scores
        head, device = self._rerank_head(step), self.module.device
        assert head is not None
        log_p, evidence = (torch.from_numpy(part).to(device) for part in (candidates.log_p, candidates.evidence))
        np.put_along_axis(scores, candidates.items, head(log_p, evidence).float().cpu().numpy(), axis=1)
        return scores

    @torch.inference_mode()
    def parts(self, history: Log, rows: IntArray) -> tuple[dict[str, FloatArray], Tensor]:
        """Parts of the interest score, each of shape (b, categories), and the users' vectors, shape (b, dim)."""
        encoded = self.encode()
        evidence = to_device(self.cutoff.evidence(history, rows), self.module.device)
        users, _ = self.module.model.users(encoded.nodes, evidence)
        parts = self.module.model.interest(encoded.nodes, users, evidence)
        return {name: part.float().cpu().numpy() for name, part in parts.items()}, users

    def _within(self, step: int, history: Log, users: Tensor, encoded: _Encoded) -> tuple[FloatArray, list[FloatArray]]:
        """log p(child | parent) of all children, and the evidence of each kind, each of shape (b, children)."""
        head, evidence = self._head(step), self.cutoff.steps[step]
        scores = (head.of_user(users) @ encoded.vectors[step].T).float().cpu().numpy()
        scores += encoded.constant[step]
        weight, mean, scale = (
            tensor.detach().cpu().numpy()
            for tensor in (head.pair.weight[0], head.pair_scale.mean, head.pair_scale.scale)
        )
        pairs = evidence.pairs(history)
        for i, pair in enumerate(pairs):
            scores += weight[i] * np.clip((pair - mean[i]) * scale[i], -6, 6)
        return self._siblings(step).log_share(scores), pairs


def log_softmax(scores: FloatArray, allowed: npt.NDArray[np.bool_]) -> FloatArray:
    """Log-softmax over the allowed columns of each row; −inf elsewhere."""
    masked = np.where(allowed, scores, -np.inf)
    top = masked.max(axis=1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    total = np.exp(masked - top).sum(axis=1, keepdims=True)
    return np.asarray(masked - top - np.log(np.maximum(total, 1e-30)), dtype=np.float32)


class _Siblings:
    """Children grouped by parent.

    Args:
        parent: each child's parent, −1 for none, shape (children,).
    """

    def __init__(self, parent: IntArray) -> None:
        order = np.argsort(parent, kind="stable")
        self.known = order[parent[order] >= 0]
        self.starts = np.flatnonzero(np.diff(parent[self.known], prepend=-1))
        self.sizes = np.diff(np.append(self.starts, len(self.known)))

    def log_share(self, scores: FloatArray) -> FloatArray:
        """Log-softmax among siblings along the last axis; columns without a parent are left as they are."""
        if not len(self.known):
            return scores
        grouped = scores[:, self.known]
        grouped -= np.repeat(np.maximum.reduceat(grouped, self.starts, axis=1), self.sizes, axis=1)
        total = np.add.reduceat(np.exp(grouped), self.starts, axis=1)
        grouped -= np.repeat(np.log(total), self.sizes, axis=1)
        out = scores.copy()
        out[:, self.known] = grouped
        return out
