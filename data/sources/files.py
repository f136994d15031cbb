"""Reading columns of a user's CSV and Parquet files, with errors that say what is wrong where."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from errors import InputError

PARQUET = (".parquet", ".pq")


@dataclass(frozen=True)
class Reader:
    """Reads tables below a folder.

    Attributes:
        root: folder that file names are relative to.
        delimiter: what stands between the values of a CSV file.
        encoding: how a CSV file's text is stored.
    """

    root: Path
    delimiter: str = ","
    encoding: str = "utf-8-sig"

    def read(self, file: str, columns: list[str]) -> pd.DataFrame:
        """Some columns of a file; CSV values stay text, an empty cell is null.

        Args:
            file: name of a Parquet file (.parquet, .pq) or of a CSV file (any other ending).
            columns: the columns wanted; one may be named twice.

        Returns:
            The columns, with the number of the row in the file as index.

        Raises:
            InputError: no such file, not readable, no rows, a column that is missing or there twice.
        """
        path = self._found(file)
        wanted = list(dict.fromkeys(columns))
        frame = self._parquet(path, wanted) if path.suffix in PARQUET else self._csv(path, wanted)
        if len(frame) == 0:
            raise InputError("no rows", where=str(path), remedy="Give a file with data.")
        return frame

    def columns(self, file: str) -> list[str]:
        """Names of a file's columns, in its order.

        Raises:
            InputError: no such file, or not readable.
        """
        path = self._found(file)
        return self._schema(path) if path.suffix in PARQUET else self._header(path)

    def _found(self, file: str) -> Path:
        path = self.root / file
        if not path.is_file():
            remedy = "File names in a mapping are relative to its root, by default the mapping's own folder."
            raise InputError("no such file", where=str(path), remedy=remedy)
        return path

    def _schema(self, path: Path) -> list[str]:
        try:
            names: list[str] = pq.read_schema(path).names
        except (pa.ArrowInvalid, OSError) as error:
            raise _no_parquet(path, error) from None
        return names

    def _header(self, path: Path) -> list[str]:
        names: list[str] = self._parse(path, header=None, nrows=1).iloc[0].fillna("").tolist()
        return names

    def _parquet(self, path: Path, columns: list[str]) -> pd.DataFrame:
        check_columns(self._schema(path), columns, path)
        try:
            return pq.read_table(path, columns=columns, use_threads=False).to_pandas(ignore_metadata=True)
        except (pa.ArrowInvalid, OSError) as error:
            raise _no_parquet(path, error) from None

    def _csv(self, path: Path, columns: list[str]) -> pd.DataFrame:
        check_columns(self._header(path), columns, path, self.delimiter)
        # All columns are parsed: with usecols a row with too many values would pass in silence.
        return self._parse(path, na_values=[""], index_col=False)[columns]

    def _parse(self, path: Path, **options: Any) -> pd.DataFrame:  # noqa: ANN401 (passed through)
        where = str(path)
        try:
            return pd.read_csv(
                path,
                dtype="str",
                sep=self.delimiter,
                encoding=self.encoding,
                keep_default_na=False,
                **options,
            )
        except pd.errors.EmptyDataError:
            raise InputError("the file is empty", where=where, remedy="Give a file with a header.") from None
        except (UnicodeDecodeError, LookupError) as error:
            remedy = "Set `encoding:` in the mapping, for instance to latin-1."
            raise InputError(f"not {self.encoding} text: {error}", where=where, remedy=remedy) from None
        except (pd.errors.ParserError, ValueError) as error:
            remedy = "Check that line, and `delimiter:` in the mapping."
            raise InputError(f"not a readable CSV file: {error}".strip(), where=where, remedy=remedy) from None


def _no_parquet(path: Path, error: Exception) -> InputError:
    remedy = "Write it again as Parquet, or give CSV."
    return InputError(f"not a readable Parquet file: {error}", where=str(path), remedy=remedy)


def check_columns(present: list[str], wanted: list[str], path: Path, delimiter: str = "") -> None:
    """Refuse columns that are missing or ambiguous.

    Raises:
        InputError: naming the column and those that are there.
    """
    counts = Counter(present)
    for column in wanted:
        where = f"{path}, column {column!r}"
        if counts[column] > 1:
            raise InputError(f"{counts[column]} columns have this name", where=where, remedy="Rename all but one.")
        if counts[column] == 0:
            raise InputError("no such column", where=where, remedy=_missing_remedy(column, present, delimiter))


def _missing_remedy(column: str, present: list[str], delimiter: str) -> str:
    close = get_close_matches(column, present, n=1)
    there = ", ".join(map(repr, present[:20]))
    if close:
        return f"Did you mean {close[0]!r}? The file has {there}."
    if delimiter and len(present) == 1:
        return f"The file has one column, {there}: set `delimiter:` in the mapping if it is not {delimiter!r}."
    return f"The file has {there}."


def as_text(values: pd.Series) -> pd.Series:
    """Values as strings, nulls kept; whole numbers that a null made floats are written without ".0"."""
    if isinstance(values.dtype, pd.StringDtype):
        return values.astype("str")
    if pd.api.types.is_float_dtype(values):
        present = values.dropna()
        if np.isfinite(present).all() and (present == np.floor(present)).all():
            values = values.astype("Int64")
    if pd.api.types.is_numeric_dtype(values):
        array = pa.array(values, from_pandas=True).cast(pa.large_string())
        return pd.Series(array.to_pandas(), index=values.index, dtype="str", name=values.name)
    return values.astype("str")
