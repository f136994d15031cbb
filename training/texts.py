"""Evidence from texts on candidates: how alike a candidate's text is to those of what a user bought."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from encoders.text_bank import TextBank

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
NAMES = ["text_max", "text_mean"]


class TextSimilarity:
    """Cosine of texts, largest and mean over a user's history. Scoring against each purchase beats one average.

    Args:
        bank: its vectors as they are now.
        positions: of the level's nodes in the bank, shape (nodes,).
    """

    def __init__(self, bank: TextBank, positions: Tensor) -> None:
        with torch.inference_mode():
            self._vectors = _unit(bank.distinct())
        self._text: IntArray = bank.inverse[positions.to(bank.inverse.device)].cpu().numpy()

    def of(self, bought: sp.csr_array, candidates: IntArray) -> FloatArray:
        """Similarity of each user's candidates to what they bought.

        Args:
            bought: CSR of shape (b, nodes).
            candidates: positions among the level's nodes, shape (b, n).

        Returns:
            Shape (b, n, 2): largest and mean; 0 for a user without history.
        """
        out = np.zeros((*candidates.shape, len(NAMES)), dtype=np.float32)
        for user, asked in enumerate(candidates):
            nodes = bought.indices[bought.indptr[user] : bought.indptr[user + 1]]
            if len(nodes):
                texts, times = np.unique(self._text[nodes], return_counts=True)
                alike = self._vectors[self._text[asked]] @ self._vectors[texts].T
                out[user] = np.column_stack([alike.max(axis=1), alike @ (times / times.sum()).astype(np.float32)])
        return out


def unit_texts(bank: TextBank, positions: Tensor) -> FloatArray:
    """Text vectors of some nodes as they are now, of length 1 (0 without a text), shape (nodes, d)."""
    with torch.inference_mode():
        return _unit(bank.embed(positions))


@torch.inference_mode()
def _unit(vectors: Tensor) -> FloatArray:
    return np.asarray(torch.nn.functional.normalize(vectors.float(), dim=1).cpu().numpy(), dtype=np.float32)
