"""Reading an export: checked against its manifest, as arrays or frames; and bringing an old one up to date."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from errors import InputError
from export.delta import apply
from export.manifest import Manifest, check_files, read_manifest
from export.quantise import SCALE, decoded
from export.storage import stored
from export.table import BETWEEN, FEATURES, Array, Ids, Table

__all__ = ["Export", "apply"]


@dataclass(frozen=True)
class Export:
    """An export on the disk.

    Attributes:
        folder: of the export.
        manifest: what it tells of itself.
    """

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: Path | str, check: bool = True) -> Self:
        """Open an export.

        Args:
            folder: of the export.
            check: compare every file with its checksum first.

        Raises:
            InputError: no export, a damaged one, or one of another version.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        if check:
            check_files(folder, manifest)
        return cls(folder, manifest)

    @property
    def tables(self) -> list[str]:
        """Names of the tables."""
        return [entry["name"] for entry in self.manifest["tables"]]

    def table(self, name: str) -> Table:
        """A table as it is stored, to be read batch by batch.

        Raises:
            InputError: there is no such table, or its files are no such files.
        """
        return stored(self.folder, self.manifest, name)

    def ids(self, name: str) -> Ids:
        """Ids of a table's rows, shape (rows,)."""
        return self.table(name).ids

    def array(self, name: str, column: str = "embedding") -> Array:
        """A column as it is computed with: vectors as 32-bit floats, shape (rows, width); figures of shape (rows,).

        Raises:
            InputError: there is no such table or column.
        """
        table = self.table(name)
        found = [one for one in table.columns if one.name == column]
        if not found:
            remedy = f"It holds {', '.join(one.name for one in table.columns)}."
            raise InputError(f"there is no column {column!r}", where=f"table {name}", remedy=remedy)
        return decoded(found[0], table.whole())

    def frame(self, name: str) -> pd.DataFrame:
        """A table as a frame with a column ``id``; vectors as arrays of 32-bit floats, one in each cell."""
        table = self.table(name)
        held = table.whole()
        kept = [column for column in table.columns if not column.name.endswith(SCALE)]
        values = {column.name: decoded(column, held) for column in kept}
        cells = {name: list(found) if found.ndim == 2 else found for name, found in values.items()}
        return pd.DataFrame({"id": table.ids, **cells})

    def pairs(self, label: str) -> pd.DataFrame:
        """Features of pairs of users and items: ``user_id``, ``item_id``, and a column for each feature.

        Args:
            label: of the items, such as ``Product``.

        Raises:
            InputError: the export holds none.
        """
        table = self.table(label + FEATURES)
        ids = np.array([one.split(BETWEEN) for one in table.ids.tolist()], dtype=str).reshape(-1, 2)
        return pd.DataFrame({"user_id": ids[:, 0], "item_id": ids[:, 1], **table.whole()})
