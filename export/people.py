"""Whose vectors are written: users of the run's data, some of them, or histories from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandera.errors import SchemaErrors

from data.dataset import Dataset
from data.log import Log
from data.lookup import positions
from data.validate import INTERACTIONS
from errors import InputError
from export.table import Ids

DEFAULTS = {"quantity": 1.0, "value": 0.0, "store_id": None}
NEEDED = ("user_id", "product_id", "time")
TEXT = ("user_id", "product_id", "basket_id", "store_id")


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
    frame = _conforming(read_table(path, TEXT), path)
    late = frame["time"] >= cutoff
    if late.any():
        what = f"{int(late.sum())} purchases are of period {cutoff} or later, where the run's histories end"
        raise InputError(what, where=str(path), remedy=f"Give purchases before period {cutoff}.")
    product = positions(frame["product_id"], dataset.catalogue.product_ids)
    if (product < 0).any():
        unknown = frame["product_id"][product < 0]
        what = f"{unknown.nunique()} products are not in the data, such as {unknown.iloc[0]!r}"
        raise InputError(what, where=str(path), remedy="Leave their rows out: the run knows nothing of them.")
    codes, ids = pd.factorize(frame["user_id"], sort=True)
    found = np.asarray(ids, dtype=str)
    return People(found, _log(frame, codes, product, dataset), positions(found, dataset.user_ids))


def _log(frame: pd.DataFrame, user: npt.NDArray[np.int64], product: npt.NDArray[np.int64], dataset: Dataset) -> Log:
    """Purchases in integers; stores have the numbers that they have in the data, others are unknown."""
    stores = pd.factorize(dataset.tables.interactions["store_id"])[1]
    return Log(
        user=user.astype(np.int32),
        product=product.astype(np.int32),
        time=frame["time"].to_numpy(dtype=np.int32),
        quantity=frame["quantity"].to_numpy(dtype=np.float32),
        value=frame["value"].to_numpy(dtype=np.float32),
        basket=frame.groupby(["user_id", "basket_id"], sort=False).ngroup().to_numpy().astype(np.int32),
        store=positions(frame["store_id"], np.asarray(stores, dtype=str)).astype(np.int32),
        n_users=int(user.max(initial=-1)) + 1,
    )


def _conforming(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The purchases by the canonical schema, sorted by time.

    Raises:
        InputError: a column is missing or a value is wrong, with its row.
    """
    missing = [name for name in NEEDED if name not in frame]
    if missing:
        raise InputError(f"there is no column {missing[0]!r}", where=str(path), remedy=f"Give {', '.join(NEEDED)}.")
    if not len(frame):
        raise InputError("there are no purchases", where=str(path), remedy="Give at least one.")
    frame = frame.assign(**{name: value for name, value in DEFAULTS.items() if name not in frame})
    if "basket_id" not in frame:
        frame["basket_id"] = frame["time"].astype(str)
    for name in ("user_id", "product_id"):
        refuse_other_than_text(frame[name], path)
    frame["store_id"] = frame["store_id"].astype("str").where(frame["store_id"].notna(), None)
    try:
        return INTERACTIONS.validate(_numbers(frame, path), lazy=True).sort_values("time", kind="stable")
    except SchemaErrors as error:
        case = error.failure_cases.iloc[0]
        row = "" if pd.isna(case["index"]) else f", row {int(case['index'])}"
        what = f"{case['failure_case']!r} is wrong: {case['check']}"
        raise InputError(what, where=f"{path}, column {case['column']}{row}", remedy="Mend or leave out.") from error


def _numbers(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    try:
        return frame.astype({"time": "int64", "quantity": float, "value": float, "basket_id": "str"})
    except (ValueError, TypeError) as error:
        where = f"{path}, columns time, quantity, value"
        raise InputError(str(error), where=where, remedy="Give whole periods and plain numbers.") from error


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
        frame = read_table(path, TEXT)
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
