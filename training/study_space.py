"""The space that a study searches: settings of `train.py` with their ranges, from a YAML file."""

# ruff: noqa: ANN401 (values come from YAML and may be anything)

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import yaml
from jsonargparse import Namespace
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

import conf
from errors import InputError

SPACES = Path(conf.__file__).parent / "spaces"
KEYS = ("low", "high", "log", "step", "choices")
ROOMS = ("model.", "optimiser.")
# What a trial does not train, or what is made once for all trials.
WITHOUT_EFFECT = ("model.rerank.", "optimiser.rerank_", "optimiser.text_")
SHARED = ("model.graph.co_purchases", "model.graph.shuffled")
MACHINE = ("optimiser.precision", "optimiser.accelerator", "optimiser.devices", "optimiser.threads")


@dataclass(frozen=True)
class Space:
    """Settings and what each may be.

    Attributes:
        distributions: by dotted name of the setting.
        values: of choices, the value by its label; a label is the value itself where it is a number, text or bool,
            else its JSON.
        content: as it was given.
    """

    distributions: dict[str, BaseDistribution]
    values: dict[str, dict[Any, Any]]
    content: dict[str, Any]

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """A trial's parameters by dotted name of the setting."""
        return {name: _suggest(trial, name, one) for name, one in self.distributions.items()}

    def changes(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The settings that a trial's parameters stand for."""
        return {name: self.values[name][value] if name in self.values else value for name, value in parameters.items()}

    def parameters(self, settings: Namespace) -> dict[str, Any] | None:
        """The parameters that stand for settings; None where one of them lies outside the space."""
        found = {name: label(settings[name]) if name in self.values else settings[name] for name in self.distributions}
        inside = all(_within(self.distributions[name], value) for name, value in found.items())
        return found if inside else None

    def corners(self) -> dict[str, list[Any]]:
        """For each setting the values that must be valid for all to be: the ends of its range, or its choices."""
        return {
            name: list(self.values[name].values()) if name in self.values else [one.low, one.high]  # type: ignore[attr-defined]
            for name, one in self.distributions.items()
        }


def label(value: Any) -> Any:
    """What a choice is called in the study's table: itself, or its JSON."""
    return value if isinstance(value, (str, int, float, bool)) else json.dumps(value)


def read_space(given: str, settings: Namespace) -> Space:
    """Read a space.

    Args:
        given: YAML file, or the name of one in ``conf/spaces``.
        settings: resolved settings of `train.py`; a range of a setting that is a whole number is one of whole numbers.

    Raises:
        InputError: no such file, not YAML, an unknown setting or key, a setting that no trial would feel, an empty
            range.
    """
    file = Path(given) if Path(given).is_file() else SPACES / f"{given}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in SPACES.glob("*.yaml")))
        raise InputError("no such file", where=given, remedy=f"Give a YAML file, or one of {known}.")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"not a YAML file: {error}", where=str(file), remedy="Correct that line.") from None
    if not isinstance(content, dict) or not content:
        remedy = "Give settings with their ranges, as in optimiser.lr: {low: 0.001, high: 0.01, log: true}."
        raise InputError("no setting to search", where=str(file), remedy=remedy)
    values: dict[str, dict[Any, Any]] = {}
    distributions = {}
    for name, entry in content.items():
        where = f"{file}, {name}"
        _check_name(str(name), settings, where)
        distributions[name] = _distribution(entry, settings[name], where)
        if "choices" in entry:
            values[name] = {label(value): value for value in entry["choices"]}
    return Space(distributions, values, content)


def _check_name(name: str, settings: Namespace, where: str) -> None:
    """Refuse a setting that is none, or that no trial would feel."""
    if name not in settings or isinstance(settings[name], Namespace):
        raise InputError("there is no such setting", where=where, remedy="train.py --help lists all settings.")
    if not name.startswith(ROOMS) or name in SHARED:
        remedy = f"Search settings of {' and '.join(room.rstrip('.') for room in ROOMS)}; give this one as a flag."
        raise InputError("this is made once for all trials", where=where, remedy=remedy)
    if name.startswith(WITHOUT_EFFECT):
        remedy = "Leave it out: a trial trains neither the language model nor the re-ranking."
        raise InputError("no trial would feel this", where=where, remedy=remedy)
    if name in MACHINE:
        raise InputError("this is the machine's, not the model's", where=where, remedy="Give it as a flag.")


def _distribution(entry: Any, current: Any, where: str) -> BaseDistribution:
    unknown = sorted(set(entry) - set(KEYS)) if isinstance(entry, dict) else ["a plain value"]
    ranged = isinstance(entry, dict) and {"low", "high"} <= set(entry) and "choices" not in entry
    if unknown or not (ranged or set(entry) == {"choices"}):
        told = f"{unknown[0]} is not understood" if unknown else "neither a range nor choices"
        remedy = "Give low and high (and log or step), or choices alone."
        raise InputError(told, where=where, remedy=remedy)
    if not ranged:
        return _choices(entry["choices"], where)
    numbers = [entry[key] for key in ("low", "high", "step") if key in entry]
    if not all(isinstance(n, (int, float)) and not isinstance(n, bool) and math.isfinite(n) for n in numbers):
        raise InputError(f"{numbers} are no numbers", where=where, remedy="Write 1.0e-3, with the point.")
    if not isinstance(current, (int, float)) or isinstance(current, bool):
        raise InputError(f"{current!r} has no range", where=where, remedy="Give choices.")
    return _range(entry, isinstance(current, int), where)


def _range(entry: dict[str, Any], whole: bool, where: str) -> BaseDistribution:
    log, low, high = bool(entry.get("log", False)), entry["low"], entry["high"]
    if not low < high or (log and low <= 0):
        told = f"a range from {low} to {high}{' on a logarithmic scale' if log else ''}"
        raise InputError(told, where=where, remedy="Give low < high, and more than 0 with log.")
    try:
        if whole:
            return IntDistribution(_whole(low), _whole(high), log=log, step=_whole(entry.get("step", 1)))
        return FloatDistribution(float(low), float(high), log=log, step=entry.get("step"))
    except ValueError as error:
        raise InputError(str(error), where=where, remedy="Correct the range.") from None


def _whole(value: float) -> int:
    if value != int(value):
        raise ValueError(f"{value} is no whole number, and the setting is one")
    return int(value)


def _choices(values: Any, where: str) -> CategoricalDistribution:
    if not isinstance(values, list) or len({str(label(value)) for value in values}) < 2:
        raise InputError(f"{values!r} is no choice", where=where, remedy="Give a list of two values or more.")
    return CategoricalDistribution([label(value) for value in values])


def _suggest(trial: optuna.Trial, name: str, one: BaseDistribution) -> Any:
    if isinstance(one, IntDistribution):
        return trial.suggest_int(name, one.low, one.high, step=one.step, log=one.log)
    if isinstance(one, FloatDistribution):
        return trial.suggest_float(name, one.low, one.high, step=one.step, log=one.log)
    assert isinstance(one, CategoricalDistribution)
    return trial.suggest_categorical(name, one.choices)


def _within(one: BaseDistribution, value: Any) -> bool:
    if isinstance(one, CategoricalDistribution):
        return value in one.choices
    assert isinstance(one, (IntDistribution, FloatDistribution))
    inside: bool = one.low <= value <= one.high
    return inside and (one.step is None or math.isclose((value - one.low) % one.step, 0, abs_tol=1e-9))
