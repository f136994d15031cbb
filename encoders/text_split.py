"""A transformer cut in two: what lies below the lowest tuned layer is computed once per text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from encoders.text_tokens import Ragged

_TOLERANCE = 1e-5


class LayerSplit:
    """The layers below and from ``cut`` on, run apart.

    The model's own code runs both times (masks, positions and final norm stay right); only the layers of
    the other part are replaced by ones that pass their input on.

    Args:
        model: a model whose forward runs ``layers`` one after the other.
        layers: its stack of layers.
        cut: how many layers lie below.

    Attributes:
        width: size of a token vector between the parts.
    """

    def __init__(self, model: PreTrainedModel, layers: nn.ModuleList, cut: int) -> None:
        self.model, self.layers, self.cut = model, layers, cut
        self.width = 0
        self._as_tuple = False

    @classmethod
    def proved(cls, model: PreTrainedModel, layers: nn.ModuleList | None, cut: int, ids: Tensor) -> LayerSplit | None:
        """The split, if running the parts gives what the whole gives on a probe; else None.

        Args:
            model: see the class.
            layers: see the class; None when the model has no plain stack.
            cut: see the class; 0 means there is nothing below.
            ids: (1, length) tokens of a probe text.
        """
        if layers is None or cut == 0:
            return None
        split = cls(model, layers, cut)
        mask = torch.ones_like(ids)
        with torch.no_grad():
            try:
                whole = model(input_ids=ids, attention_mask=mask).last_hidden_state
                below = split.lower(ids, mask)
                parts = split.upper(ids, mask, below)
            except (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError):
                return None
        split.width = below.shape[-1]
        return split if torch.allclose(whole, parts, atol=_TOLERANCE * float(whole.abs().max())) else None

    def lower(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(b, length, hidden) output of the lower layers, without gradient."""
        seen: list[Tensor] = []
        handle = self.layers[self.cut - 1].register_forward_hook(lambda *call: seen.append(self._plain(call[2])))
        passing: dict[nn.Module, Tensor | None] = dict.fromkeys(self.layers[self.cut :])
        try:
            with torch.no_grad(), self._replaced(passing):
                self.model(input_ids=ids, attention_mask=mask)
        finally:
            handle.remove()
        return seen[0]

    def upper(self, ids: Tensor, mask: Tensor, below: Tensor) -> Tensor:
        """(b, length, hidden) output of the model from the lower layers' output (b, length, hidden)."""
        passing: dict[nn.Module, Tensor | None] = dict.fromkeys(self.layers[: self.cut])
        passing[self.layers[self.cut - 1]] = below
        with self._replaced(passing):
            return self.model(input_ids=ids, attention_mask=mask).last_hidden_state

    def _plain(self, output: Tensor | tuple[Tensor, ...]) -> Tensor:
        self._as_tuple = isinstance(output, tuple)
        return output[0] if isinstance(output, tuple) else output

    def _passer(self, result: Tensor | None) -> Callable[..., Any]:
        def forward(hidden_states: Tensor, *_: object, **__: object) -> Tensor | tuple[Tensor]:
            out = hidden_states if result is None else result
            return (out,) if self._as_tuple else out

        return forward

    @contextmanager
    def _replaced(self, passing: dict[nn.Module, Tensor | None]) -> Iterator[None]:
        before = {layer: layer.__dict__.get("forward") for layer in passing}
        for layer, result in passing.items():
            layer.__dict__["forward"] = self._passer(result)
        try:
            yield
        finally:
            for layer, own in before.items():
                del layer.__dict__["forward"]
                if own is not None:
                    layer.__dict__["forward"] = own


class Activations:
    """The lower layers' output of many texts, computed when first asked for.

    Args:
        tokens: the texts.
        hidden: size of a token vector.
        compute: rows (b,) -> (b, longest, hidden), the lower layers' output of some texts.
        device: where the activations are kept.
    """

    def __init__(self, tokens: Ragged, hidden: int, compute: Callable[[Tensor], Tensor], device: torch.device) -> None:
        self.tokens, self._compute = tokens, compute
        self._known = torch.zeros(len(tokens), dtype=torch.bool)
        self._values = torch.empty(len(tokens.values), hidden, device=device)

    @staticmethod
    def megabytes(tokens: Ragged, hidden: int) -> float:
        """Memory they take."""
        return len(tokens.values) * hidden * 4 / 2**20

    def __call__(self, rows: Tensor) -> Tensor:
        """(b, longest, hidden) activations of some texts; 0 where there is no token."""
        missing = rows[~self._known[rows]].unique()
        missing = missing[self.tokens.lengths[missing].argsort(stable=True)]
        if len(missing):
            index, mask = self.tokens.positions(missing)
            found = self._compute(missing).to(self._values)
            self._values[index[mask].to(found.device)] = found[mask.to(found.device)]
            self._known[missing] = True
        index, mask = self.tokens.positions(rows)
        device = self._values.device
        return self._values[index.to(device)].masked_fill(~mask.to(device)[..., None], 0)
