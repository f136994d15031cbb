"""The flags of `crossaisle tune` beside the settings of `train.py`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from errors import InputError


@dataclass
class StudyConfig:
    """What `crossaisle tune` does beside the settings of `train.py`.

    Attributes:
        trials: trials to have at the end, those of earlier calls counted.
        space: YAML file with the settings to search and their ranges, or the name of one in ``conf/spaces``.
        validation_cutoffs: validation windows, rising, such as ``33,40``; None: the protocol's validation cut-off, and
            the one a horizon before it.
    """

    trials: int = 20
    space: str = "default"
    validation_cutoffs: list[int] | None = None

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise InputError(f"{self.trials} trials are none", where="--trials", remedy="Give 1 or more.")


def add_options(parser: ArgumentParser) -> None:
    """Add the flags to a command line that knows the settings of `train.py`."""
    parser.add_class_arguments(StudyConfig, as_group=False)
    parser.add_argument("--to", type=Path, required=True, help="folder of the study and what it found")


def taken_out(parsed: Namespace) -> tuple[StudyConfig, Path]:
    """What these flags say; the rest of the parsed line, the settings of `train.py`, stays."""
    config = StudyConfig(**{one.name: parsed.pop(one.name) for one in fields(StudyConfig)})
    return config, Path(parsed.pop("to"))
