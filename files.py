"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from errors import InputError

PARTIAL = ".partial"
OLD = ".old"


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, which replaces it when the body ends well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield ``TARGET.partial`` to write in; it becomes the target when the body ends well, and is removed otherwise.

    A target that is there is moved aside by one renaming and replaced by the next one, so that a reader finds the old
    one, the new one, or for a moment none: never a part of one.

    Raises:
        InputError: its place cannot be written.
    """
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


def check_folder(folder: Path) -> None:
    """Refuse a folder that is not there, before hours are spent on what shall be read from it or written into it.

    Raises:
        InputError: it is not there.
    """
    if not folder.is_dir():
        raise InputError("there is no such folder", where=str(folder), remedy="Make it, or name another.")


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401
    """Write JSON (UTF-8, indented, no NaN) atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:  # noqa: ANN401
    """Read JSON."""
    return json.loads(path.read_text(encoding="utf-8"))
