"""Settings of the tuning for queries."""

from __future__ import annotations

from dataclasses import dataclass, field

from encoders.text_config import TextConfig
from errors import InputError


@dataclass
class QueryConfig:
    """How the text encoder is tuned for queries.

    Attributes:
        text: the language model, and what of it is tuned (``text.strategy``: frozen, lora, top or full).
        epochs: passes over the training queries; the best one on validation is kept, the untuned one included.
        batch_size: queries in a step.
        per_query: products of each query in a step, drawn anew each time.
        temperature: τ of the loss.
        learning_rate: of AdamW; 0: 5e-4 for lora, 1e-4 for top, 2e-5 for full.
        seed: of batches and draws.
    """

    text: TextConfig = field(default_factory=TextConfig)
    epochs: int = 4
    batch_size: int = 64
    per_query: int = 2
    temperature: float = 0.05
    learning_rate: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 0), ("batch_size", 2), ("per_query", 1), ("learning_rate", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}", where=name, remedy=f"Give {least} or more.")
        if not self.temperature > 0:
            raise InputError(f"temperature is {self.temperature}", where="temperature", remedy="Give more than 0.")
