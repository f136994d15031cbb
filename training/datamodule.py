"""Batches of users at sliding cut-offs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from encoders.graph import EdgeType
from fusion.model import Evidence
from training.choices import Choices
from training.cutoffs import Examples


@dataclass
class StepBatch:
    """Choices of a batch of users at one step below the interest level.

    Attributes:
        user: place of the user in the batch, shape (m,).
        child: place of the child among ``children``, shape (m,).
        children: the distinct children listed, shape (c,).
        segment: choice of each row, shape (m,).
        chosen: True where bought, shape (m,).
        pairs: per-pair evidence, shape (m, kinds).
        offset: sampling correction, shape (m,).
        items: per-child evidence of ``children``, shape (c, features).
        neighbours: of ``children``, for products only.
    """

    user: Tensor
    child: Tensor
    children: Tensor
    segment: Tensor
    chosen: Tensor
    pairs: Tensor
    offset: Tensor
    items: Tensor
    neighbours: dict[EdgeType, Tensor] | None


@dataclass
class Batch:
    """A batch of users at one cut-off.

    Attributes:
        cutoff: number of the cut-off among the training cut-offs.
        evidence: what the interest head is given.
        unseen: candidates, shape (b, categories).
        targets: what was taken up, shape (b, categories).
        steps: choices below the interest level.
    """

    cutoff: int
    evidence: Evidence
    unseen: Tensor
    targets: Tensor
    steps: list[StepBatch]


class Batches(Dataset[Batch]):
    """All batches of one epoch, in an order fixed by seed and epoch.

    Args:
        examples: by cut-off.
        items: per-child evidence by cut-off and step.
        batch_size: users per batch.
        seed: with the epoch, fixes the order.
        epoch: number of the epoch.
    """

    def __init__(
        self, examples: list[Examples], items: list[list[Tensor]], batch_size: int, seed: int, epoch: int
    ) -> None:
        rng = np.random.default_rng([seed, epoch])
        self.examples, self.items = examples, items
        self.plan = [
            (number, np.sort(part))
            for number, one in enumerate(examples)
            if len(one.users)
            for part in np.array_split(rng.permutation(len(one.users)), max(1, round(len(one.users) / batch_size)))
        ]
        rng.shuffle(self.plan)

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> Batch:
        """Batch number ``index`` of the epoch."""
        number, places = self.plan[index]
        examples = self.examples[number]
        rows = examples.users[places]
        steps = [
            self._step(examples, number, step, choices.of_users(rows)) for step, choices in enumerate(examples.choices)
        ]
        return Batch(
            number,
            examples.evidence(places),
            torch.from_numpy(examples.unseen[rows]),
            torch.from_numpy(examples.hits[rows].toarray()),
            steps,
        )

    def _step(self, examples: Examples, number: int, step: int, choices: Choices) -> StepBatch:
        children, place = np.unique(choices.child, return_inverse=True)
        last = step == len(examples.choices) - 1
        return StepBatch(
            user=torch.from_numpy(choices.user),
            child=torch.from_numpy(place.astype(np.int64)),
            children=torch.from_numpy(children),
            segment=torch.from_numpy(choices.segment),
            chosen=torch.from_numpy(choices.chosen),
            pairs=torch.from_numpy(choices.pairs),
            offset=torch.from_numpy(choices.offset),
            items=self.items[number][step][torch.from_numpy(children)],
            neighbours=examples.cutoff.graph.rows(children) if last else None,
        )


class CutOffData(pl.LightningDataModule):
    """Training batches for Lightning; a new order each epoch.

    Args:
        examples: by training cut-off.
        items: per-child evidence by cut-off and step, each of shape (children, features).
        batch_size: users per batch.
        seed: fixes the order of batches.
    """

    def __init__(self, examples: list[Examples], items: list[list[Tensor]], batch_size: int, seed: int) -> None:
        super().__init__()
        self.examples, self.items, self.batch_size, self.seed = examples, items, batch_size, seed

    def train_dataloader(self) -> DataLoader[Batch]:
        """One epoch's batches (the trainer asks anew each epoch)."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        return DataLoader(self.batches(epoch), batch_size=None, shuffle=False)

    def batches(self, epoch: int) -> Batches:
        """The batches of an epoch."""
        return Batches(self.examples, self.items, self.batch_size, self.seed, epoch)
