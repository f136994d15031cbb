"""The export's folder: made beside its target, and put in its place when everything in it is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from errors import InputError

PARTIAL = ".partial"
OLD = ".old"


@contextmanager
def made(target: Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield ``TARGET.partial`` to write in; it becomes the target when the body ends well, and is removed otherwise.

    A target that is there is moved aside by one renaming and replaced by the next one, so that a reader finds the old
    one, the new one, or for a moment none: never a part of one.

    Args:
        target: folder to make.
        overwrite: replace a folder that is there.

    Raises:
        InputError: the target is there and is not to be replaced, or its place cannot be written.
    """
    refuse_existing(target, overwrite)
    work = target.with_name(target.name + PARTIAL)
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True)
    except OSError as error:
        remedy = "Give a folder that can be written as --to."
        raise InputError(f"cannot be made: {error.strerror}", where=str(work), remedy=remedy) from error
    try:
        yield work
        _switch(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


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


def _switch(work: Path, target: Path) -> None:
    old = target.with_name(target.name + OLD)
    shutil.rmtree(old, ignore_errors=True)
    there = target.exists()
    if there:
        os.replace(target, old)
    try:
        os.replace(work, target)
    except OSError:
        if there:
            os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)
