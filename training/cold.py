"""Items that nobody has bought: what the model sees of them, and their scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data.log import Log
from data.splits import unseen_categories
from evaluation.scorer import Problem
from evidence.cold import ColdEvidence
from fusion.cold import ColdHead
from fusion.within import WithinHead
from training import build
from training.config import TrainConfig
from training.cutoffs import Chain, CutOff
from training.module import InterestModule
from training.scorer import CrossAisleScorer, log_softmax
from training.texts import unit_texts

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class ColdView:
    """Some items of a step that nobody has bought, as the model sees them at a cut-off.

    Args:
        module: trained.
        cutoff: with the evidence above the step; nobody bought the items before it.
        chain: all steps.
        step: whose children the items are.
        items: their positions, shape (m,).
        config: the run's.
    """

    def __init__(
        self, module: InterestModule, cutoff: CutOff, chain: Chain, step: int, items: IntArray, config: TrainConfig
    ) -> None:
        self.module, self.chain, self.step, self.items = module, chain, step, items
        self.label = module.model.shape.steps[step].label
        self.scorer = CrossAisleScorer(module, cutoff, reranks=False)
        self._interest = cutoff.dataset.catalogue.interest
        level, parent = chain.levels[step], chain.parents[step]
        texts = unit_texts(module.bank, module.plan.positions(self.label))
        windows, counts = build.evidence_config(config), config.cold.counts
        self.evidence = ColdEvidence(cutoff.dataset, level, parent, cutoff.time, items, texts, windows, counts)
        self._parent = parent[items]
        self._vectors = self._encode()

    @property
    def names(self) -> list[str]:
        """Names of the evidence."""
        return [*self.evidence.item_names, *self.evidence.pair_names, "match"]

    @torch.inference_mode()
    def _encode(self) -> Tensor:
        """Fused vectors of the items, shape (m, dim)."""
        nodes, items = self.scorer.at_interest().encode().nodes, torch.from_numpy(self.items)
        if self.step < len(self.chain.levels) - 1:
            return nodes.vectors[self.label][items]
        neighbours = self.scorer.cutoff.graph.rows(self.items)
        moved = {edge: matrix.to(self.module.device) for edge, matrix in neighbours.items()}
        texts = self.module.bank.embed(items + self.module.plan.spans[self.label][0])
        return self.module.model.leaves(nodes, moved, texts, items)[0]

    @torch.inference_mode()
    def of(self, history: Log, rows: IntArray, allowed: Mask | None = None) -> tuple[FloatArray, FloatArray]:
        """What the head is given.

        Args:
            history: the users' interactions before the cut-off, users numbered 0 … b − 1.
            rows: their rows in the population, −1 for strangers.
            allowed: categories that may be recommended, shape (b, categories); default: those never bought from.

        Returns:
            Log-probabilities of the items' parents before any re-ranking, −∞ where there is none or its category is
            not allowed, shape (b, m), and evidence, shape (b, m, len(names)).
        """
        parts, users = self.scorer.at_interest().parts(history, rows)
        allowed = unseen_categories(history, self._interest) if allowed is None else allowed
        if self.step == 0:
            above = log_softmax(np.sum(list(parts.values()), axis=0), allowed)
        else:
            level, cutoff = self.chain.levels[self.step - 1], self.scorer.cutoff
            above = self.scorer.fit(Problem(cutoff.dataset, level, cutoff.time)).score_among(history, rows, allowed)
        log_p = np.where(self._parent >= 0, above[:, np.maximum(self._parent, 0)], -np.inf)
        head = self.module.model.within[f"within_{self.label}"]
        assert isinstance(head, WithinHead)
        match = (head.of_user(users) @ self._vectors.T).float().cpu().numpy()
        of_items = np.broadcast_to(self.evidence.of_items, (len(rows), *self.evidence.of_items.shape))
        found = np.concatenate([of_items, self.evidence.pairs(history), match[..., None]], axis=2)
        return np.asarray(log_p, dtype=np.float32), found


class ColdScorer:
    """Log-probabilities of items that nobody has bought, comparable with those of `CrossAisleScorer` for sold ones.

    Args:
        view: of the items.
        head: of their level.
    """

    def __init__(self, view: ColdView, head: ColdHead) -> None:
        self.view, self.head = view, head.eval()

    @torch.inference_mode()
    def score(self, history: Log, rows: IntArray, allowed: Mask | None = None) -> FloatArray:
        """Shape (b, m); arguments as of `ColdView.of`."""
        parent, evidence = self.view.of(history, rows, allowed)
        found: Tensor = self.head(torch.from_numpy(parent), torch.from_numpy(evidence))
        return found.numpy()
