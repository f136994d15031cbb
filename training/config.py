"""The configuration of the main job: one typed class, every field a flag and a key of the YAML file."""

from __future__ import annotations

from dataclasses import dataclass, field

from data.config import DataConfig
from data.splits import ProtocolConfig
from encoders.text_config import TextConfig
from evidence.interest import EvidenceConfig
from evidence.within import WithinConfig
from fusion.model import ModelConfig
from kg.config import CoPurchaseConfig, StoreConfig
from training.baselines import BaselineConfig
from training.cutoffs import ExamplesConfig
from training.module import OptimiserConfig


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
        text: the language model.
        model: the model's size and parts.
        examples: training examples.
        optimiser: how the model is trained.
        baselines: what the model is compared with.
        seed: fixes everything that is drawn.
        text_cache: folder where the untuned language model's encodings are kept between runs; empty: nowhere.
    """

    data: DataConfig = field(default_factory=DataConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    copurchase: CoPurchaseConfig = field(default_factory=CoPurchaseConfig)
    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    evidence: EvidenceConfig = field(default_factory=EvidenceConfig)
    within: WithinConfig = field(default_factory=WithinConfig)
    text: TextConfig = field(default_factory=TextConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    examples: ExamplesConfig = field(default_factory=ExamplesConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    baselines: BaselineConfig = field(default_factory=BaselineConfig)
    seed: int = 0
    text_cache: str = ".crossaisle/text"
