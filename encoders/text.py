"""The text encoder: a Hugging Face language model, tuned in part, one vector per text.

Sources: LoRA, Hu et al. 2021 (arXiv 2106.09685); mean pooling and normalising, Reimers and Gurevych 2019
(Sentence-BERT, arXiv 1908.10084).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.module import _IncompatibleKeys
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from console import track
from encoders.text_config import TextConfig
from encoders.text_model import load, quiet
from encoders.text_split import Activations, LayerSplit
from encoders.text_tokens import Ragged, batches, pool
from encoders.text_tuning import folded, layers_of, lowest_tuned, tune
from errors import InputError

__all__ = ["TextConfig", "TextEncoder"]


class TextEncoder(nn.Module):
    """Texts to vectors of length 1 (a blank text to zeros).

    Vectors of a text do not depend on the other texts of its batch (within rounding). The language model's
    own dropout is off, always: with strategies other than ``frozen`` the gradient is then taken exactly
    where the value was computed; only the adapters' dropout follows ``train()``. ``state_dict()`` holds the
    tuned weights alone, so that checkpoints stay small.

    Measured on a core with AVX2 (MiniLM, 22 tokens per text): 100 texts (2,200 tokens) per second with
    batches of 2,048 tokens sorted by length, against 65 with 8,192. Dynamic int8 gained 1.1 times more but
    bent the vectors (cosine .89 to fp32), and bf16 is 7 times slower than fp32 there: neither is used.

    Args:
        config: model, pooling, strategy and cost; default: :class:`TextConfig`'s.

    Attributes:
        dim: size of a vector.
        tunable: whether any weight is tuned.

    Raises:
        InputError: the model cannot be loaded, or has not the layers that the strategy asks for.
    """

    def __init__(self, config: TextConfig | None = None) -> None:
        super().__init__()
        self.config = config or TextConfig()
        self.model, self._tokenizer = load(self.config.model)
        with quiet():
            wrapper = tune(self.model, self.config)
        self._wrapper = (wrapper,)  # in a tuple: the same modules must not be registered twice
        self.tunable = any(p.requires_grad for p in self.model.parameters())
        self._limit = min(self.config.max_tokens, *_limits(self.model, self._tokenizer))
        probe = torch.arange(3)[None]  # token numbers that every vocabulary has
        with torch.no_grad():
            self.dim: int = self.model(input_ids=probe).last_hidden_state.shape[-1]
        cut = lowest_tuned(self.model, self.config)
        self._split = LayerSplit.proved(self.model, layers_of(self.model), cut, probe)
        self.register_load_state_dict_post_hook(_forgive_untuned)
        self.train()

    @property
    def device(self) -> torch.device:
        """Where the language model is."""
        return next(self.model.parameters()).device

    @property
    def limit(self) -> int:
        """Tokens of a text that are read at most."""
        return self._limit

    def train(self, mode: bool = True) -> TextEncoder:
        """Switch the adapters' dropout; the language model itself always stays in evaluation mode."""
        super().train(mode)
        self.model.eval()
        for name, module in self.model.named_modules():
            if "lora_dropout" in name:
                module.train(mode)
        return self

    def tokenize(self, texts: Sequence[str]) -> Ragged:
        """Token numbers of each text, cut to ``max_tokens``; none for a blank text."""
        filled = [text for text in texts if text.strip()]
        if not filled:
            return Ragged.of([[] for _ in texts])
        with quiet():
            found = iter(self._tokenizer(filled, truncation=True, max_length=self._limit)["input_ids"])
        return Ragged.of([next(found) if text.strip() else [] for text in texts])

    def forward(
        self,
        texts: Sequence[str] | Ragged,
        rows: Tensor | None = None,
        below: Activations | None = None,
        progress: bool = False,
    ) -> Tensor:
        """Encode, with gradient where it is enabled.

        Args:
            texts: texts, or tokens from :meth:`tokenize`.
            rows: (b,) which of them; default all.
            below: their kept activations, from :meth:`activations`.
            progress: show a bar.

        Returns:
            (b, dim) vectors of length 1; zeros for a text without a token.
        """
        tokens = texts if isinstance(texts, Ragged) else self.tokenize(texts)
        rows = torch.arange(len(tokens)) if rows is None else rows.cpu()
        parts = batches(tokens.lengths[rows], self.config.batch_tokens)
        if not parts:
            return torch.zeros(0, self.dim, device=self.device)
        shown = track(parts, "encoding texts") if progress else parts
        vectors = torch.cat([self._vectors(tokens, rows[part], below) for part in shown])
        return vectors[torch.cat(parts).argsort().to(vectors.device)]

    @torch.no_grad()
    def encode(
        self,
        texts: Sequence[str] | Ragged,
        progress: bool = True,
        rows: Tensor | None = None,
        below: Activations | None = None,
    ) -> Tensor:
        """The same as :meth:`forward` without gradient and dropout: (b, dim), deterministic."""
        training = self.training
        self.eval()
        tokens = texts if isinstance(texts, Ragged) else self.tokenize(texts)
        try:
            with folded(self.model, worth=len(tokens if rows is None else rows) > _MANY):
                return self(tokens, rows, below, progress)
        finally:
            self.train(training)

    def activations(self, tokens: Ragged) -> Activations | None:
        """A store for what lies below the lowest tuned layer, which makes encoding again cheaper.

        Args:
            tokens: texts from :meth:`tokenize`.

        Returns:
            None where nothing lies below, the model cannot be cut, or it would take more than
            ``activation_mb``.
        """
        if self._split is None:
            return None
        if Activations.megabytes(tokens, self._split.width) > self.config.activation_mb:
            return None
        return Activations(tokens, self._split.width, self._lower(tokens, self._split), self.device)

    def trainable_state(self) -> dict[str, Tensor]:
        """Copies of the tuned weights by name (adapters or top layers): what a run keeps."""
        return {name: p.detach().cpu().clone() for name, p in self._tuned().items()}

    @torch.no_grad()
    def load_trainable_state(self, state: Mapping[str, Tensor]) -> None:
        """Put tuned weights back.

        Args:
            state: from :meth:`trainable_state` of an encoder with the same settings.

        Raises:
            InputError: names or shapes differ; nothing has been changed then.
        """
        own = self._tuned()
        wrong = sorted(set(own) ^ set(state)) or [n for n, p in own.items() if p.shape != state[n].shape]
        if wrong:
            raise InputError(
                f"tuned weights do not fit: {len(wrong)} differ, the first is {wrong[0]}",
                where="text encoder",
                remedy="use the model, strategy and ranks that they were tuned with",
            )
        for name, parameter in own.items():
            parameter.copy_(state[name])

    def merge(self) -> None:
        """Fold the adapters into the weights: the same vectors, faster; nothing is tuned any more."""
        if self._wrapper[0] is not None:
            self.model = self._wrapper[0].merge_and_unload()
            self._wrapper = (None,)
        self.model.requires_grad_(False)
        self.tunable, self._split = False, None

    def fingerprint(self, low_precision: bool | None = None) -> str:
        """SHA-256 of all that decides a vector but the tokens: weights, configuration, pooling, precision.

        Adapters that have not moved yet do not count, so that frozen and untuned encodings are shared.

        Args:
            low_precision: as on a machine that does or does not calculate in bf16; default: this one.
        """
        state = dict(self.model.named_parameters()) | dict(self.model.named_buffers())
        tuned = any("lora_B" in name and bool(value.any()) for name, value in state.items())
        config = {k: v for k, v in self.model.config.to_dict().items() if k not in _IRRELEVANT}
        digest = hashlib.sha256(repr((sorted(config.items(), key=str), self.config.pooling)).encode())
        digest.update(str(self._low_precision() if low_precision is None else low_precision).encode())
        for name in sorted(state):
            if tuned or "lora_" not in name:
                digest.update(name.replace(".base_layer", "").encode())
                value = state[name].detach().cpu().contiguous()
                digest.update(value.flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def state_dict(  # type: ignore[override]
        self, *, destination: dict[str, Tensor] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Tensor]:
        """As of any module, but with the tuned weights alone."""
        into: dict[str, Tensor] = {} if destination is None else destination
        state = super().state_dict(destination=into, prefix=prefix, keep_vars=keep_vars)
        kept = {f"{prefix}model.{name}" for name in self._tuned()}
        for name in [n for n in state if n.startswith(f"{prefix}model.") and n not in kept]:
            del state[name]
        return state

    def _tuned(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def _vectors(self, tokens: Ragged, rows: Tensor, below: Activations | None) -> Tensor:
        ids, mask = (t.to(self.device) for t in tokens.pad(rows, self._tokenizer.pad_token_id or 0))
        empty = ~mask.any(1, keepdim=True)
        seen = _never_empty(mask)
        with self._precision():
            if below is not None and self._split is not None:
                hidden = self._split.upper(ids, seen, below(rows))
            else:
                hidden = self.model(input_ids=ids, attention_mask=seen).last_hidden_state
        vectors = functional.normalize(pool(hidden.float(), mask, self.config.pooling), dim=-1)
        return vectors.masked_fill(empty, 0)

    def _lower(self, tokens: Ragged, split: LayerSplit) -> Callable[[Tensor], Tensor]:
        def compute(rows: Tensor) -> Tensor:
            ids, mask = (t.to(self.device) for t in tokens.pad(rows, self._tokenizer.pad_token_id or 0))
            with self._precision():
                return split.lower(ids, _never_empty(mask)).float()

        return compute

    def _low_precision(self) -> bool:
        if self.config.precision != "auto":
            return self.config.precision == "bf16"
        if self.device.type == "cuda":
            return torch.cuda.is_bf16_supported()
        return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())

    def _precision(self) -> AbstractContextManager[Any]:
        low = self._low_precision()
        if not low and torch.is_grad_enabled():
            return nullcontext()  # the trainer's own mixed precision applies
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=low)


_MANY = 64  # texts from which on folding the adapters saves time
_IRRELEVANT = {
    "_name_or_path",
    "name_or_path",
    "transformers_version",
    "torch_dtype",
    "dtype",
    "architectures",
}


def _limits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    found = [tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None)]
    return [limit for limit in found if isinstance(limit, int) and limit > 0]


def _never_empty(mask: Tensor) -> Tensor:
    """A text without tokens attends to one padding token: attention over nothing would give NaN."""
    mask = mask.clone()
    mask[:, 0] = True
    return mask.long()


def _forgive_untuned(module: nn.Module, keys: _IncompatibleKeys) -> None:
    """The untuned weights come from the model's own files, not from a checkpoint."""
    assert isinstance(module, TextEncoder)
    names = module.model.state_dict().keys() - module._tuned().keys()
    untuned = tuple(f"model.{name}" for name in names)
    keys.missing_keys[:] = [key for key in keys.missing_keys if not key.endswith(untuned)]
