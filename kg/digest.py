"""Fingerprints of rows, by which a graph is compared with the tables without carrying either around.

Each row has a key (a node's id; a relationship's two ends) and properties. Both are hashed to 64 bits (SipHash per
value, as pandas has it, mixed by the finaliser of SplitMix64, Steele et al. 2014). Parallel relationships between the
same two nodes share a key; their digest is the sum of theirs, so that their order does not matter. Two keys among n
collide with probability n² / 2⁶⁵: less than 10⁻⁶ for six million rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from kg.schema import CO_PURCHASE_PROPERTIES, RELATION_PROPERTIES

Hashes = npt.NDArray[np.uint64]
NUMBERS = {*CO_PURCHASE_PROPERTIES, *RELATION_PROPERTIES}
MISSING = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Digests:
    """What the rows of one kind hold.

    Attributes:
        key: hashes of the keys, shape (n,), sorted, each once.
        digest: of the properties of all rows with this key, shape (n,).
        first: the keys themselves, shape (n,): a node's id, or a relationship's source.
        second: a relationship's target, shape (n,); empty texts for nodes.
    """

    key: Hashes
    digest: Hashes
    first: pa.Array
    second: pa.Array

    def __len__(self) -> int:
        return len(self.key)

    def at(self, keys: Hashes) -> npt.NDArray[np.int64]:
        """Position of each given key, −1 where it is not there."""
        place = np.searchsorted(self.key, keys)
        place[place == len(self.key)] = 0
        found = self.key[place] == keys if len(self.key) else np.zeros(len(keys), dtype=bool)
        return np.where(found, place, -1).astype(np.int64)


def digests(frame: pd.DataFrame, keys: Sequence[str]) -> tuple[Digests, Hashes]:
    """Fingerprint the rows of one kind.

    Args:
        frame: the key's columns and the properties.
        keys: names of one or two columns that make the key, as strings.

    Returns:
        the fingerprints, and the hash of each row's key, shape (rows,).
    """
    key = row_hashes(frame[list(keys)])
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])[: len(key)]
    properties = row_hashes(frame.drop(columns=list(keys)))[order]
    digest = np.add.reduceat(properties, starts) if len(starts) else properties
    firsts = frame.iloc[order[starts]]
    second = firsts[keys[1]] if len(keys) > 1 else np.full(len(starts), "", dtype=object)
    return Digests(ordered[starts], digest, _texts(firsts[keys[0]]), _texts(second)), key


def row_hashes(frame: pd.DataFrame) -> Hashes:
    """A hash of each row, shape (rows,); equal values give equal hashes, whatever the columns' types."""
    mixed = np.zeros(len(frame), dtype=np.uint64)
    for name in frame:
        mixed = mix(mixed ^ _hashed(frame[name], str(name) in NUMBERS))
    return mix(mixed)


def hashes(texts: npt.NDArray[np.str_]) -> Hashes:
    """A hash of each text, in the texts' shape."""
    return pd.util.hash_array(texts.astype(object))


def mix(values: Hashes) -> Hashes:
    """Scatter 64-bit values: the finaliser of SplitMix64."""
    values = values + MISSING
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _hashed(column: pd.Series, number: bool) -> Hashes:
    missing = column.isna().to_numpy()
    plain = column.to_numpy(dtype=np.float64, na_value=0.0) if number else column.to_numpy(dtype=object, na_value="")
    # Few values that are met often are hashed once each; of ids that are all distinct this would only cost.
    often = not number and column.nunique() < len(column) / 2
    return np.where(missing, MISSING, pd.util.hash_array(plain, categorize=often))


def _texts(values: pd.Series | npt.NDArray[np.object_]) -> pa.Array:
    found = pa.array(values, type=pa.large_string(), from_pandas=True)
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
