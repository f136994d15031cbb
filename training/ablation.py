"""The whole model and its variants, each a run of its own in one folder, and the table that compares them."""

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
from training import ablation_table, ranks
from training.config import from_parsed
from training.folder import CONFIG, RunFolder
from training.job import resolved, run_job, stop_children
from training.variants import WHOLE, chosen

PLACES = ("store", "text_cache")  # where things are kept, which may change between two calls


@dataclass(frozen=True)
class Planned:
    """One run.

    Attributes:
        variant: its name.
        seed: its seed.
        folder: of the run.
        settings: resolved, as of `train.py`.
    """

    variant: str
    seed: int
    folder: RunFolder
    settings: Namespace


def ablate(parser: ArgumentParser, parsed: Namespace, variants: Sequence[str], seeds: Sequence[int], to: Path) -> int:
    """Train the whole model and its variants, unless they are there, and compare them.

    Args:
        parser: of `train.py`.
        parsed: resolved settings of the whole model.
        variants: names; none: all that change something.
        seeds: each variant is trained once with each; none: the settings' seed.
        to: folder; each run is a folder ``VARIANT-SEED`` in it.

    Returns:
        0, or 130 after Ctrl-C; the same command then goes on where it was.

    Raises:
        InputError: something given is wrong, or a run there has other settings or other data.
    """
    if ranks.is_helper():
        return run_job(parser, parser.parse_args(["--config", str(ranks.work_folder() / CONFIG)]))
    changes = chosen(variants, parsed)
    plan = [
        Planned(name, seed, RunFolder(to / f"{name}-{seed}"), _settings(parsed, changed, seed))
        for seed in dict.fromkeys(seeds or [parsed.seed])
        for name, changed in changes.items()
    ]
    with _locked(to):
        for planned in plan:
            from_parsed(parser, planned.settings)
            _check(parser, planned)
        for number, planned in enumerate(plan, 1):
            say("variant", f"{planned.variant}, seed {planned.seed} ({number} of {len(plan)})")
            code = _trained(parser, planned)
            if code:
                say("interrupted", "the same command goes on where this one was")
                return code
        runs = {name: {one.seed: one.folder.final for one in plan if one.variant == name} for name in changes}
        ablation_table.write(to, from_parsed(parser, plan[0].settings), runs, changes, WHOLE)
    say("done", f"{to / ablation_table.MARKDOWN}")
    return 0


def _settings(parsed: Namespace, changes: dict[str, Any], seed: int) -> Namespace:
    """A run's settings: no baselines, nothing is written into the shared graph, and what the variant changes."""
    found = parsed.clone()
    always = {"seed": seed, "baselines.names": [], "kg.write_back": False, "out": None, "resume": None}
    for name, value in (always | changes).items():
        found[name] = value
    return found


@contextmanager
def _locked(to: Path) -> Iterator[None]:
    """Make the folder and hold it for this process alone."""
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "Give a --to that can be written."
        raise InputError(f"cannot be made: {error.strerror}", where=str(to), remedy=remedy) from error
    lock = filelock.FileLock(to / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        remedy = "Wait for it, or give another --to."
        raise InputError("another process works on this ablation", where=str(to), remedy=remedy) from error
    try:
        yield
    finally:
        lock.release()


def _check(parser: ArgumentParser, planned: Planned) -> None:
    """Refuse a run, finished or not, that was begun with other settings."""
    for folder in (planned.folder.final, planned.folder.work):
        if not (folder / CONFIG).is_file():
            continue
        there = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
        wanted = yaml.safe_load(resolved(parser, planned.settings))
        other = _differing(there, wanted)
        if other:
            remedy = "Give the settings that it was made with, or another --to, or remove it."
            raise InputError(f"this run has another {other[0]}", where=str(folder), remedy=remedy)


def _differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
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
        return run_job(parser, settings)


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
