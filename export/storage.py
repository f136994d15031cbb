"""The kinds of files that an export can be kept in, and its tables as they lie there."""

from __future__ import annotations

from pathlib import Path

from errors import InputError
from export.faiss_format import Faiss
from export.formats import Format, Numpy, Parquet, Safetensors
from export.manifest import REMEDY, Manifest, columns_of
from export.table import Table

FORMATS: dict[str, type[Format]] = {
    "parquet": Parquet,
    "numpy": Numpy,
    "safetensors": Safetensors,
    "faiss": Faiss,
}


def format_of(storage: str) -> Format:
    """The format of that name."""
    return FORMATS[storage]()


def stored(folder: Path, manifest: Manifest, name: str) -> Table:
    """A table of an export or of changes, by its manifest.

    Raises:
        InputError: there is no such table, or its files are no such files.
    """
    entries = {entry["name"]: entry for entry in manifest["tables"]}
    if name not in entries:
        remedy = f"It holds {', '.join(entries)}."
        raise InputError(f"there is no table {name!r}", where=str(folder), remedy=remedy)
    entry = entries[name]
    try:
        table = format_of(manifest["storage"]).read(folder, name, columns_of(entry))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"table {name} cannot be read: {error}", where=str(folder), remedy=REMEDY) from error
    if len(table.ids) != entry["rows"]:
        what = f"table {name} has {len(table.ids)} rows, not {entry['rows']}"
        raise InputError(what, where=str(folder), remedy=REMEDY)
    return table
