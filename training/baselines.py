"""The baselines of a run, tuned and ranked in a process of their own while the model trains."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from console import say
from data.config import DataConfig
from data.dataset import Dataset
from data.load import load
from data.splits import ProtocolConfig, Targets, targets
from errors import InputError
from evaluation.baselines import default_grids
from evaluation.boosting import LightGbm, default_grid, tune_lightgbm
from evaluation.extra import extra_grids
from evaluation.factorised import Factorised
from evaluation.ranking import Rankings, rank
from evaluation.scorer import Problem, Scorer
from evaluation.tuning import Baseline, Tuned, run_baselines, settings
from evidence.config import EvidenceConfig
from evidence.interest import InterestEvidence
from files import atomic, read_json, write_json
from training.config import BaselineConfig


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
    catalogue = dataset.catalogue
    boosted = _Boosted(job)
    levels = [catalogue.interest, catalogue.below, None] if catalogue.below else [catalogue.interest, None]
    for level in levels:
        test = Problem(dataset, level, job.protocol.test_cutoff)
        for name, grid in (default_grids(test) | extra_grids(test)).items():
            if name in job.baselines.names:
                _finish(job, test, name, partial(_simple, name=name, grid=grid, seed=job.seed))
    for level in levels if "lightgbm" in job.baselines.names else []:
        test = Problem(dataset, level, job.protocol.test_cutoff)
        _finish(job, test, "lightgbm", boosted.run)


@dataclass(frozen=True)
class _Parts:
    """A level's problems and targets at the validation and the test cut-off."""

    validation: Problem
    wanted: Targets
    test: Problem
    test_targets: Targets


def _finish(job: Job, test: Problem, name: str, make: Callable[[_Parts], Baseline]) -> None:
    """Make a baseline's rankings and facts at a level, unless they are there."""
    folder = job.folder / test.name
    folder.mkdir(exist_ok=True)
    if (folder / f"{name}.npz").exists():
        return
    validation, horizon = test.at(job.protocol.validation_cutoff), job.protocol.horizon
    wanted, test_targets = (targets(test.dataset, test.level, p.cutoff, horizon) for p in (validation, test))
    baseline = make(_Parts(validation, wanted, test, test_targets))
    facts = {
        "settings": settings(baseline.tuned.scorer),
        "trials": [vars(trial) for trial in baseline.tuned.trials],
        "seconds": baseline.seconds,
    }
    write_json(folder / f"{name}.json", facts)
    save_rankings(baseline.rankings, folder / f"{name}.npz")


def _simple(parts: _Parts, name: str, grid: list[Scorer], seed: int) -> Baseline:
    done = run_baselines({name: grid}, parts.validation, parts.wanted, parts.test, parts.test_targets, seed=seed)
    return done[name]


class _Boosted:
    """LightGBM at the interest level, and below it that same model carried down by shares."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._top: tuple[LightGbm, Problem, Tuned] | None = None

    def run(self, parts: _Parts) -> Baseline:
        """Tune, fit and rank at a level."""
        started = perf_counter()
        scorer, fitted, tuned = self._fitted(parts)
        if parts.test.level is not fitted.level:
            factorised = Factorised(scorer, fitted=fitted).fit(parts.test)
            tuned = Tuned(factorised, [], 0)
        rankings = rank(tuned.scorer, parts.test, parts.test_targets, seed=self.job.seed)
        seconds = perf_counter() - started
        say("baseline", f"lightgbm ({parts.test.name}): {seconds:.1f} s")
        return Baseline(rankings, tuned, seconds)

    def _fitted(self, parts: _Parts) -> tuple[LightGbm, Problem, Tuned]:
        if self._top is None:
            dataset, protocol = parts.test.dataset, self.job.protocol
            interest = dataset.catalogue.interest
            test = Problem(dataset, interest, protocol.test_cutoff)
            validation = test.at(protocol.validation_cutoff)
            wanted = targets(dataset, interest, validation.cutoff, protocol.horizon)
            grid = default_grid(protocol, self.job.baselines.threads, self.job.seed)
            provider = lru_cache(None)(self._evidence(dataset))
            tuned = tune_lightgbm(grid, validation, wanted, test, protocol.refit_cutoffs, evidence=provider)
            assert isinstance(tuned.scorer, LightGbm)
            self._top = (tuned.scorer, test, tuned)
        return self._top

    def _evidence(self, dataset: Dataset) -> Callable[[int], InterestEvidence]:
        catalogue = dataset.catalogue
        return lambda cutoff: InterestEvidence(dataset, catalogue.interest, catalogue.above, cutoff, self.job.evidence)


def collect(folder: Path, names: Sequence[str]) -> dict[str, tuple[Rankings, dict[str, Any]]]:
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
