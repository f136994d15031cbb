"""What changed between two exports: the rows to write, the ids that are gone, and the way from the old to the new."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from errors import InputError
from export.folder import made
from export.manifest import Manifest, check_files, described, read_manifest, seal
from export.storage import format_of, stored
from export.table import Batch, Ids, Table, table_of
from files import read_json, write_json

REMOVED = "removed.json"
Digests = npt.NDArray[np.bytes_]
DIGEST_BYTES = 16


def write_delta(old: Path, new: Path, to: Path) -> Manifest:
    """Write the rows of a new export that the old one lacks or has otherwise, and the ids that it has no more.

    A table whose columns are not those of the old one is written whole.

    Args:
        old: folder of the old export.
        new: folder of the new one.
        to: folder to write in.

    Returns:
        The manifest: ``base`` is the old manifest's checksum, ``target`` the new manifest.

    Raises:
        InputError: one of the exports is none, or damaged.
    """
    before, after = read_manifest(old), read_manifest(new)
    check_files(old, before)
    entries, removed = [], {}
    for entry in after["tables"]:
        fresh = stored(new, after, entry["name"])
        known = _same(old, before, entry)
        changed = fresh if known is None else only(fresh, _changed(fresh, known))
        if known is not None:
            removed[entry["name"]] = np.setdiff1d(known.ids, fresh.ids).tolist()
        entries.append(described(changed, format_of(after["storage"]).write(to, changed)))
    write_json(to / REMOVED, removed)
    for name in _beside_tables(after):
        shutil.copy(new / name, to / name)
    facts = {"kind": "delta", "storage": after["storage"], "base": before["checksum"], "target": after}
    return seal(to, {**facts, "tables": entries})


def apply(old: Path | str, delta: Path | str, to: Path | str, overwrite: bool = False) -> None:
    """Bring an old export up to date: the result is the new export, file by file and bit by bit.

    Args:
        old: folder of the export that the changes were counted from.
        delta: folder that ``--changed-since`` wrote.
        to: folder to make; the old one itself with ``overwrite``.
        overwrite: replace an export that is there.

    Raises:
        InputError: a folder is damaged or not what it should be, or the changes are those of another export.
    """
    old, delta = Path(old), Path(delta)
    before, change = read_manifest(old), read_manifest(delta, "delta")
    if change["base"] != before["checksum"]:
        remedy = "Give the export that --changed-since named."
        raise InputError("these are the changes of another export", where=str(delta), remedy=remedy)
    check_files(old, before)
    check_files(delta, change)
    target, removed = change["target"], read_json(delta / REMOVED)
    with made(Path(to), overwrite) as folder:
        for entry in target["tables"]:
            fresh, known = stored(delta, change, entry["name"]), _same(old, before, entry)
            whole = fresh if known is None else merged(known, fresh, removed[entry["name"]])
            format_of(target["storage"]).write(folder, whole)
        for name in _beside_tables(target):
            shutil.copy(delta / name, folder / name)
        check_files(folder, target)
        write_json(folder / "manifest.json", target)


def _beside_tables(manifest: Manifest) -> list[str]:
    """Names of the files that belong to no table: the card, programs. They are written whole."""
    of_tables = {name for entry in manifest["tables"] for name in entry["files"]}
    return sorted(set(manifest["files"]) - of_tables)


def _same(folder: Path, manifest: Manifest, entry: Manifest) -> Table | None:
    """The old table that the new one follows; None where there is none of that name and with these columns."""
    alike = [one for one in manifest["tables"] if (one["name"], one["columns"]) == (entry["name"], entry["columns"])]
    return stored(folder, manifest, entry["name"]) if alike else None


def _changed(fresh: Table, known: Table) -> npt.NDArray[np.bool_]:
    """True for the rows that the known table lacks or has otherwise, shape (fresh rows,)."""
    place = np.searchsorted(known.ids, fresh.ids)
    there = place < len(known.ids)
    there[there] = known.ids[place[there]] == fresh.ids[there]
    changed = ~there
    changed[there] = digests(fresh)[there] != digests(known)[place[there]]
    return changed


def digests(table: Table) -> Digests:
    """A checksum (BLAKE2b) of each row's numbers, shape (rows,)."""
    found = []
    for batch in table.batches():
        parts = [np.ascontiguousarray(batch[column.name]) for column in table.columns]
        sides = [part.reshape(len(part), -1).view(np.uint8).reshape(len(part), -1) for part in parts]
        found += [hashlib.blake2b(row.data, digest_size=DIGEST_BYTES).digest() for row in np.hstack(sides)]
    return np.array(found, dtype=f"V{DIGEST_BYTES}")


def only(table: Table, kept: npt.NDArray[np.bool_]) -> Table:
    """Some of a table's rows."""

    def batches() -> Iterator[Batch]:
        first = 0
        for batch in table.batches():
            size = len(next(iter(batch.values())))
            part = kept[first : first + size]
            yield {name: values[part] for name, values in batch.items()}
            first += size

    return Table(table.name, table.ids[kept], table.columns, batches)


def merged(known: Table, fresh: Table, removed: list[str]) -> Table:
    """The known rows that are neither gone nor among the fresh ones, and these; both are read whole.

    Args:
        known: the old table.
        fresh: its changed and new rows.
        removed: ids that are gone.
    """
    kept = only(known, ~np.isin(known.ids, np.concatenate([fresh.ids, np.array(removed, dtype=str)])))
    before, after = kept.whole(), fresh.whole()
    ids: Ids = np.concatenate([kept.ids, fresh.ids])
    return table_of(known.name, ids, {name: np.concatenate([before[name], after[name]]) for name in after})
