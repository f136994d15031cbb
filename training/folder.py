"""The run folder: a work folder beside it while the run goes on, renamed when everything in it is whole."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import filelock
import torch

from errors import InputError
from files import PARTIAL

CONFIG = "config.yaml"
TEXT = "text"
LIBRARIES = (
    "crossaisle", "torch", "torch-geometric", "transformers", "peft", "pytorch-lightning", "neo4j", "networkx",
    "scikit-learn", "lightgbm", "implicit", "arcadedb-embedded", "numpy", "scipy", "pandas", "pyarrow",
)  # fmt: skip


@dataclass(frozen=True)
class RunFolder:
    """Where a run is made and where it ends up.

    Attributes:
        final: folder of the finished run.
    """

    final: Path

    @property
    def work(self) -> Path:
        """Folder while the run goes on."""
        return self.final.with_name(self.final.name + PARTIAL)

    @staticmethod
    def place(out: Path | None) -> Path:
        """Where a finished run is put: ``out``, or ``runs/<time>``."""
        return out or Path("runs") / time.strftime("%Y-%m-%d_%H-%M-%S")

    @classmethod
    def new(cls, out: Path | None) -> RunFolder:
        """A fresh run's folder.

        Args:
            out: of the finished run; None is ``runs/<time>``.

        Raises:
            InputError: something is there already.
        """
        folder = cls(cls.place(out))
        if folder.final.exists():
            raise InputError("this exists already", where=str(folder.final), remedy="Give another --out.")
        if folder.work.exists():
            remedy = f"Go on with it: --resume {folder.work}\n  or remove it, or give another --out."
            raise InputError("an unfinished run is there", where=str(folder.work), remedy=remedy)
        try:
            folder.work.mkdir(parents=True)
        except OSError as error:
            remedy = "Give an --out in a folder that can be written."
            raise InputError(f"cannot be made: {error.strerror}", where=str(folder.work), remedy=remedy) from error
        return folder

    @classmethod
    def resume(cls, given: Path) -> RunFolder:
        """An unfinished run's folder, given with or without its ``.partial``.

        Raises:
            InputError: there is no unfinished run.
        """
        final = given.with_name(given.name.removesuffix(PARTIAL))
        folder = cls(final)
        if final.exists():
            raise InputError("this run is finished", where=str(final), remedy="There is nothing to resume.")
        if not (folder.work / CONFIG).is_file():
            remedy = f"Give the folder of a run that was interrupted (its name ends in {PARTIAL})."
            raise InputError("there is no unfinished run here", where=str(given), remedy=remedy)
        return folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process alone.

        Raises:
            InputError: another process works on it.
        """
        lock = filelock.FileLock(self.work.with_name(f".{self.work.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout as error:
            remedy = "Wait for it, or give another --out."
            raise InputError("another process works on this run", where=str(self.work), remedy=remedy) from error
        try:
            yield
        finally:
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)

    def finish(self) -> Path:
        """Take away what only a resuming run needs, and rename the work folder to its final name."""
        shutil.rmtree(self.work / "baselines", ignore_errors=True)
        (self.work / "graph.lock").unlink(missing_ok=True)
        os.replace(self.work, self.final)
        return self.final


def environment(seed: int, fingerprint: str) -> dict[str, Any]:
    """Versions, device, seed, data fingerprint and git revision, JSON-ready."""
    cuda = torch.cuda.is_available()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if cuda else (platform.processor() or platform.machine()),
        "cores": os.cpu_count(),
        "versions": {name: found for name in LIBRARIES if (found := _version(name)) is not None},
        "seed": seed,
        "data_fingerprint": fingerprint,
        "git_revision": _revision(),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _revision() -> str | None:
    """Git revision of the code, with "+" when it was changed; None outside a checkout."""
    here = Path(__file__).parent
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty=+"]
    try:
        found = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
