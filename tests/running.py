"""`python train.py` started as a person starts it, on a small made-up shop."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

import psutil
import yaml

ROOT = Path(__file__).parents[1]
LEVELS = ["category", "type", "product"]
BASELINES = ["popularity", "recent_popularity", "item_cosine", "ease", "als", "lightgbm"]
TEST_CUTOFF, HORIZON = 31, 6
SIZES = {"products": 240, "users": 60, "departments": 4, "categories": 24, "types_per_category": 3}
SIZES |= {"start_categories": 4, "later_categories": 3}
SETTINGS = {
    "data": {"source": "synthetic", "synthetic": SIZES},
    "protocol": {
        "train_cutoffs": [12, 16],
        "validation_cutoff": 22,
        "refit_cutoffs": [16, 24],
        "test_cutoff": TEST_CUTOFF,
        "horizon": HORIZON,
    },
    "copurchase": {"min_support": 2},
    "store": {"heap": "256m"},
    "text": {"sample": 4, "max_tokens": 16},
    "model": {"dim": 8},
    "optimiser": {"epochs": 5, "patience": 5, "batch_size": 8, "text_epochs": 1, "accelerator": "cpu"},
    "baselines": {"names": BASELINES},
    "seed": 3,
}


def surroundings():
    """The environment of a person who has set nothing of ours."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("NEO4J_", "CROSSAISLE", "PL_"))}
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@dataclass
class Program:
    """`train.py` in a process group of its own; all its descendants are remembered."""

    process: subprocess.Popen
    log: Path
    family: dict[int, psutil.Process] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    def __post_init__(self):
        self._watch = threading.Thread(target=self._remember, daemon=True)
        self._watch.start()

    def _remember(self):
        while self.process.poll() is None:
            try:
                found = psutil.Process(self.process.pid).children(recursive=True)
            except psutil.Error:
                return
            self.family |= {child.pid: child for child in found}
            with contextlib.suppress(psutil.Error):
                self.names |= {child.pid: child.name() for child in found}
            time.sleep(0.1)

    def wait(self, seconds=240):
        code = self.process.wait(seconds)
        self._watch.join()
        return code

    def survivors(self, seconds=15.0):
        """Descendants that are still there some time after the end."""
        _, alive = psutil.wait_procs(list(self.family.values()), timeout=seconds)
        return [child for child in alive if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]

    @property
    def said(self):
        return self.log.read_text(errors="replace")


def start(folder, *arguments):
    log = folder / f"log-{time.monotonic_ns()}"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), *map(str, arguments)],
            cwd=folder,
            env=surroundings(),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Program(process, log)


def write_settings(path, folder, store):
    given = {**SETTINGS, "text_cache": str(folder / "text"), "store": {**SETTINGS["store"], "home": str(store)}}
    path.write_text(yaml.safe_dump(given))
    return path


@dataclass(frozen=True)
class Finished:
    """A whole run: its folder (to be read only), exit code, words, names of its processes, and those that stayed."""

    folder: Path
    code: int
    said: str
    family: list[str]
    survivors: list[str]

    @classmethod
    def make(cls, place: Path) -> Self:
        """Run in a folder of its own, with its own graph store; what was seen is kept beside it."""
        place.mkdir()
        program = start(
            place, "--config", write_settings(place / "settings.yaml", place, place / "graph"), "--out", place / "run"
        )
        code = program.wait()
        left = [child.name() for child in program.survivors()]
        found = cls(place / "run", code, program.said, list(program.names.values()), left)
        (place / "seen.json").write_text(json.dumps(asdict(found) | {"folder": str(found.folder)}))
        return found

    @classmethod
    def read(cls, place: Path) -> Self:
        """What ``make`` saw."""
        facts = json.loads((place / "seen.json").read_text())
        return cls(**facts | {"folder": Path(facts["folder"])})
