"""Training of the re-ranking: heads that rank each user's best candidates again, level by level from the top."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from console import track
from data.dataset import Dataset
from data.splits import Targets, blocked, targets
from evaluation.evaluate import evaluate
from evaluation.ranking import Rankings, batches
from evaluation.scorer import Problem
from fusion.rerank import RerankHead, rerank_loss
from training.config import TrainConfig
from training.cutoffs import CutOff
from training.module import InterestModule
from training.scorer import Candidates, CrossAisleScorer

IntArray = npt.NDArray[np.int64]

LEARNING_RATE, WEIGHT_DECAY, BATCH = 5e-3, 0.05, 128
K = 20


@dataclass(frozen=True)
class RerankResult:
    """What became of one level's re-ranking.

    Attributes:
        before: validation NDCG@20 without it.
        after: with it, by epoch; empty where nobody's candidates held a target.
        epochs: that it is trained; 0: it is not kept.
    """

    before: float
    after: list[float]
    epochs: int


@dataclass(frozen=True)
class _Listed:
    """Candidates of users some of whose targets are among them.

    Attributes:
        log_p: shape (n, candidates).
        evidence: shape (n, candidates, features).
        bought: shape (n, candidates), bool.
    """

    log_p: Tensor
    evidence: Tensor
    bought: Tensor


class Reranking:
    """Fits the heads of a module, whose other weights stay as they are.

    Args:
        config: the run's.
        dataset: the shop's data.
        module: with its heads as they begin.
    """

    def __init__(self, config: TrainConfig, dataset: Dataset, module: InterestModule) -> None:
        self.config, self.dataset, self.module = config, dataset, module.eval()

    def choose(self, cutoffs: Sequence[CutOff], validation: CutOff) -> dict[str, RerankResult]:
        """Fit on training cut-offs; the validation cut-off tells for how long, or that a head is not kept.

        Returns:
            By label of the level.
        """
        found = {}
        for step, label in self._steps(validation):
            listed = self._list(step, cutoffs)
            judge = _Judge(self, step, validation)
            before = best = judge()
            after: list[float] = []
            state: dict[str, Tensor] | None = None
            for _ in self._epochs(step, listed, self.config.optimiser.rerank_epochs):
                after.append(judge())
                if after[-1] > best:
                    best, state = after[-1], _copy(self.head(step))
            if state is not None:
                self.head(step).load_state_dict(state)
            self.head(step).kept.fill_(state is not None)
            epochs = 0 if state is None else int(np.argmax(after)) + 1
            found[label] = RerankResult(before, after, epochs)
        return found

    def fit(self, cutoffs: Sequence[CutOff], epochs: dict[str, int]) -> None:
        """Fit on other cut-offs, each level for so many epochs.

        Args:
            cutoffs: with their evidence below the interest level.
            epochs: by label of the level.
        """
        for step, label in self._steps(cutoffs[-1]):
            self.head(step).kept.fill_(epochs[label] > 0)
            if epochs[label]:
                deque(self._epochs(step, self._list(step, cutoffs), epochs[label]), maxlen=0)

    def _steps(self, cutoff: CutOff) -> list[tuple[int, str]]:
        labels = [step.label for step in self.module.model.shape.steps]
        told = track(list(enumerate(labels)), "re-ranking")
        return [(step, label) for step, label in told if f"rerank_{label}" in self.module.model.rerank]

    def head(self, step: int) -> RerankHead:
        """The head of a step."""
        head = self.module.model.rerank[f"rerank_{self.module.model.shape.steps[step].label}"]
        assert isinstance(head, RerankHead)
        return head

    # -- candidates --------------------------------------------------------------------------------------

    def some_users(self, step: int, cutoff: CutOff) -> tuple[Problem, Targets, IntArray]:
        """A step's problem and targets at a cut-off, and a sample of the users with targets."""
        problem = Problem(self.dataset, cutoff.chain.levels[step], cutoff.time)
        found = targets(self.dataset, problem.level, cutoff.time, self.config.protocol.horizon)
        sizes = self.config.examples.rerank_users
        most = sizes[-1 if problem.level is None else min(step, len(sizes) - 1)]
        rng = np.random.default_rng([self.config.seed, cutoff.time, step])
        return problem, found, np.sort(rng.permutation(found.users)[:most])

    def candidates(self, step: int, cutoff: CutOff) -> tuple[Candidates, Targets, IntArray]:
        """Candidates of some users with targets; what sits in a category of theirs is none."""
        problem, found, users = self.some_users(step, cutoff)
        scorer = CrossAisleScorer(self.module, cutoff).fit(problem)
        parts = []
        for rows in batches(users, None, len(problem)):
            part = scorer.candidates(problem.history.of_users(rows), rows)
            closed = blocked(found.unseen[rows], problem.membership)
            part.log_p[np.take_along_axis(closed, part.items, axis=1)] = -np.inf
            parts.append(part)
        return Candidates.concatenate(parts), found, users

    def _list(self, step: int, cutoffs: Sequence[CutOff]) -> _Listed:
        """Training candidates of all cut-offs; the head takes the scale of its inputs from them."""
        listed = []
        for cutoff in cutoffs:
            part, found, users = self.candidates(step, cutoff)
            bought = np.take_along_axis(found.hits[users].toarray() > 0, part.items, axis=1)
            some = (bought & np.isfinite(part.log_p)).any(axis=1)
            listed.append(_Listed(*(torch.from_numpy(a[some]) for a in (part.log_p, part.evidence, bought))))
        scale = [one.evidence.flatten(0, 1) for one in listed if len(one.evidence)]
        if scale:
            self.head(step).scale.fit(scale)
        return _Listed(*(torch.cat([getattr(one, name) for one in listed]) for name in ("log_p", "evidence", "bought")))

    # -- training ----------------------------------------------------------------------------------------

    def _epochs(self, step: int, listed: _Listed, epochs: int) -> Iterator[None]:
        """Train a step's head; comes back after each epoch."""
        head, device = self.head(step), self.module.device
        optimiser = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        generator = torch.Generator().manual_seed(self.config.seed)
        for _ in range(epochs if len(listed.log_p) else 0):
            for places in torch.randperm(len(listed.log_p), generator=generator).split(BATCH):
                parts = (part[places].to(device) for part in (listed.log_p, listed.evidence, listed.bought))
                log_p, evidence, bought = parts
                loss = rerank_loss(head(log_p, evidence), bought)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            yield


class _Judge:
    """Validation NDCG@20 of a step as its head stands; the candidates are found once.

    Args:
        look: whose module is judged.
        step: of the level.
        validation: cut-off.
    """

    def __init__(self, look: Reranking, step: int, validation: CutOff) -> None:
        self.head, self.device = look.head(step), look.module.device
        self.found, self.targets, self.users = look.candidates(step, validation)
        self.n_items = self.targets.hits.shape[1]

    @torch.inference_mode()
    def __call__(self) -> float:
        log_p, evidence = (torch.from_numpy(part).to(self.device) for part in (self.found.log_p, self.found.evidence))
        scores = self.head(log_p, evidence).float().cpu().numpy()
        order = np.argsort(-scores, axis=1, kind="stable")[:, :K]
        items = np.take_along_axis(self.found.items, order, axis=1).astype(np.int32)
        best = np.take_along_axis(scores, order, axis=1)
        rankings = Rankings(self.users, np.where(np.isfinite(best), items, -1), best, self.n_items)
        return float(evaluate(rankings, self.targets, ks=(K,)).summary[f"ndcg@{K}"] or 0.0)


def _copy(head: RerankHead) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in head.state_dict().items()}
