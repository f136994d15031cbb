"""The export's folder: made beside its target, and put in its place when everything in it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from errors import InputError
from files import whole_folder


@contextmanager
def made(target: Path, overwrite: bool = False) -> Iterator[Path]:
    """`files.whole_folder`, of an export alone.

    Args:
        target: folder to make.
        overwrite: replace an export that is there.

    Raises:
        InputError: the target is there and is not to be replaced, or its place cannot be written.
    """
    refuse_existing(target, overwrite)
    with whole_folder(target) as work:
        yield work


def refuse_existing(target: Path, overwrite: bool) -> None:
    """Refuse a target that is there and is not to be replaced, or that is no folder.

    Raises:
        InputError: it is so.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise InputError("this is no folder", where=str(target), remedy="Give another --to.")
    if not overwrite:
        remedy = "Give another --to, or --overwrite to replace it."
        raise InputError("this exists already", where=str(target), remedy=remedy)
    if any(target.iterdir()) and not (target / "manifest.json").is_file():
        raise InputError("this is no export, and is not replaced", where=str(target), remedy="Give another --to.")
