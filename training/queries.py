"""Tuning the text encoder for queries: from pairs of a query and the products that answer it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor

from console import track
from encoders.text import TextEncoder
from encoders.text_config import TextConfig
from encoders.text_split import Activations
from encoders.text_tokens import Ragged
from errors import InputError
from evaluation import metrics
from evaluation.ranking import rank_batch, tie_order
from files import atomic, write_json
from fusion.losses import in_batch_softmax
from training.query_config import QueryConfig
from training.query_pairs import Queries, Shelf
from training.saved import built, read_facts, read_tensors

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
FORMAT = 1
FACTS, WEIGHTS = "queries.json", "queries.safetensors"
RATES = {"lora": 5e-4, "top": 1e-4, "full": 2e-5}
CHOSEN_BY = 10


@dataclass(frozen=True)
class Tuned:
    """An encoder tuned for queries.

    Attributes:
        encoder: with the weights of the best epoch.
        epochs: NDCG@10 on validation before the first epoch and after each.
        kept: the best epoch; 0: untuned.
        seconds: of the tuning, validation included.
    """

    encoder: TextEncoder
    epochs: list[float]
    kept: int
    seconds: float


def tune(config: QueryConfig, shelf: Shelf, train: Queries, validation: Queries) -> Tuned:
    """Tune with in-batch negatives (`fusion.losses.in_batch_softmax`); validation chooses the epoch.

    Queries and products are read by one encoder. Queries of the same words are trained on as one. What lies below the
    lowest tuned layer is computed once for each text.

    Args:
        config: settings.
        shelf: the products.
        train: what is learnt from.
        validation: what the epoch is chosen by.

    Raises:
        InputError: the language model cannot be loaded or tuned so.
    """
    begin = perf_counter()
    torch.manual_seed(config.seed)
    encoder = TextEncoder(config.text)
    steps = _Steps(config, encoder, shelf, train.merged(), validation)
    figures, best, kept = [steps.judge()], encoder.trainable_state(), 0
    for epoch in range(1, config.epochs + 1 if encoder.tunable else 1):
        steps.epoch(epoch)
        figures.append(steps.judge())
        if figures[-1] > figures[kept]:
            best, kept = encoder.trainable_state(), epoch
    encoder.load_trainable_state(best)
    return Tuned(encoder, figures, kept, perf_counter() - begin)


class _Steps:
    """The texts of a tuning, its optimiser and its epochs."""

    def __init__(
        self, config: QueryConfig, encoder: TextEncoder, shelf: Shelf, train: Queries, validation: Queries
    ) -> None:
        self.config, self.encoder, self.train, self.validation = config, encoder, train, validation
        self.tokens: Ragged = encoder.tokenize([*shelf.texts, *train.texts, *validation.texts])
        self.below: Activations | None = encoder.activations(self.tokens)
        self.products = torch.arange(len(shelf))
        self.asked = torch.arange(len(train)) + len(shelf)
        self.judged = torch.arange(len(validation)) + len(shelf) + len(train)
        self.ties = tie_order(shelf.ids)
        self.rng = np.random.default_rng(config.seed)
        tuned = [p for p in encoder.parameters() if p.requires_grad]
        rate = config.learning_rate or RATES.get(config.text.strategy, 0)
        self.optimiser = torch.optim.AdamW(tuned, rate, weight_decay=0.01) if tuned else None

    def epoch(self, number: int) -> None:
        """One pass over the training queries."""
        assert self.optimiser is not None
        self.encoder.train()
        for rows in track(list(self._batches()), f"epoch {number}"):
            loss = self._loss(rows)
            self.optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.optimiser.param_groups[0]["params"], 1.0)
            self.optimiser.step()

    def judge(self) -> float:
        """NDCG@10 on validation."""
        products = self.encoder.encode(self.tokens, True, self.products, self.below)
        queries = self.encoder.encode(self.tokens, False, self.judged, self.below)
        scores = (queries @ products.T).cpu().numpy()
        found, _ = rank_batch(scores, CHOSEN_BY, self.ties)
        relevant = self.validation.relevant
        hits = metrics.hits(found, relevant)
        return float(np.nanmean(metrics.ndcg(hits, metrics.n_targets(relevant), CHOSEN_BY)))

    def _batches(self) -> Iterator[IntArray]:
        order = self.rng.permutation(len(self.train))
        size = self.config.batch_size
        return (order[at : at + size] for at in range(0, len(order), size))

    def _loss(self, rows: IntArray) -> Tensor:
        drawn = [self._products(row) for row in rows]
        products = np.unique(np.concatenate(drawn))
        own = self.train.relevant[rows][:, products].toarray() > 0
        queries = self.encoder(self.tokens, self.asked[torch.from_numpy(rows)], self.below)
        documents = self.encoder(self.tokens, torch.from_numpy(products), self.below)
        mask = torch.from_numpy(own).to(queries.device)
        return in_batch_softmax(queries, documents, mask, self.config.temperature)

    def _products(self, row: int) -> IntArray:
        first, last = self.train.relevant.indptr[row : row + 2]
        own = self.train.relevant.indices[first:last].astype(np.int64)
        return self.rng.permutation(own)[: self.config.per_query]


def save_queries(folder: Path, config: QueryConfig, tuned: Tuned, facts: dict[str, Any]) -> None:
    """Write the tuned weights (``queries.safetensors``) and what they belong to (``queries.json``).

    Args:
        folder: is made where it is not there.
        config: of the tuning.
        tuned: its outcome.
        facts: what else a reader shall know, JSON-ready.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.contiguous() for name, value in tuned.encoder.trainable_state().items()}
    with atomic(folder / WEIGHTS) as temporary:
        save_file(state, temporary)
    described = {
        "format": FORMAT,
        "text": vars(config.text),
        "temperature": config.temperature,
        "text_fingerprint": tuned.encoder.fingerprint(),
        "validation": {"ndcg@10": tuned.epochs, "kept": tuned.kept},
    }
    write_json(folder / FACTS, described | facts)


def load_queries(folder: Path) -> tuple[TextEncoder, float]:
    """The encoder of `save_queries`, and its temperature.

    Raises:
        InputError: the folder holds no tuned weights of this version, or the language model is another one.
    """
    facts = read_facts(folder / FACTS, "tuning of queries", FORMAT)
    encoder = TextEncoder(built(TextConfig, facts["text"]))
    if encoder.tunable:
        encoder.load_trainable_state(read_tensors(folder / WEIGHTS))
    if encoder.fingerprint() != facts["text_fingerprint"]:
        remedy = "Give the language model that was tuned, or tune again."
        raise InputError("the language model is not the one that was tuned", where=str(folder), remedy=remedy)
    return encoder, float(facts["temperature"])
