"""Fingerprints of rows, by which a graph is compared with the tables without carrying either around.

Each row has a key (a node's id; a relationship's two ends) and properties. Both are hashed to 64 bits by the finaliser
of SplitMix64 (Steele et al. 2014) over their 8-byte words, which runs on Arrow's buffers: four times as fast as
pandas' hash of strings, and most of what an update costs here. Parallel relationships between the same two nodes
share a key; their digest is the sum of theirs, so that their order does not matter. Two keys among n collide with
probability n² / 2⁶⁵: less than 10⁻⁶ for six million rows.
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
Texts = pd.Series | npt.NDArray[np.str_] | npt.NDArray[np.object_]
NUMBERS = {*CO_PURCHASE_PROPERTIES, *RELATION_PROPERTIES}
BLOCK = 65_536
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


def hashes(texts: Texts) -> Hashes:
    """A hash of each text, shape (texts,): the sum of hashes of its 8-byte words and their places, and its length."""
    found = _texts(texts)
    parts = [_block_hashes(found.slice(start, BLOCK)) for start in range(0, len(found), BLOCK)]
    return np.concatenate([np.empty(0, dtype=np.uint64), *parts])


def _block_hashes(texts: pa.Array) -> Hashes:
    bounds = np.frombuffer(texts.buffers()[1], dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(texts.buffers()[2] or b"", dtype=np.uint8)[bounds[0] : bounds[-1]]
    starts, sizes = bounds[:-1] - bounds[0], np.diff(bounds)
    counts = -(-sizes // 8)
    last = np.cumsum(counts)
    first = last - counts
    padded = np.zeros(8 * last[-1], dtype=np.uint8)
    padded[np.arange(len(data)) + np.repeat(8 * first - starts, sizes)] = data
    places = (np.arange(last[-1]) - np.repeat(first, counts)).astype(np.uint64)
    words = mix(padded.view("<u8") ^ mix(places))
    total = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(words, dtype=np.uint64)])
    return mix(total[last] - total[first] ^ sizes.astype(np.uint64))


def mix(values: Hashes) -> Hashes:
    """Scatter 64-bit values: the finaliser of SplitMix64."""
    values = values + MISSING
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _hashed(column: pd.Series, number: bool) -> Hashes:
    missing = column.isna().to_numpy()
    found = pd.util.hash_array(column.to_numpy(dtype=np.float64, na_value=0.0)) if number else hashes(column)
    return np.where(missing, MISSING, found)


def _texts(values: Texts) -> pa.Array:
    texts = values if isinstance(values, np.ndarray) else values.astype("str")
    found = pa.array(texts, type=pa.large_string(), from_pandas=True)
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
