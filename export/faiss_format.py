"""Tables as FAISS indexes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from errors import InputError
from export.formats import Numpy
from export.table import ROWS_AT_A_TIME, Batch, Column, Table

FloatArray = npt.NDArray[np.float32]
BIAS = "_bias"


def faiss() -> ModuleType:
    """The library, which comes with an extra.

    Raises:
        InputError: it is not installed.
    """
    try:
        import faiss as library
    except ImportError as error:
        remedy = "Install it: pip install 'crossaisle[faiss]' (or pip install faiss-cpu)."
        raise InputError("FAISS is not installed", where="faiss", remedy=remedy) from error
    return library


class Faiss(Numpy):
    """``TABLE.COLUMN.faiss`` for each column of vectors: a flat index by inner product; all else as `Numpy`.

    Row i of the index is line i of ``TABLE.id.npy``. Where a column has a bias (``retrieval`` has ``retrieval_bias``),
    it is the last coordinate of the vectors in the index: a user's vector followed by 1 is the query. Vectors are
    32-bit floats. An index is built in memory.
    """

    def write(self, folder: Path, table: Table) -> list[str]:
        """Write the indexes, and the other columns as arrays."""
        library = faiss()
        vectors = [column for column in table.columns if _is_vector(column)]
        biased = _biased(table.columns)
        indexes = {one.name: library.IndexFlatIP(one.width + (one.name in biased)) for one in vectors}

        def rest() -> Iterator[Batch]:
            for batch in table.batches():
                for name, index in indexes.items():
                    index.add(_with_bias(batch, name, name in biased))
                yield {name: values for name, values in batch.items() if name not in indexes}

        others = tuple(column for column in table.columns if column.name not in indexes)
        files = super().write(folder, replace(table, columns=others, batches=rest))
        for name, index in indexes.items():
            path = folder / f"{table.name}.{name}.faiss"
            path.write_bytes(library.serialize_index(index).data)
            files.append(path.name)
        return files

    def read(self, folder: Path, name: str, columns: Sequence[Column]) -> Table:
        """Read the indexes; vectors are taken out of them when batches are asked for."""
        library = faiss()
        vectors = [column for column in columns if _is_vector(column)]
        others = super().read(folder, name, [column for column in columns if not _is_vector(column)])
        found = {column: _read_index(library, folder / f"{name}.{column.name}.faiss") for column in vectors}

        def batches() -> Iterator[Batch]:
            rest = others.batches()
            for start in range(0, len(others.ids), ROWS_AT_A_TIME):
                size = min(ROWS_AT_A_TIME, len(others.ids) - start)
                part = {c.name: index.reconstruct_n(start, size)[:, : c.width] for c, index in found.items()}
                held = {**next(rest), **part}
                yield {column.name: held[column.name] for column in columns}

        return Table(name, others.ids, tuple(columns), batches)


def _is_vector(column: Column) -> bool:
    return bool(column.width) and column.dtype == "float32"


def _biased(columns: Sequence[Column]) -> set[str]:
    """Names of the columns of vectors that a bias belongs to."""
    names = {column.name for column in columns}
    return {name for name in names if name + BIAS in names}


def _with_bias(batch: Batch, name: str, biased: bool) -> FloatArray:
    vectors = np.asarray(batch[name], dtype=np.float32)
    return np.column_stack([vectors, np.asarray(batch[name + BIAS], dtype=np.float32)]) if biased else vectors


def _read_index(library: ModuleType, path: Path) -> Any:  # noqa: ANN401
    """An index from its file.

    Raises:
        ValueError: it is none.
    """
    try:
        return library.deserialize_index(np.frombuffer(path.read_bytes(), dtype=np.uint8))
    except RuntimeError as error:
        raise ValueError(str(error)) from error
