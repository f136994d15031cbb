"""All that the model is given at one cut-off, and nothing from after it (targets apart)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data.catalogue import Level
from data.dataset import Dataset
from data.log import Log
from data.splits import Targets, targets
from errors import InputError
from evidence.candidates import CandidateEvidence
from evidence.config import CandidateConfig, EvidenceConfig, WithinConfig
from evidence.interest import InterestEvidence
from evidence.within import WithinEvidence
from fusion.model import Evidence
from training.choices import Choices, list_choices
from training.config import ExamplesConfig
from training.graphs import ModelGraph
from training.texts import NAMES as TEXT_NAMES

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Chain:
    """The levels from the interest level down to products.

    Attributes:
        levels: the children's level of each step; None for products.
        parents: for each step each child's parent, −1 for none.
    """

    levels: list[Level | None]
    parents: list[IntArray]

    @classmethod
    def of(cls, dataset: Dataset) -> Chain:
        """The steps: interest level → level below (where there is one) → products."""
        catalogue = dataset.catalogue
        below = catalogue.below
        if below is None:
            return cls([None], [catalogue.interest.primary])
        return cls([below, None], [catalogue.first_above(below, catalogue.interest), below.primary])


class CutOff:
    """Evidence, graph and (for training) examples at one cut-off.

    Args:
        dataset: the shop's data.
        chain: levels from the interest level down.
        cutoff: moment of prediction.
        graph: as known at the cut-off.
        evidence: what is counted at the interest level.
        within: what is counted below it.
        candidates: what is counted for the candidates of a re-ranking, once it is asked for.
    """

    def __init__(
        self,
        dataset: Dataset,
        chain: Chain,
        cutoff: int,
        graph: ModelGraph,
        evidence: EvidenceConfig,
        within: WithinConfig,
        candidates: CandidateConfig,
    ) -> None:
        catalogue = dataset.catalogue
        self.dataset, self.chain, self.time, self.graph = dataset, chain, cutoff, graph
        self.history = dataset.log.before(cutoff)
        self.interest = InterestEvidence(dataset, catalogue.interest, catalogue.above, cutoff, evidence)
        self.items = torch.from_numpy(self.interest.items)
        self.profiles = torch.from_numpy(self.interest.profiles())
        self._known: dict[bytes, Evidence] | None = None
        self._counting = evidence, candidates
        self._candidates: dict[int, CandidateEvidence] = {}
        self.steps: list[WithinEvidence] = [
            WithinEvidence(dataset, level, parent, cutoff, evidence, within)
            for level, parent in zip(chain.levels, chain.parents, strict=True)
        ]

    def candidates(self, step: int) -> CandidateEvidence:
        """Evidence on the candidates of a step, fitted when first asked for, of what is fitted already."""
        if step not in self._candidates:
            asked = self.dataset, self.chain.levels[step], self.time, *self._counting
            solved = self.steps[step].ease if self.steps else {}
            self._candidates[step] = CandidateEvidence(*asked, self.interest.shoppers, solved)
        return self._candidates[step]

    def remember(self) -> None:
        """Keep what `evidence` makes for users of the population, for a cut-off that is asked again and again."""
        self._known = {}

    def evidence(self, history: Log, rows: IntArray) -> Evidence:
        """What the interest head is given for users with these histories.

        Args:
            history: the users' interactions before the cut-off, users numbered 0 … b − 1.
            rows: their rows in the population, −1 for strangers.
        """
        key = rows.tobytes()
        if self._known is not None and key in self._known:
            return self._known[key]
        made = self._evidence(history, rows)
        if self._known is not None and (rows >= 0).all():
            self._known[key] = made
        return made

    def _evidence(self, history: Log, rows: IntArray) -> Evidence:
        bought, purchases, mask = self.interest.purchases(history)
        pairs = self.interest.pairs(history, rows)
        figures = self.interest.users(history)
        return Evidence(
            torch.from_numpy(pairs),
            self.items,
            torch.from_numpy(figures),
            torch.from_numpy(bought),
            torch.from_numpy(purchases),
            torch.from_numpy(mask),
        )


def rerank_names(cutoff: CutOff, step: int, with_text: bool) -> list[str]:
    """Names of the evidence that the re-ranking is given of a candidate at a step."""
    within, texts = cutoff.steps[step], TEXT_NAMES if with_text else []
    return ["within", *within.item_names, *within.pair_names, *cutoff.candidates(step).names, *texts]


class Examples:
    """A cut-off's training examples: users with targets, what they took up, and their choices further down.

    Unless it is kept, the evidence below the interest level is let go once the choices are listed.

    Args:
        cutoff: with the evidence of all levels.
        horizon: of the targets.
        config: how many are listed.
        room: bytes that the kept per-pair evidence may take; beyond it the evidence is made anew for each batch.
        rng: source of the samples.
        keep: whether candidates will be asked for.

    Raises:
        InputError: nobody has a target, so that there is nothing to learn and no scale to take.
    """

    def __init__(
        self,
        cutoff: CutOff,
        horizon: int,
        config: ExamplesConfig,
        room: int,
        rng: np.random.Generator,
        keep: bool = False,
    ) -> None:
        dataset = cutoff.dataset
        self.cutoff = cutoff
        found: Targets = targets(dataset, dataset.catalogue.interest, cutoff.time, horizon)
        self.users = found.users
        if not len(self.users):
            raise InputError(
                f"nobody buys from a new category in the {horizon} periods from training cut-off {cutoff.time}",
                where="protocol",
                remedy="Leave this cut-off out, or give a longer horizon.",
            )
        self.unseen, self.hits = found.unseen, found.hits
        self.choices = [self._list(cutoff, step, horizon, config, rng) for step in range(len(cutoff.steps))]
        cutoff.steps = cutoff.steps if keep else []
        own = cutoff.history.of_users(self.users)
        self._purchases, self.figures = cutoff.interest.purchases(own), cutoff.interest.users(own)
        size = 4 * len(self.users) * len(cutoff.interest.level) * len(cutoff.interest.pair_names)
        self._pairs = self._all_pairs() if size <= room else None

    @property
    def pair_bytes(self) -> int:
        """Memory that the kept per-pair evidence takes."""
        return 0 if self._pairs is None else self._pairs.nbytes

    def forget_pairs(self) -> None:
        """Let the kept per-pair evidence go; where it is asked for again it is made anew."""
        self._pairs = None

    def _list(
        self, cutoff: CutOff, step: int, horizon: int, config: ExamplesConfig, rng: np.random.Generator
    ) -> Choices:
        found = targets(cutoff.dataset, cutoff.chain.levels[step], cutoff.time, horizon)
        most = config.users_per_cutoff[min(step, len(config.users_per_cutoff) - 1)]
        if step == len(cutoff.steps) - 1:
            most = config.users_per_cutoff[-1]
        users = np.sort(rng.permutation(found.users)[:most])
        return list_choices(cutoff.steps[step], cutoff.history, found.hits, users, config.max_siblings, rng)

    def _all_pairs(self) -> npt.NDArray[np.float32]:
        """Per-pair evidence of the users with targets, in their order."""
        parts = [self._fresh_pairs(rows) for rows in np.array_split(self.users, max(1, len(self.users) // 128))]
        return np.concatenate(parts)

    def _fresh_pairs(self, rows: IntArray) -> npt.NDArray[np.float32]:
        return self.cutoff.interest.pairs(self.cutoff.history.of_users(rows), rows)

    def evidence(self, places: IntArray) -> Evidence:
        """Evidence of some of the users with targets, by their places in ``users``."""
        bought, purchases, mask = (array[places] for array in self._purchases)
        longest = max(1, int(mask.sum(axis=1).max(initial=0)))
        pairs = self._fresh_pairs(self.users[places]) if self._pairs is None else self._pairs[places]
        return Evidence(
            torch.from_numpy(pairs),
            self.cutoff.items,
            torch.from_numpy(self.figures[places]),
            torch.from_numpy(bought[:, :longest]),
            torch.from_numpy(purchases[:, :longest]),
            torch.from_numpy(mask[:, :longest]),
        )

    def unseen_pairs(self, most: int, rng: np.random.Generator) -> Tensor:
        """A sample of the per-pair evidence of unseen pairs, for standardisation, shape (n, width)."""
        places = np.sort(rng.permutation(len(self.users))[:most])
        pairs = self.evidence(places).pairs
        return pairs[torch.from_numpy(self.unseen[self.users[places]])]
