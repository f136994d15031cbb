"""Several runs in one folder: planned together, each an ordinary run, none trained twice."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import yaml
from jsonargparse import ArgumentParser, Namespace

from console import say
from errors import InputError
from files import read_json
from training import ranks
from training.config import from_parsed
from training.folder import CONFIG, RunFolder
from training.initial import check_same
from training.job import resolved, run_job, stop_children

PLACES = ("store", "text_cache")  # where things are kept, which may change between two calls


@dataclass(frozen=True)
class Planned:
    """One run.

    Attributes:
        name: what it is, such as a variant.
        seed: its seed.
        folder: of the run.
        settings: resolved, as of `train.py`.
        baselines: folder of baselines that it shares with other runs; None: its own, if any.
    """

    name: str
    seed: int
    folder: RunFolder
    settings: Namespace
    baselines: Path | None = None


def settings_of(parsed: Namespace, changes: dict[str, Any]) -> Namespace:
    """A run's settings: nothing is written into the shared graph, it is a single run, and what is changed for it.

    Args:
        parsed: resolved settings of the command.
        changes: values by dotted name.
    """
    found = parsed.clone()
    single = {"seeds": None, "protocol.test_cutoffs": None, "out": None, "resume": None}
    for name, value in (single | {"kg.write_back": False} | changes).items():
        found[name] = value
    return found


def seeds_of(parsed: Namespace) -> list[int]:
    """The seeds that are asked for, each once.

    Raises:
        InputError: an empty list of them.
    """
    if parsed.seeds is not None and not parsed.seeds:
        raise InputError("no seed", where="--seeds", remedy="Give at least one, or leave it out.")
    return list(dict.fromkeys([parsed.seed] if parsed.seeds is None else parsed.seeds))


def help_out(parser: ArgumentParser) -> int:
    """Train beside the process that started this one, with the settings of the run that it works on."""
    return run_job(parser, parser.parse_args(["--config", str(ranks.work_folder() / CONFIG)]))


def train_all(parser: ArgumentParser, plan: Sequence[Planned], what: str) -> int:
    """Train the runs in turn, unless they are there.

    Args:
        parser: of `train.py`.
        plan: the runs.
        what: the kind of thing that they are, for the lines that are printed.

    Returns:
        0, or 130 after Ctrl-C; called again, it goes on where it was.

    Raises:
        InputError: something given is wrong, or a run there has other settings; nothing was trained.
    """
    for planned in plan:
        from_parsed(parser, planned.settings)
        _check(parser, planned)
    for number, planned in enumerate(plan, 1):
        say(what, f"{planned.name}, seed {planned.seed} ({number} of {len(plan)})")
        code = _trained(parser, planned)
        if code:
            say("interrupted", "the same command goes on where this one was")
            return code
    return 0


def check_data(fingerprint: str, folder: Path) -> None:
    """Refuse a finished run of other data.

    Args:
        fingerprint: of the data at hand.
        folder: of the run.

    Raises:
        InputError: it was made from other data.
    """
    if read_json(folder / "environment.json")["data_fingerprint"] != fingerprint:
        remedy = "Give the data of the run, or remove it to train it again."
        raise InputError("the data have changed since this run", where=str(folder), remedy=remedy)


@contextmanager
def locked(to: Path, flag: str) -> Iterator[None]:
    """Make the folder of several runs and hold it for this process alone.

    Args:
        to: the folder.
        flag: that gave it, for messages.

    Raises:
        InputError: it cannot be made, or another process works on it.
    """
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = f"Give a {flag} that can be written."
        raise InputError(f"cannot be made: {error.strerror}", where=str(to), remedy=remedy) from error
    lock = filelock.FileLock(to / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        remedy = f"Wait for it, or give another {flag}."
        raise InputError("another process works on these runs", where=str(to), remedy=remedy) from error
    try:
        yield
    finally:
        lock.release()


def _check(parser: ArgumentParser, planned: Planned) -> None:
    """Refuse a run, finished or not, that was begun with other settings."""
    for folder in (planned.folder.final, planned.folder.work):
        if not (folder / CONFIG).is_file():
            continue
        check_same(planned.settings.init_from, folder)
        there = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
        wanted = yaml.safe_load(resolved(parser, planned.settings))
        other = differing(there, wanted)
        if other:
            remedy = "Give the settings that it was made with, or another folder, or remove it."
            raise InputError(f"this run has another {other[0]}", where=str(folder), remedy=remedy)


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Dotted names of settings in which two resolved configurations differ, places apart."""
    flat = [{k: v for k, v in _flat(given) if k.partition(".")[0] not in PLACES} for given in (one, other)]
    names = dict.fromkeys([*flat[0], *flat[1]])
    return [name for name in names if name not in flat[0] or name not in flat[1] or flat[0][name] != flat[1][name]]


def _flat(given: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in given.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _trained(parser: ArgumentParser, planned: Planned) -> int:
    """Train a run, or take it up where it was left; 0 when it is finished."""
    folder, settings = planned.folder, planned.settings.clone()
    if folder.final.exists():
        say("", f"finished already: {folder.final}")
        return 0
    if (folder.work / CONFIG).is_file():
        settings.resume = folder.work
    else:  # ended before it had begun
        shutil.rmtree(folder.work, ignore_errors=True)
        settings.out = folder.final
    with _environment_kept():
        return run_job(parser, settings, planned.baselines)


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Take back what a run leaves in the process: its memory, and variables that tell Lightning of helpers."""
    before = dict(os.environ)
    try:
        yield
    finally:
        stop_children()
        os.environ.clear()
        os.environ.update(before)
        gc.collect()
