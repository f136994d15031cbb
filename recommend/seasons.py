"""Times of the year."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from errors import InputError

DAYS = 365.25
YEAR = {"day": DAYS, "week": DAYS / 7, "month": 12.0}
NEAR = 14 / DAYS  # of a year, before and after


def year_of(unit: str) -> float:
    """Periods in a year.

    Args:
        unit: what a period is, as of `data.tables.Tables.time_unit`.

    Raises:
        InputError: it is not known.
    """
    if unit not in YEAR:
        remedy = "Seasons need dates: map a column of dates with time_unit day, week or month, and train anew."
        raise InputError(
            f"how many periods of the data make a year is not known: {unit!r}", where="season", remedy=remedy
        )
    return YEAR[unit]


def around(times: npt.NDArray[np.int64], period: int, unit: str) -> npt.NDArray[np.bool_]:
    """Which periods lie within two weeks of a period's time of year (months: in it), in its own year or another.

    Args:
        times: periods, any shape.
        period: whose time of year is meant.
        unit: what a period is, as of `year_of`.

    Returns:
        Of the shape of ``times``.

    Raises:
        InputError: how many periods a year has is not known.
    """
    year = year_of(unit)
    away = np.abs((times - period + year / 2) % year - year / 2)
    return np.asarray(away <= NEAR * year + 1e-9)
