"""``manifest.json``: what an export holds, where it comes from, and the checksums of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from errors import InputError
from export.table import Column, Table
from files import read_json, write_json

FORMAT = 1
NAME = "manifest.json"
CARD = "README.md"
REMEDY = "Write the export again, or copy it anew."

Manifest = dict[str, Any]


def described(table: Table, files: Sequence[str]) -> Manifest:
    """A table's entry: ``name``, ``rows``, ``columns`` (name, width, dtype) and ``files``."""
    return {
        "name": table.name,
        "rows": len(table.ids),
        "columns": [vars(column) for column in table.columns],
        "files": list(files),
    }


def columns_of(entry: Mapping[str, Any]) -> tuple[Column, ...]:
    """The columns that a table's entry names."""
    return tuple(Column(**column) for column in entry["columns"])


def sha256(path: Path) -> str:
    """Checksum of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(folder: Path, facts: Mapping[str, Any]) -> Manifest:
    """Write the manifest of a folder whose other files are all there.

    Args:
        folder: of the export.
        facts: all that the manifest tells but ``files`` and ``checksum``.

    Returns:
        The manifest: the facts, each file's sha256 and size under ``files``, and a ``checksum`` over all of this.
    """
    names = sorted(path.name for path in folder.iterdir() if path.name != NAME)
    files = {name: {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size} for name in names}
    manifest = {"format": FORMAT, **facts, "files": files}
    manifest["checksum"] = checksum(manifest)
    write_json(folder / NAME, manifest)
    return manifest


def checksum(manifest: Mapping[str, Any]) -> str:
    """Sha256 over everything in a manifest but its own checksum, in hex."""
    rest = {name: value for name, value in manifest.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def read_manifest(folder: Path, kind: str = "export") -> Manifest:
    """A folder's manifest.

    Args:
        folder: of an export, or of the changes between two.
        kind: ``export`` or ``delta``.

    Raises:
        InputError: there is none, it is damaged, of another version or of another kind.
    """
    path = folder / NAME
    try:
        manifest: Manifest = read_json(path)
        version, found, whole = manifest["format"], manifest["kind"], manifest["checksum"] == checksum(manifest)
    except OSError as error:
        raise InputError("no export is here", where=str(folder), remedy=f"Give a folder with a {NAME}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError("this is no manifest of an export", where=str(path), remedy=REMEDY) from error
    if version != FORMAT:
        remedy = "Write the export again, or use the version that made it."
        raise InputError(f"format {version}; this version reads {FORMAT}", where=str(path), remedy=remedy)
    if not whole:
        raise InputError("the manifest was changed after it was written", where=str(path), remedy=REMEDY)
    if found != kind:
        what = {"export": "a whole export", "delta": "the changes that --changed-since wrote"}
        remedy = f"Give the folder of {what[kind]}."
        raise InputError(f"this holds {what.get(found, found)}", where=str(folder), remedy=remedy)
    return manifest


def check_files(folder: Path, manifest: Manifest) -> None:
    """Compare a folder's files with the manifest's checksums.

    Raises:
        InputError: a file is missing or differs.
    """
    for name, facts in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise InputError("this file is missing", where=str(path), remedy=REMEDY)
        if path.stat().st_size != facts["bytes"] or sha256(path) != facts["sha256"]:
            raise InputError("this file is not the one that was written", where=str(path), remedy=REMEDY)
