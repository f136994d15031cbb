"""Training on several devices: Lightning starts one more process per further device with the same command line.

The first process does everything; the others ("helpers") only train beside it. Lightning starts them when the first
process begins to train, so all that they need has been made by then: the graph is in the store, the texts' encodings
are on disk. What they share is the run's work folder, whose place they are told by an environment variable.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

WORK = "_CROSSAISLE_WORK_FOLDER"


def is_helper() -> bool:
    """Whether this process only trains beside another one."""
    return int(os.environ.get("LOCAL_RANK") or 0) > 0 and WORK in os.environ


def lead(work: Path) -> None:
    """Tell helpers that are started from now on where the run's work folder is."""
    os.environ[WORK] = str(work.absolute())


def work_folder() -> Path:
    """The work folder that a helper was told."""
    return Path(os.environ[WORK])


def device_count(devices: str, on_gpu: bool) -> int:
    """Number of devices that Lightning's ``devices`` means: ``auto``, ``-1``, a number, or a list such as ``0,2``."""
    if devices in ("auto", "-1"):
        return max(1, torch.cuda.device_count()) if on_gpu else 1
    return len([part for part in devices.split(",") if part]) if "," in devices else int(devices)
