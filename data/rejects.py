"""Rows that are left out, and why: collected on the way, counted, written to a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.tables import Tables
from files import atomic

Cells = str | npt.NDArray[np.object_] | npt.NDArray[np.str_]
COLUMNS = ["table", "row", "column", "value", "reason"]


class Rejects:
    """Collects rows that are left out.

    Frames must carry the number of the row in their source (0 for the first) as their index; rejects tell
    it counted from 1, a header not counted.

    Args:
        found: rejects of an earlier step, with the columns of ``COLUMNS``.
    """

    def __init__(self, found: pd.DataFrame | None = None) -> None:
        self._parts: list[pd.DataFrame] = [] if found is None else [found]

    def add(self, table: str, rows: pd.Index, column: Cells, values: Cells, reason: Cells) -> None:
        """Note rows; column, values and reason may be one for all or one per row."""
        part = pd.DataFrame({"row": rows.to_numpy(dtype=np.int64) + 1})
        part["column"], part["value"], part["reason"] = column, values, reason
        part.insert(0, "table", table)
        part["value"] = part["value"].astype("str").fillna("")
        self._parts.append(part)

    def extend(self, found: pd.DataFrame) -> None:
        """Add rejects of another step, with the columns of ``COLUMNS``."""
        self._parts.append(found)

    def drop(
        self,
        frame: pd.DataFrame,
        bad: npt.NDArray[np.bool_] | pd.Series,
        table: str,
        column: str,
        reason: Cells,
    ) -> pd.DataFrame:
        """Note the rows where ``bad`` holds, shape (n,), and return the frame without them.

        Args:
            frame: rows with their number as index.
            bad: True where a row is left out.
            table: name of the table.
            column: the column whose value is to blame.
            reason: why; one for all, or one per bad row.
        """
        bad = np.asarray(bad, dtype=bool)
        if not bad.any():
            return frame
        out = frame[bad]
        self.add(table, out.index, column, out[column].to_numpy(), reason)
        return frame[~bad]

    def frame(self) -> pd.DataFrame:
        """All rejects so far, with the columns of ``COLUMNS``."""
        empty = pd.DataFrame({name: pd.Series(dtype="int64" if name == "row" else "str") for name in COLUMNS})
        parts = [part for part in self._parts if len(part)]
        return pd.concat(parts, ignore_index=True)[COLUMNS] if parts else empty


def count_rejects(tables: Tables) -> pd.DataFrame:
    """Number of rejected rows: columns ``table``, ``reason``, ``rows``, most first."""
    counts = tables.rejects.groupby(["table", "reason"], sort=False).size().reset_index(name="rows")
    return counts.sort_values("rows", ascending=False, kind="stable").reset_index(drop=True)


def write_rejects(tables: Tables, path: Path) -> None:
    """Write the rejects as CSV; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        tables.rejects.to_csv(temporary, index=False)
