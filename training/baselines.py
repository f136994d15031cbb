"""The baselines of a run, tuned and ranked in a process of their own while the model trains."""

from __future__ import annotations

import multiprocessing
import os
import threading
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from data.config import DataConfig
from data.dataset import Dataset
from data.load import load
from data.splits import ProtocolConfig, targets
from errors import InputError
from evaluation.baselines import default_grids
from evaluation.ranking import Rankings
from evaluation.scorer import Problem
from evaluation.tuning import run_baselines, settings
from evidence.interest import EvidenceConfig
from training.files import atomic, read_json, write_json


@dataclass
class BaselineConfig:
    """What the model is compared with.

    Attributes:
        names: the baselines, of ``popularity``, ``recent_popularity``, ``item_cosine``, ``ease``, ``als`` and
            ``lightgbm``; those that do not fit a level's size are left out there.
        threads: CPU threads of the baselines' process.
    """

    names: list[str] = field(
        default_factory=lambda: ["popularity", "recent_popularity", "item_cosine", "ease", "als", "lightgbm"]
    )
    threads: int = 1


@dataclass(frozen=True)
class Job:
    """What the baselines' process is given; plain values, so that it can be sent there.

    Attributes:
        data: where the purchases come from.
        protocol: cut-offs.
        evidence: what LightGBM is given.
        baselines: which ones.
        folder: where results are put, one file per level and baseline.
        seed: of the ties and of what is drawn.
    """

    data: DataConfig
    protocol: ProtocolConfig
    evidence: EvidenceConfig
    baselines: BaselineConfig
    folder: Path
    seed: int


def start(job: Job) -> BaseProcess:
    """Begin the baselines in a fresh process with its own number of threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(job.baselines.threads)))
    try:
        process = multiprocessing.get_context("spawn").Process(target=_main, args=(job,), name="baselines", daemon=True)
        process.start()
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
    return process


def _main(job: Job) -> None:
    """The process: ends when its parent does, and leaves an error message where it fails."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        run(job, load(job.data))
    except KeyboardInterrupt:
        return
    except InputError as error:
        write_json(job.folder / "error.json", {"message": str(error)})


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def run(job: Job, dataset: Dataset) -> None:
    """Tune and rank every baseline at every level; what is there already is left as it is."""
    job.folder.mkdir(parents=True, exist_ok=True)
    (job.folder / "error.json").unlink(missing_ok=True)
    catalogue, protocol = dataset.catalogue, job.protocol
    levels = [catalogue.interest, None] if catalogue.below is None else [catalogue.interest, catalogue.below, None]
    for level in levels:
        test = Problem(dataset, level, protocol.test_cutoff)
        folder = job.folder / test.name
        folder.mkdir(exist_ok=True)
        grids = _grids(test, job)
        for name, grid in grids.items():
            if name not in job.baselines.names or (folder / f"{name}.npz").exists():
                continue
            validation = test.at(protocol.validation_cutoff)
            found = [targets(dataset, level, p.cutoff, protocol.horizon) for p in (validation, test)]
            baseline = run_baselines({name: grid}, validation, found[0], test, found[1])[name]
            facts = {
                "settings": settings(baseline.tuned.scorer),
                "trials": [vars(trial) for trial in baseline.tuned.trials],
                "seconds": baseline.seconds,
            }
            write_json(folder / f"{name}.json", facts)
            save_rankings(baseline.rankings, folder / f"{name}.npz")


def _grids(test: Problem, job: Job) -> dict[str, Any]:
    return default_grids(test)


def collect(folder: Path, names: list[str]) -> dict[str, tuple[Rankings, dict[str, Any]]]:
    """A level's finished baselines, in the order of the names."""
    there = [name for name in names if (folder / f"{name}.npz").exists()]
    return {name: (load_rankings(folder / f"{name}.npz"), read_json(folder / f"{name}.json")) for name in there}


def save_rankings(rankings: Rankings, path: Path) -> None:
    """Write rankings as an uncompressed npz, atomically."""
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(file, users=rankings.users, items=rankings.items, scores=rankings.scores, n_items=rankings.n_items)


def load_rankings(path: Path) -> Rankings:
    """Read rankings; nothing is unpickled."""
    with np.load(path, allow_pickle=False) as file:
        return Rankings(file["users"], file["items"], file["scores"], int(file["n_items"]))
