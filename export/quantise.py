"""Vectors in fewer bytes: float16, or int8 with one scale for each row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from errors import InputError
from export.table import Array, Batch, Column, Table

Dtype = Literal["float32", "float16", "int8"]
FloatArray = npt.NDArray[np.float32]
LARGEST = 127
HALF_OVERFLOWS = 65520  # halfway from float16's largest number, 65504, to the next one that there would be
SCALE = "_scale"


def to_int8(vectors: FloatArray) -> tuple[npt.NDArray[np.int8], FloatArray]:
    """Each row as integers and their scale: q = round(v / s), s = max |v| / 127, so |v − q s| ≤ s / 2.

    Args:
        vectors: finite, shape (rows, width).

    Returns:
        q of shape (rows, width) and s of shape (rows,); s is 0 for a row of zeros.
    """
    peak = _peaks(vectors).astype(np.float64)
    scale = (peak / LARGEST).astype(np.float32)
    divisor = np.where(scale > 0, scale, 1).astype(np.float64)
    whole = np.divide(vectors, divisor[:, None])
    np.rint(whole, out=whole)
    np.clip(whole, -LARGEST, LARGEST, out=whole)
    return whole.astype(np.int8), scale


def _peaks(vectors: FloatArray) -> FloatArray:
    """Each row's largest |v|, shape (rows,), without a copy of the vectors."""
    return np.maximum(vectors.max(axis=1, initial=0), -vectors.min(axis=1, initial=0))


def from_int8(whole: npt.NDArray[np.int8], scale: FloatArray) -> FloatArray:
    """The way back: q · s, shape (rows, width)."""
    return np.asarray(whole.astype(np.float32) * scale[:, None])


def encoded(table: Table, dtype: Dtype) -> Table:
    """The table with its vectors of 32-bit floats as another type; figures and masks are left as they are.

    With int8 each such column ``x`` is followed by the figure ``x_scale``.

    Raises:
        InputError: while its batches are read, where a number is beyond float16's range, with the row's id.
    """
    wide = {column.name for column in table.columns if column.width and column.dtype == "float32"}
    if dtype == "float32" or not wide:
        return table
    columns: list[Column] = []
    for column in table.columns:
        columns.append(replace(column, dtype=dtype) if column.name in wide else column)
        columns += [Column(column.name + SCALE, 0, "float32")] if column.name in wide and dtype == "int8" else []

    def batches() -> Iterator[Batch]:
        first = 0
        for batch in table.batches():
            found: dict[str, Array] = {}
            for name, values in batch.items():
                found |= _encode(table, name, values, dtype, first) if name in wide else {name: values}
            first += len(next(iter(batch.values())))
            yield found

    return Table(table.name, table.ids, tuple(columns), batches)


def decoded(column: Column, batch: Batch) -> Array:
    """A column's values as they are computed with: vectors as 32-bit floats."""
    values = np.asarray(batch[column.name])
    if column.dtype == "int8":
        return from_int8(values, np.asarray(batch[column.name + SCALE], dtype=np.float32))  # type: ignore[arg-type]
    return values.astype(np.float32) if column.dtype == "float16" else values


def _encode(table: Table, name: str, values: Array, dtype: Dtype, first: int) -> dict[str, Array]:
    if dtype == "int8":
        whole, scale = to_int8(values)  # type: ignore[arg-type]
        return {name: whole, name + SCALE: scale}
    beyond = _peaks(values) >= HALF_OVERFLOWS  # type: ignore[arg-type]
    if beyond.any():
        node = str(table.ids[first + int(np.argmax(beyond))])
        remedy = "Give --dtype float32 or int8."
        raise InputError(f"{name} of {node!r} is beyond what float16 holds", where=table.name, remedy=remedy)
    return {name: values.astype(np.float16)}
