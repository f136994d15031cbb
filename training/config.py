"""The configuration of the main job: one typed class, every field a flag and a key of the YAML file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from data.config import DataConfig
from data.splits import ProtocolConfig
from encoders.text_config import TextConfig
from errors import InputError
from evidence.config import CandidateConfig, ColdConfig, EvidenceConfig, WithinConfig
from fusion.config import ModelConfig
from kg.config import CoPurchaseConfig, StoreConfig

Accelerator = Literal["auto", "cpu", "gpu", "mps", "tpu"]

Precision = Literal["auto", "32-true", "16-mixed", "bf16-mixed", "bf16-true", "64-true"]

InitPart = Literal["text", "encoders", "heads"]

ColdKind = Literal["pretended", "unsold"]

BaselineName = Literal[
    "popularity",
    "recent_popularity",
    "item_cosine",
    "ease",
    "als",
    "lightgbm",
    "store_popularity",
    "user_knn",
    "user_cf",
    "bpr",
]


@dataclass
class ExamplesConfig:
    """Training examples.

    Attributes:
        max_siblings: siblings not chosen that are listed per choice below the interest level.
        users_per_cutoff: users whose choices are listed, by step below the interest level counted from the top:
            choices among few siblings are cheap to list, among products dear.
        cache_mb: memory for the per-pair evidence of all training cut-offs; beyond it the evidence is computed
            anew for every batch.
        rerank_cutoffs: latest cut-offs whose candidates the re-ranking learns from.
        rerank_users: users at each of them, by step below the interest level counted from the top; as many judge it
            on validation.
    """

    max_siblings: int = 50
    users_per_cutoff: list[int] = field(default_factory=lambda: [800, 250])
    cache_mb: int = 1500
    rerank_cutoffs: int = 3
    rerank_users: list[int] = field(default_factory=lambda: [1500, 500])


@dataclass
class OptimiserConfig:
    """How the model is trained.

    Attributes:
        epochs: most epochs; validation chooses the best of them.
        patience: epochs without a better validation before training stops.
        batch_size: users per step.
        accumulate: steps whose gradients are added up before the weights move.
        lr: peak learning rate of the heads.
        tower_lr: peak learning rate of encoders and fusion.
        text_lr: peak learning rate of the language model's tuned weights.
        text_epochs: epochs of the language model's tuning, from the best model with a frozen one.
        text_drift: weight of the squared distance between tuned and untuned text vectors.
        rerank_epochs: most epochs of the re-ranking's heads; validation chooses the best of them, or none.
        weight_decay: of AdamW, on all weight matrices.
        warmup: share of the steps in which the learning rate rises; then it falls along a cosine.
        clip: largest norm of the gradient.
        precision: of Lightning's Trainer; ``auto`` is mixed bf16 on a GPU, 32 bit on a CPU.
        accelerator: of Lightning's Trainer.
        devices: of Lightning's Trainer.
        threads: CPU threads; 0 is all cores but those that the baselines use meanwhile, and all for the final fit.
    """

    epochs: int = 4
    patience: int = 2
    batch_size: int = 128
    accumulate: int = 1
    lr: float = 3e-3
    tower_lr: float = 3e-3
    text_lr: float = 1e-4
    text_epochs: int = 1
    text_drift: float = 0.1
    rerank_epochs: int = 8
    weight_decay: float = 0.1
    warmup: float = 0.3
    clip: float = 1.0
    precision: Precision = "auto"
    accelerator: Accelerator = "auto"
    devices: str = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        at_least_one = ("epochs", "patience", "batch_size", "accumulate")
        for name in at_least_one:
            if getattr(self, name) < 1:
                raise InputError(
                    f"{getattr(self, name)} is too few", where=f"optimiser.{name}", remedy="Give 1 or more."
                )
        for name in ("lr", "tower_lr", "text_lr", "clip"):
            if not getattr(self, name) > 0:
                raise InputError(
                    f"{getattr(self, name)} is too small", where=f"optimiser.{name}", remedy="Give more than 0."
                )
        if not 0 < self.warmup < 1:
            raise InputError(f"{self.warmup} is no share", where="optimiser.warmup", remedy="Give 0 < warmup < 1.")


@dataclass
class ColdStartConfig:
    """The head for items that nobody has bought.

    Attributes:
        cutoffs: latest training cut-offs that it learns from; 0: a run gets no such head.
        kinds: what it learns from: ``pretended`` (sold items made to look unsold), ``unsold`` (really unsold ones).
        counts: what is counted around them.
        share: of a level's items that are made to look unsold at a time.
        most_items: at most so many.
        users: most users of each such choice that are learnt from.
        hidden: width of the head's MLP; 0: none.
        epochs: of its training.
        batch_size: users per step.
        lr: learning rate.
        weight_decay: of AdamW.
    """

    cutoffs: int = 1
    kinds: list[ColdKind] = field(default_factory=lambda: ["pretended"])
    counts: ColdConfig = field(default_factory=ColdConfig)
    share: float = 0.1
    most_items: int = 600
    users: int = 1000
    hidden: int = 16
    epochs: int = 10
    batch_size: int = 64
    lr: float = 2e-3
    weight_decay: float = 0.05


@dataclass
class BaselineConfig:
    """What the model is compared with.

    Attributes:
        names: the baselines, of ``popularity``, ``recent_popularity``, ``item_cosine``, ``ease``, ``als`` and
            ``lightgbm`` (below the interest level carried down by recent shares), and, not in the default,
            ``store_popularity`` (in the user's stores), ``user_knn`` (what the most similar users bought),
            ``user_cf`` (the same with ratings and mean-centring) and ``bpr``; ``names+=user_knn`` adds one. Those
            that do not fit a level's size are left out there.
        threads: CPU threads of the baselines' process.
    """

    names: list[BaselineName] = field(
        default_factory=lambda: ["popularity", "recent_popularity", "item_cosine", "ease", "als", "lightgbm"]
    )
    threads: int = 1


@dataclass
class GraphConfig:
    """What becomes of the graph after training.

    Attributes:
        write_back: write what was learnt into the graph: vectors of the nodes, `LEADS_TO` between categories.
        keep_old: keep what earlier runs wrote there.
        min_support: fewest users behind a `LEADS_TO`.
        top_k: strongest `LEADS_TO` kept for each category.
    """

    write_back: bool = False
    keep_old: bool = False
    min_support: int = 20
    top_k: int = 15


@dataclass
class TrainConfig:
    """The main job.

    Attributes:
        data: where the purchases come from.
        store: where the knowledge graph is kept.
        copurchase: what `BOUGHT_WITH` counts.
        protocol: cut-offs in time.
        evidence: what is counted at the interest level.
        within: what is counted below the interest level.
        candidates: what is counted for the re-ranking.
        text: the language model.
        model: the model's size and parts.
        cold: the head for items that nobody has bought.
        examples: training examples.
        optimiser: how the model is trained.
        baselines: what the model is compared with.
        kg: what becomes of the graph after training.
        seed: fixes everything that is drawn.
        seeds: several trainings, such as ``0,1,2``, each with one of these as its seed. None: one, with ``seed``.
        init_from: folder of a finished run, of this or another shop, whose weights the training starts from. None: from
            scratch.
        init_parts: what is taken from it, of ``text`` (the language model's tuned weights), ``encoders`` (graph,
            attention, history) and ``heads`` (what weighs the evidence, feature by feature). None: all of it.
        text_cache: folder where the untuned language model's encodings are kept between runs; empty: nowhere.
    """

    data: DataConfig = field(default_factory=DataConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    copurchase: CoPurchaseConfig = field(default_factory=CoPurchaseConfig)
    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    evidence: EvidenceConfig = field(default_factory=EvidenceConfig)
    within: WithinConfig = field(default_factory=WithinConfig)
    candidates: CandidateConfig = field(default_factory=CandidateConfig)
    text: TextConfig = field(default_factory=TextConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    cold: ColdStartConfig = field(default_factory=ColdStartConfig)
    examples: ExamplesConfig = field(default_factory=ExamplesConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    baselines: BaselineConfig = field(default_factory=BaselineConfig)
    kg: GraphConfig = field(default_factory=GraphConfig)
    seed: int = 0
    seeds: list[int] | None = None
    init_from: Path | None = None
    init_parts: list[InitPart] | None = None
    text_cache: str = ".crossaisle/text"


def from_parsed(parser: ArgumentParser, parsed: Namespace) -> TrainConfig:
    """The configuration as objects, from what a parser that knows its fields has parsed."""
    made = parser.instantiate(parsed)
    return TrainConfig(**{name: made[name] for name in TrainConfig.__dataclass_fields__})
