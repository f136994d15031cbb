"""How a table is kept in files: Parquet, NumPy, safetensors or FAISS."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from export.table import ROWS_AT_A_TIME, Array, Batch, Column, Table

Storage = Literal["parquet", "numpy", "safetensors", "faiss"]
ID = "id"
SMALL = ("int8", "uint8")


class Format(ABC):
    """Writes tables into files of one kind, batch by batch, and reads them back."""

    @abstractmethod
    def write(self, folder: Path, table: Table) -> list[str]:
        """Write a table.

        Returns:
            Names of the files.

        Raises:
            OSError: the disk is full.
        """

    @abstractmethod
    def read(self, folder: Path, name: str, columns: Sequence[Column]) -> Table:
        """A table that `write` wrote, its rows still on the disk.

        Args:
            folder: of the files.
            name: of the table.
            columns: as they were written.

        Raises:
            OSError, ValueError, KeyError: the files are not what `write` wrote.
        """


class Parquet(Format):
    """``TABLE.parquet``: ``id`` (text), vectors as lists of fixed size."""

    def write(self, folder: Path, table: Table) -> list[str]:
        """Write one file, a row group for each batch; floats as they are, for they hardly compress.

        Parquet knows no type below 32 bits: small integers go through a dictionary, which makes a byte of each.
        """
        small = [f"{column.name}.list.element" for column in table.columns if column.dtype in SMALL]
        schema = pa.schema([(ID, pa.string()), *((column.name, _arrow_type(column)) for column in table.columns)])
        path, first = folder / f"{table.name}.parquet", 0
        settings = {"compression": "none", "use_dictionary": small, "write_statistics": [ID]}
        with pq.ParquetWriter(path, schema, **settings) as writer:
            for batch in table.batches():
                arrays = [_to_arrow(column, batch[column.name]) for column in table.columns]
                last = first + len(arrays[0])
                ids = pa.array(table.ids[first:last], pa.string())
                writer.write_batch(pa.record_batch([ids, *arrays], schema=schema))
                first = last
        return [path.name]

    def read(self, folder: Path, name: str, columns: Sequence[Column]) -> Table:
        """Read the ids; the rest when its batches are asked for."""
        path = folder / f"{name}.parquet"
        ids = pq.read_table(path, columns=[ID])[ID].to_numpy().astype(str)

        def batches() -> Iterator[Batch]:
            names = [column.name for column in columns]
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(ROWS_AT_A_TIME, columns=names):
                    yield {column.name: _from_arrow(column, batch[column.name]) for column in columns}

        return Table(name, ids, tuple(columns), batches)


def _arrow_type(column: Column) -> pa.DataType:
    number = pa.from_numpy_dtype(np.dtype(column.dtype))
    return pa.list_(number, column.width) if column.width else number


def _to_arrow(column: Column, values: Array) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, column.width) if column.width else flat


def _from_arrow(column: Column, values: pa.Array) -> Array:
    flat = values.flatten() if column.width else values
    found: Array = flat.to_numpy(zero_copy_only=False).reshape(-1, *column.shape)
    return found


class Numpy(Format):
    """``TABLE.id.npy`` (text) and ``TABLE.COLUMN.npy`` for each column; nothing in them is pickled."""

    def write(self, folder: Path, table: Table) -> list[str]:
        """Write all columns' files side by side."""
        ids = np.array(table.ids.tolist(), dtype=str)  # as wide as the longest
        np.save(folder / f"{table.name}.{ID}.npy", ids, allow_pickle=False)
        with ExitStack() as stack:
            files = {column.name: stack.enter_context(self._begin(folder, table, column)) for column in table.columns}
            for batch in table.batches():
                for name, file in files.items():
                    file.write(np.ascontiguousarray(batch[name]).data)
        return [f"{table.name}.{name}.npy" for name in (ID, *files)]

    def read(self, folder: Path, name: str, columns: Sequence[Column]) -> Table:
        """Map the files into memory."""
        ids, *arrays = (
            np.load(folder / f"{name}.{part}.npy", mmap_mode="r", allow_pickle=False)
            for part in (ID, *(column.name for column in columns))
        )
        return Table(name, np.asarray(ids), tuple(columns), lambda: _slices(columns, arrays, len(ids)))

    def _begin(self, folder: Path, table: Table, column: Column) -> BinaryIO:
        file = (folder / f"{table.name}.{column.name}.npy").open("wb")
        described = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(column.dtype)),
            "fortran_order": False,
            "shape": (len(table.ids), *column.shape),
        }
        np.lib.format.write_array_header_1_0(file, described)
        return file


def _slices(columns: Sequence[Column], arrays: Sequence[Array], rows: int) -> Iterator[Batch]:
    for start in range(0, rows, ROWS_AT_A_TIME):
        part = slice(start, start + ROWS_AT_A_TIME)
        yield {column.name: np.asarray(values[part]) for column, values in zip(columns, arrays, strict=True)}


SAFETENSORS_DTYPES = {
    "float32": "F32", "float16": "F16", "int8": "I8", "uint8": "U8", "int32": "I32", "int64": "I64",
}  # fmt: skip


class Safetensors(Format):
    """``TABLE.safetensors``: a tensor for each column, and the ids as ``id_bytes`` (UTF-8) and ``id_ends`` (offsets).

    ``safetensors.save_file`` wants all tensors in memory; the file's layout (eight bytes with the header's length, a
    JSON header with each tensor's place, the numbers) allows writing it row by row.
    """

    def write(self, folder: Path, table: Table) -> list[str]:
        """Write the header, then each batch at its place in each tensor."""
        texts = [text.encode() for text in table.ids.tolist()]
        ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
        ids: dict[str, Array] = {"id_bytes": np.frombuffer(b"".join(texts), dtype=np.uint8), "id_ends": ends}
        shapes = {name: (str(values.dtype), values.shape) for name, values in ids.items()}
        shapes |= {column.name: (column.dtype, (len(texts), *column.shape)) for column in table.columns}
        header, places = _header(shapes)
        path = folder / f"{table.name}.safetensors"
        with path.open("wb") as file:
            file.write(header)
            for batch in chain([ids], table.batches()):
                for name, values in batch.items():
                    file.seek(len(header) + places[name])
                    file.write(np.ascontiguousarray(values).data)
                    places[name] += values.nbytes
        return [path.name]

    def read(self, folder: Path, name: str, columns: Sequence[Column]) -> Table:
        """Map the file into memory."""
        from safetensors.numpy import load_file

        arrays = load_file(folder / f"{name}.safetensors")
        held, ends = arrays["id_bytes"].tobytes(), arrays["id_ends"]
        ids = np.array([held[a:b].decode() for a, b in zip(np.r_[0, ends][: len(ends)], ends, strict=True)], dtype=str)
        chosen = [arrays[column.name] for column in columns]
        return Table(name, ids, tuple(columns), lambda: _slices(columns, chosen, len(ids)))


def _header(shapes: dict[str, tuple[str, tuple[int, ...]]]) -> tuple[bytes, dict[str, int]]:
    """The file's first bytes, and where each tensor begins after them."""
    described, places, end = {}, {}, 0
    for name, (dtype, shape) in shapes.items():
        places[name] = end
        end += int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        described[name] = {
            "dtype": SAFETENSORS_DTYPES[dtype],
            "shape": list(shape),
            "data_offsets": [places[name], end],
        }
    text = json.dumps(described).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, places
