"""Settings of the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from encoders.config import GraphConfig, HistoryConfig
from errors import InputError

Modality = Literal["graph", "text", "collaborative"]


@dataclass
class FusionConfig:
    """The attention that joins modalities.

    Attributes:
        modality_dropout: probability of hiding a modality of a node in a training step (never all of them).
        temperature: divides the attention's logits.
    """

    modality_dropout: float = 0.1
    temperature: float = 1.0


@dataclass
class HeadConfig:
    """The interest head.

    Attributes:
        hidden: widths of the MLP over pair, item and user evidence.
        dropout: dropout inside the MLP and on the normalised user vectors.
        match_scale: factor of the match of user and category vectors; small, so that the match refines what the
            evidence says (validation NDCG@20 on Complete Journey: 1.0 .2957, 0.2 .2969, without a match .2947).
    """

    hidden: tuple[int, int] = (64, 32)
    dropout: float = 0.2
    match_scale: float = 0.2


@dataclass
class ModelConfig:
    """The model's size and parts.

    Attributes:
        dim: width of all vectors.
        modalities: what the fusion attends over: any of ``graph``, ``text`` and ``collaborative`` (a category's
            co-occurrence with all categories). Without the last one by default: the same co-occurrence is in the
            per-pair evidence, and validation on Complete Journey was no better with it (.2954 against .2969).
        graph: the graph encoder.
        history: the history encoder.
        fusion: the attention over modalities.
        head: the interest head.
        within_weight: weight of the losses of the levels below the interest level.
        dropout: dropout on node and user vectors.
    """

    dim: int = 48
    modalities: list[Modality] = field(default_factory=lambda: ["graph", "text"])
    graph: GraphConfig = field(default_factory=GraphConfig)
    history: HistoryConfig = field(default_factory=HistoryConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    within_weight: float = 1.0
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise InputError(f"{self.dim} is too few", where="model.dim", remedy="Give 1 or more.")
        if not self.modalities:
            raise InputError("no modality is left", where="model.modalities", remedy="Give graph, text or both.")
        if not 0 <= self.dropout < 1:
            raise InputError(f"{self.dropout} is no share", where="model.dropout", remedy="Give 0 <= dropout < 1.")
