"""Whose vectors are written: users of the run's data, some of them, or histories from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.dataset import Dataset
from data.histories import OPTIONAL, REQUIRED, Histories, read_frame
from data.log import Log
from data.lookup import positions
from errors import InputError
from export.table import Ids


@dataclass(frozen=True)
class People:
    """Users with their histories.

    Attributes:
        ids: sorted, shape (users,).
        history: their interactions before the cut-off, users numbered as in ``ids``.
        rows: their rows in the run's population, −1 for strangers, shape (users,).
    """

    ids: Ids
    history: Log
    rows: npt.NDArray[np.int64]


def everybody(dataset: Dataset, cutoff: int) -> People:
    """All users of the data, with their histories before the cut-off."""
    rows = np.arange(len(dataset.user_ids))
    return People(dataset.user_ids, dataset.log.before(cutoff), rows)


def listed(dataset: Dataset, cutoff: int, path: Path) -> People:
    """The users that a file names.

    Args:
        dataset: the run's data.
        cutoff: where histories end.
        path: .csv or .parquet with a column ``user_id``; any other file: one id in each line.

    Raises:
        InputError: the file cannot be read, names nobody, names somebody twice, or somebody whom the data do not know.
    """
    wanted = np.sort(_read_ids(path))
    rows = positions(wanted, dataset.user_ids)
    if (rows < 0).any():
        what = f"{int((rows < 0).sum())} of {len(rows)} users are not in the data, such as {str(wanted[rows < 0][0])!r}"
        remedy = "Give users of the run's data, or their purchases as --histories."
        raise InputError(what, where=str(path), remedy=remedy)
    _refuse_repeated(wanted, path)
    return People(wanted, dataset.log.before(cutoff).of_users(rows), rows)


def from_histories(dataset: Dataset, cutoff: int, path: Path) -> People:
    """Users as a file of purchases tells them, whether the data know them or not.

    Args:
        dataset: the run's data.
        cutoff: where histories end.
        path: .csv or .parquet with ``user_id``, ``product_id``, ``time`` (period), and, if known, ``quantity``
            (default 1), ``value`` (0), ``basket_id`` (one for each user and period) and ``store_id`` (none).

    Raises:
        InputError: the file cannot be read, lacks a column, or a row is wrong: an id that is no text, a product that
            the data do not know, a period at or after the cut-off.
    """
    frame = read_frame(path, REQUIRED, OPTIONAL, "histories")
    for name in ("user_id", "product_id"):
        refuse_other_than_text(frame[name], path)
    read = Histories.read(frame, dataset)
    _refuse_rejects(read.rejects, path)
    late = read.rows["time"] >= cutoff
    if late.any():
        what = f"{int(late.sum())} purchases are of period {cutoff} or later, where the run's histories end"
        raise InputError(what, where=str(path), remedy=f"Give purchases before period {cutoff}.")
    found = replace(read, user_ids=np.sort(read.user_ids))
    stores = pd.factorize(dataset.tables.interactions["store_id"])[1]
    log = found.log(dataset, np.asarray(stores, dtype=object))
    return People(found.user_ids, log, positions(found.user_ids, dataset.user_ids))


def _refuse_rejects(rejects: pd.DataFrame, path: Path) -> None:
    """Refuse a file of which a row cannot be used.

    Raises:
        InputError: there is one, with the first of them.
    """
    if len(rejects):
        first, rest = rejects.iloc[0], len(rejects) - 1
        what = f"{first['value']!r} is wrong: {first['reason']}" + (f" ({rest:,} more rows are wrong)" if rest else "")
        where = f"{path}, column {first['column']}, row {first['row']}"
        raise InputError(what, where=where, remedy="Mend these rows, or leave them out.")


def read_table(path: Path, text: Sequence[str]) -> pd.DataFrame:
    """A .csv or .parquet file.

    Args:
        path: of the file.
        text: columns that a .csv file holds as text, those that are there.

    Raises:
        InputError: it cannot be read.
    """
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, dtype=dict.fromkeys(text, "str"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path), remedy="Give a .csv or .parquet file.") from error


def _read_ids(path: Path) -> Ids:
    if path.suffix in (".csv", ".parquet"):
        frame = read_table(path, ["user_id"])
        if "user_id" not in frame:
            raise InputError("there is no column 'user_id'", where=str(path), remedy="Name the column of ids so.")
        refuse_other_than_text(frame["user_id"], path)
        found = frame["user_id"].tolist()
    else:
        try:
            found = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            remedy = "Give all, none, or a file with an id in each line."
            raise InputError(f"cannot be read: {error}", where=str(path), remedy=remedy) from error
    if not found:
        raise InputError("this names no user", where=str(path), remedy="Give at least one id.")
    return np.array(found, dtype=str)


def refuse_other_than_text(ids: pd.Series, where: Path | str) -> None:
    """Refuse a column of ids with a value that is no text, or a blank one.

    Raises:
        InputError: it is so, with the row.
    """
    odd = ids.map(lambda value: not isinstance(value, str) or not value.strip())
    if odd.any():
        what = f"{ids.name} {ids[odd].tolist()[0]!r} is no text"
        raise InputError(what, where=f"{where}, row {odd.idxmax()}", remedy="Give ids as text, as in the run's data.")


def _refuse_repeated(ids: Ids, path: Path) -> None:
    repeated = ids[1:][ids[1:] == ids[:-1]]
    if len(repeated):
        raise InputError(f"user {str(repeated[0])!r} comes twice", where=str(path), remedy="Name each user once.")
