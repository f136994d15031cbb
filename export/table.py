"""What an export is made of: tables of rows with an id, vectors and figures, made and read batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from errors import InputError

ROWS_AT_A_TIME = 20_000
FEATURES = "Features"  # a table of features is called by its items' label and this
BETWEEN = "\t"  # of a user's and an item's id: sorts before all that is printed, so that pairs are sorted by user

Array = npt.NDArray[np.generic]
Ids = npt.NDArray[np.str_]
Batch = Mapping[str, Array]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: of the column.
        width: numbers in each row's vector; 0: one figure.
        dtype: numpy's name of what is stored, such as ``float32``.
    """

    name: str
    width: int
    dtype: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return (self.width,) if self.width else ()


@dataclass(frozen=True)
class Table:
    """Rows in the order of their ids.

    Attributes:
        name: of the table.
        ids: as in the source, sorted and distinct, shape (rows,).
        columns: what each row holds beside its id.
        batches: gives the rows from the first to the last, ``ROWS_AT_A_TIME`` of them at a time: each column's array
            by name, of shape (rows of the batch, width) or, for figures, (rows of the batch,). It can be called again.
    """

    name: str
    ids: Ids
    columns: tuple[Column, ...]
    batches: Callable[[], Iterator[Batch]]

    def whole(self) -> dict[str, Array]:
        """All rows at once, by column."""
        parts: dict[str, list[Array]] = {column.name: [] for column in self.columns}
        for batch in self.batches():
            for name, values in batch.items():
                parts[name].append(np.asarray(values))
        empty = {column.name: np.empty((0, *column.shape), dtype=column.dtype) for column in self.columns}
        return {name: np.concatenate(found) if found else empty[name] for name, found in parts.items()}


def table_of(name: str, ids: Ids, arrays: Mapping[str, Array]) -> Table:
    """A table of arrays in memory, which are brought in the order of their ids.

    Args:
        name: of the table.
        ids: distinct, shape (rows,).
        arrays: by column, of shape (rows, width) or (rows,).
    """
    order = np.argsort(ids, kind="stable")
    columns = tuple(
        Column(column, values.shape[1] if values.ndim == 2 else 0, str(values.dtype))
        for column, values in arrays.items()
    )

    def batches() -> Iterator[Batch]:
        for start in range(0, len(order), ROWS_AT_A_TIME):
            some = order[start : start + ROWS_AT_A_TIME]
            yield {column: values[some] for column, values in arrays.items()}

    return Table(name, np.asarray(ids)[order], columns, batches)


def checked(table: Table) -> Table:
    """The same table, refusing ids out of order or given twice and numbers that are none.

    Raises:
        InputError: at once for ids; while its batches are read for NaN or infinity, with the row's id.
    """
    if (table.ids[1:] <= table.ids[:-1]).any():
        at = int(np.argmax(table.ids[1:] <= table.ids[:-1]))
        raise InputError(f"id {str(table.ids[at + 1])!r} comes twice or out of order", where=table.name)

    def batches() -> Iterator[Batch]:
        first = 0
        for batch in table.batches():
            for name, values in batch.items():
                _refuse_no_numbers(table, name, values, first)
            first += len(next(iter(batch.values())))
            yield batch

    return Table(table.name, table.ids, table.columns, batches)


def _refuse_no_numbers(table: Table, column: str, values: Array, first: int) -> None:
    finite = np.isfinite(values)
    if finite.all():
        return
    at = int(np.argwhere(~finite)[0][0])
    raise InputError(
        f"{column} of {str(table.ids[first + at])!r} holds a number that is none (NaN or infinite)",
        where=table.name,
        remedy="Look for a diverged training; nothing was written.",
    )
