"""Settings of the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from encoders.config import GraphConfig, HistoryConfig
from errors import InputError

Modality = Literal["graph", "text", "collaborative", "id"]

FusionKind = Literal["attention", "concatenation", "gating"]


@dataclass
class FusionConfig:
    """How modalities are joined.

    Attributes:
        kind: ``attention`` (one weight per modality and node), ``gating`` (one per modality, node and feature) or
            ``concatenation`` (a linear map of all modalities side by side); formulas in `fusion.attention` and
            `fusion.joining`.
        modality_dropout: probability of hiding a modality of a node in a training step (never all of them).
        temperature: divides the attention's logits; the other kinds have none.
    """

    kind: FusionKind = "attention"
    modality_dropout: float = 0.1
    temperature: float = 1.0


@dataclass
class HeadConfig:
    """The interest head.

    Attributes:
        hidden: widths of the MLP over pair, item and user evidence.
        dropout: dropout inside the MLP and on the normalised user vectors.
        match_scale: factor of the match of user and category vectors; small, so that the match refines what the
            evidence says (validation NDCG@20 on Complete Journey, one seed: 0.2 .2944, 0.05 .2969, without .2972).
    """

    hidden: tuple[int, int] = (64, 32)
    dropout: float = 0.2
    match_scale: float = 0.05


@dataclass
class RerankConfig:
    """The re-ranking of a user's best candidates below the interest level.

    Attributes:
        candidates: how many of each user; 0: no re-ranking.
        hidden: width of the MLP over their evidence.
    """

    candidates: int = 300
    hidden: int = 32


@dataclass
class ModelConfig:
    """The model's size and parts.

    Attributes:
        dim: width of all vectors.
        modalities: what the fusion joins: any of ``graph``, ``text``, ``collaborative`` (a category's co-occurrence
            with all categories) and ``id`` (a vector of its own for each node, learnt from nothing but its purchases).
            Without ``collaborative`` by default: the same co-occurrence is in the per-pair evidence, and validation
            on Complete Journey was no better with it (.2954 against .2969). Without ``id`` by default: it says nothing
            of a node that training has not met.
        graph: the graph encoder.
        history: the history encoder.
        fusion: how modalities are joined.
        head: the interest head.
        rerank: the re-ranking of the best candidates of the levels below the interest level.
        pair_evidence: whether the heads, at the interest level and below, see the per-pair evidence; without it there
            is no re-ranking either.
        within_weight: weight of the losses of the levels below the interest level.
        dropout: dropout on node and user vectors.
    """

    dim: int = 48
    modalities: list[Modality] = field(default_factory=lambda: ["graph", "text"])
    graph: GraphConfig = field(default_factory=GraphConfig)
    history: HistoryConfig = field(default_factory=HistoryConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    rerank: RerankConfig = field(default_factory=RerankConfig)
    pair_evidence: bool = True
    within_weight: float = 1.0
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise InputError(f"{self.dim} is too few", where="model.dim", remedy="Give 1 or more.")
        if not self.modalities:
            raise InputError("no modality is left", where="model.modalities", remedy="Give graph, text or both.")
        if self.rerank.candidates < 0 or self.rerank.candidates == 1:
            found, remedy = f"{self.rerank.candidates} candidates", "Give 2 or more, or 0 for no re-ranking."
            raise InputError(found, where="model.rerank.candidates", remedy=remedy)
        if not 0 <= self.dropout < 1:
            raise InputError(f"{self.dropout} is no share", where="model.dropout", remedy="Give 0 <= dropout < 1.")
