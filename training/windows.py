"""Several test windows and seeds: each pair an ordinary run in one folder, and a summary of all beside them."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from console import say
from data.dataset import Dataset
from data.load import load
from data.splits import ProtocolConfig
from data.windows import windows
from errors import InputError
from files import read_json, write_json
from training import build, ranks, windows_summary
from training.config import TrainConfig, from_parsed
from training.folder import RunFolder
from training.job import run_job
from training.series import Planned, check_data, help_out, locked, seeds_of, settings_of, train_all

BASELINES, MADE_FROM = "baselines", "made_from.json"
MOVED = ("test_cutoff", "validation_cutoff", "train_cutoffs", "refit_cutoffs")


def run(parser: ArgumentParser, parsed: Namespace) -> int:
    """The main job: one run, or one for each test window and seed where several are asked for.

    Args:
        parser: of `train.py`.
        parsed: resolved settings, with ``out`` and ``resume``.

    Returns:
        0, or 130 after Ctrl-C.

    Raises:
        InputError: something given is wrong.
    """
    if parsed.seeds is None and parsed.protocol.test_cutoffs is None:
        return run_job(parser, parsed)
    if ranks.is_helper():
        return help_out(parser)
    return run_windows(parser, parsed)


def run_windows(parser: ArgumentParser, parsed: Namespace) -> int:
    """Train each window with each seed, unless it is there, and sum them up.

    Every pair is an ordinary run in a folder ``WINDOW-SEED``; the latest window comes first, each with all its seeds.
    Baselines are tuned and trained once for each window, with the first seed, and kept in ``baselines/WINDOW``.

    Raises:
        InputError: something given is wrong, or a run there has other settings or other data.
    """
    config = from_parsed(parser, parsed)
    seeds, to = seeds_of(parsed), RunFolder.place(parsed.out)
    if (to / "metrics.json").exists():
        raise InputError("this is a run", where=str(to), remedy="Give another --out for several runs.")
    dataset = load(config.data)
    protocols = windows(config.protocol, dataset.log)
    plan = [_planned(to, parsed, protocol, seed) for protocol in reversed(protocols) for seed in seeds]
    for planned in plan:
        if planned.folder.final.exists():
            check_data(dataset.fingerprint, planned.folder.final)
    with locked(to, "--out"):
        say(
            "folder", f"{to}" if parsed.out else f"{to}; after an interruption the same command with --out {to} goes on"
        )
        for protocol in protocols:
            _keep_or_empty(_baselines(to, protocol), _made_from(config, protocol, dataset, seeds[0]))
        code = train_all(parser, plan, "window")
        if code:
            return code
        windows_summary.write(to, config, dataset, runs_of(to, protocols, seeds))
    say("done", f"{to / windows_summary.HTML}")
    return 0


def runs_of(to: Path, protocols: list[ProtocolConfig], seeds: list[int]) -> list[windows_summary.WindowRuns]:
    """The finished runs in a folder, by window."""
    return [
        windows_summary.WindowRuns(
            protocol, {seed: _folder(to, protocol, seed).final for seed in seeds}, _baselines(to, protocol)
        )
        for protocol in protocols
    ]


def _planned(to: Path, parsed: Namespace, protocol: ProtocolConfig, seed: int) -> Planned:
    changes: dict[str, Any] = {f"protocol.{name}": getattr(protocol, name) for name in MOVED} | {"seed": seed}
    folder = _folder(to, protocol, seed)
    return Planned(str(protocol.test_cutoff), seed, folder, settings_of(parsed, changes), _baselines(to, protocol))


def _folder(to: Path, protocol: ProtocolConfig, seed: int) -> RunFolder:
    return RunFolder(to / f"{protocol.test_cutoff}-{seed}")


def _baselines(to: Path, protocol: ProtocolConfig) -> Path:
    return to / BASELINES / str(protocol.test_cutoff)


def _made_from(config: TrainConfig, protocol: ProtocolConfig, dataset: Dataset, seed: int) -> dict[str, Any]:
    """All that a window's baselines depend on."""
    evidence = build.evidence_config(config)
    facts = {"data_fingerprint": dataset.fingerprint, "seed": seed, "names": list(config.baselines.names)}
    return facts | {"protocol": asdict(protocol), "evidence": asdict(evidence)}


def _keep_or_empty(folder: Path, made_from: dict[str, Any]) -> None:
    """Keep a window's baselines if they were made from the same; else make room for new ones."""
    if (folder / MADE_FROM).exists() and read_json(folder / MADE_FROM) == made_from:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_json(folder / MADE_FROM, made_from)
