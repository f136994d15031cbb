"""Texts of different lengths: stored end to end, batched by a budget of tokens, pooled to one vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# A batch ends when its texts grow this much longer than its first, unless it is still small: padding is
# then cheaper than one more call (measured on MiniLM, see docs of TextEncoder).
_SLACK = 0.1
_SMALL = 512


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths, end to end.

    Args:
        values: (total, ...) the rows' entries.
        starts: (n + 1,) where each row begins; the last entry is ``total``.
    """

    values: Tensor
    starts: Tensor

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Ragged:
        """Rows of integers, as a tokenizer gives them."""
        lengths = torch.tensor([0, *(len(row) for row in rows)], dtype=torch.long)
        flat = [entry for row in rows for entry in row]
        return cls(torch.tensor(flat, dtype=torch.long), lengths.cumsum(0))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Tensor:
        """(n,) number of entries of each row."""
        return self.starts.diff()

    def positions(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Where the entries of some rows lie in ``values``.

        Args:
            rows: (b,) row numbers.

        Returns:
            (b, longest) indices into ``values`` (0 where there is no entry; at least one column), and the
            (b, longest) mask of what is an entry.
        """
        begin, lengths = self.starts[rows], self.lengths[rows]
        width = max(1, int(lengths.max())) if len(rows) else 1
        step = torch.arange(width)
        mask = step < lengths[:, None]
        return (begin[:, None] + step).masked_fill(~mask, 0), mask

    def pad(self, rows: Tensor, fill: int = 0) -> tuple[Tensor, Tensor]:
        """(b, longest) entries of some rows of integers, filled up on the right, and the mask."""
        index, mask = self.positions(rows)
        if not len(self.values):
            return torch.full_like(index, fill), mask
        return self.values[index].masked_fill(~mask, fill), mask


def batches(lengths: Tensor, budget: int) -> list[Tensor]:
    """Rows sorted by length and cut into batches.

    Args:
        lengths: (n,) tokens of each row.
        budget: rows x longest row of a batch stays within it (a longer single row is a batch of its own).

    Returns:
        Row numbers of each batch; together every row once. The same lengths give the same batches.
    """
    order = torch.argsort(lengths, stable=True)
    found, begin, sizes = [], 0, lengths[order].tolist()
    for end, size in enumerate(sizes):
        full = (end + 1 - begin) * size > budget
        uneven = size > sizes[begin] * (1 + _SLACK) and (end - begin) * sizes[begin] >= _SMALL
        if end > begin and (full or uneven):
            found.append(order[begin:end])
            begin = end
    return [*found, order[begin:]] if sizes else []


def pool(hidden: Tensor, mask: Tensor, how: str) -> Tensor:
    """One vector per text; padding on either side is left out.

    Args:
        hidden: (b, length, dim) token vectors.
        mask: (b, length) true where there is a token.
        how: ``mean``, ``cls`` (first token) or ``last`` (last token).

    Returns:
        (b, dim).
    """
    if how == "mean":
        weight = mask[..., None].to(hidden.dtype)
        return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)
    first = mask.int().argmax(1)
    last = mask.shape[1] - 1 - mask.flip(1).int().argmax(1)
    index = first if how == "cls" else last
    return hidden[torch.arange(len(hidden), device=hidden.device), index]
