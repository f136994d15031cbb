"""From points in time to whole numbers of periods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from errors import InputError

Unit = Literal["integer", "day", "week", "month"]
DAYS = {"day": 1, "week": 7}


@dataclass(frozen=True)
class Periods:
    """Whole periods since an origin: period 0 begins with the origin's day, later ones count on.

    Attributes:
        unit: day, week (7 days from the origin on) or month (calendar months).
        origin: the first day of period 0.
    """

    unit: Unit
    origin: pd.Timestamp

    def number(self, times: pd.Series) -> pd.Series:
        """Period of each timestamp, rounded down, int64; negative before the origin."""
        if self.unit == "month":
            months = (times.dt.year - self.origin.year) * 12 + times.dt.month - self.origin.month
            return months.astype("int64")
        return (times - self.origin).dt.days.floordiv(DAYS[self.unit]).astype("int64")

    def begin(self, number: int) -> pd.Timestamp:
        """First day of a period."""
        if self.unit == "month":
            return self.origin.replace(day=1) + pd.DateOffset(months=number)
        return self.origin + pd.Timedelta(days=DAYS[self.unit] * number)

    def describe(self, numbers: pd.Series) -> str:
        """One line for people: how cut-offs given as numbers and dates belong together."""
        last = int(numbers.max())
        return (
            f"period 0 begins on {self.begin(0):%Y-%m-%d}, one period is one {self.unit}, "
            f"the last one is {last} and begins on {self.begin(last):%Y-%m-%d}"
        )


def read_times(values: pd.Series, time_format: str) -> pd.Series:
    """Timestamps in UTC without a zone; NaT where a value cannot be read.

    Args:
        values: text or timestamps, shape (n,); numbers for ``unix`` and ``unix_ms``.
        time_format: empty for ISO 8601, ``unix`` (seconds), ``unix_ms``, or a strptime pattern.
    """
    if pd.api.types.is_datetime64_any_dtype(values):
        return values.dt.tz_convert(None) if values.dt.tz is not None else values
    if time_format in ("unix", "unix_ms"):
        numbers = pd.to_numeric(values, errors="coerce")
        unit: Literal["s", "ms"] = "s" if time_format == "unix" else "ms"
        return pd.to_datetime(numbers, unit=unit, errors="coerce")
    text = values.astype("str")
    times = pd.to_datetime(text, format=time_format or "ISO8601", errors="coerce", utc=True)
    return times.dt.tz_localize(None)


def read_integers(values: pd.Series) -> pd.Series:
    """Whole numbers as float64; NaN where a value is not one."""
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    return numbers.where(np.isfinite(numbers) & (numbers == np.floor(numbers)))


def origin_of(text: str, times: pd.Series, where: str) -> pd.Timestamp:
    """The origin that a user set, or else the day of the earliest timestamp.

    Raises:
        InputError: when the set origin is not a date.
    """
    if not text:
        return times.min().normalize()
    try:
        return pd.Timestamp(text).normalize()
    except ValueError:
        raise InputError(f"{text!r} is not a date", where=where, remedy="Write it as 2024-01-31.") from None
