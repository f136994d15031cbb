"""Histories given as a data frame or a file: read, checked row by row, turned into integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.dataset import Dataset
from data.log import Log
from data.lookup import positions
from data.rejects import Rejects
from data.sources.files import Reader, as_text, check_columns
from data.sources.periods import read_integers
from data.validate import INTERACTIONS, conform
from errors import InputError

REQUIRED = ["user_id", "product_id", "time"]
OPTIONAL = ["quantity", "value", "basket_id", "store_id"]
DEFAULTS = {"quantity": 1.0, "value": 0.0}
TABLE = "history"
EMPTY = "Give rows; a user who has bought nothing is a row with a user_id and no product_id."


@dataclass(frozen=True)
class Histories:
    """Histories of some users, checked.

    Attributes:
        user_ids: everybody whom the rows name, shape (n,), in order of appearance, those without a usable row too.
        rows: the usable rows, with the columns of the canonical interactions, sorted by time.
        rejects: the others: ``table``, ``row``, ``column``, ``value``, ``reason``.
    """

    user_ids: npt.NDArray[np.str_]
    rows: pd.DataFrame
    rejects: pd.DataFrame

    @classmethod
    def read(cls, given: pd.DataFrame | Path | str, dataset: Dataset) -> Histories:
        """Check histories against the catalogue.

        A row without a product names a user who has bought nothing. Rows that cannot be used (a product that the
        catalogue lacks, a time that is no number, a quantity below 0) are noted, and the rest of the history counts.

        Args:
            given: a frame, or a CSV or Parquet file, with ``user_id``, ``product_id``, ``time`` (number of the
                period, as in the run's data) and, if known, ``quantity`` (default 1), ``value`` (money spent on the
                row, default 0), ``basket_id`` (default: one basket for each period) and ``store_id``.
            dataset: of the run.

        Raises:
            InputError: the file or a column is missing, or there are no rows.
        """
        raw = read_frame(given, REQUIRED, OPTIONAL, "histories")
        rejects = Rejects()
        raw = rejects.drop(raw, raw["user_id"].isna(), TABLE, "user_id", "user_id is empty")
        users = as_text(raw["user_id"]).drop_duplicates().to_numpy(dtype=str)
        rows = conform(_typed(raw[raw["product_id"].notna()], rejects), INTERACTIONS, TABLE, rejects)
        lost = dataset.catalogue.product_index.get_indexer(pd.Index(rows["product_id"])) < 0
        rows = rejects.drop(rows, lost, TABLE, "product_id", "the product is not in the catalogue")
        return cls(users, rows.sort_values("time", kind="stable"), rejects.frame())

    def log(self, dataset: Dataset, stores: npt.NDArray[np.object_], first_basket: int = 0) -> Log:
        """The rows in integers; user i is ``user_ids[i]``.

        Args:
            dataset: of the run.
            stores: ids of the stores in the order of the run's numbers.
            first_basket: number of the first basket.
        """
        rows = self.rows
        baskets = pd.factorize(rows["user_id"] + "\x1f" + rows["basket_id"])[0]
        return Log(
            user=positions(rows["user_id"], self.user_ids).astype(np.int32),
            product=dataset.catalogue.product_index.get_indexer(pd.Index(rows["product_id"])).astype(np.int32),
            time=rows["time"].to_numpy(dtype=np.int32),
            quantity=rows["quantity"].to_numpy(dtype=np.float32),
            value=rows["value"].to_numpy(dtype=np.float32),
            basket=(baskets + first_basket).astype(np.int32),
            store=positions(rows["store_id"], stores).astype(np.int32),
            n_users=len(self.user_ids),
        )


def read_frame(given: pd.DataFrame | Path | str, required: list[str], optional: list[str], what: str) -> pd.DataFrame:
    """Known columns of a frame or of a CSV or Parquet file, rows numbered from 0.

    Args:
        given: the frame, or where the file is.
        required: columns that must be there.
        optional: columns that are read where they are there.
        what: of what the rows are, in errors.

    Raises:
        InputError: the file or a column is missing, or there are no rows.
    """
    raw = given if isinstance(given, pd.DataFrame) else _file(Path(given), required, optional, what)
    where = Path(what) if isinstance(given, pd.DataFrame) else Path(given)
    check_columns(list(raw.columns), required, where)
    there = [name for name in optional if name in raw.columns]
    check_columns(list(raw.columns), there, where)
    if not len(raw):
        raise InputError("no rows", where=str(where), remedy=EMPTY if what == "histories" else "Give rows.")
    return raw.reset_index(drop=True)


def _file(path: Path, required: list[str], optional: list[str], what: str) -> pd.DataFrame:
    if not path.is_file():
        raise InputError("no such file", where=str(path), remedy=f"Give a CSV or Parquet file with {what}.")
    reader = Reader(path.parent)
    there = reader.columns(path.name)
    return reader.read(path.name, required + [name for name in optional if name in there])


def _typed(raw: pd.DataFrame, rejects: Rejects) -> pd.DataFrame:
    """Columns in the types of the canonical interactions; rows with an unreadable number are noted."""
    raw = raw.assign(**{name: raw.get(name, default) for name, default in DEFAULTS.items()})
    for name in ("time", *DEFAULTS):
        numbers = read_integers(raw[name]) if name == "time" else pd.to_numeric(raw[name], errors="coerce")
        raw = rejects.drop(raw, numbers.isna(), TABLE, name, f"{name} is no {'whole ' * (name == 'time')}number")
        raw = raw.assign(**{name: numbers.loc[raw.index]})
    frame = raw[["time", *DEFAULTS]].astype({"time": "int64", "quantity": float, "value": float})
    frame["user_id"], frame["product_id"] = as_text(raw["user_id"]), as_text(raw["product_id"])
    baskets = raw["basket_id"] if "basket_id" in raw else raw["time"]
    frame["basket_id"] = as_text(baskets).fillna("")
    frame["store_id"] = as_text(raw["store_id"]) if "store_id" in raw else pd.Series(None, raw.index, dtype="str")
    return frame


def joined(logs: Sequence[Log], n_users: int) -> Log:
    """Several logs as one, sorted by time; the earlier log first where times are equal."""
    names = ("user", "product", "time", "quantity", "value", "basket", "store")
    arrays = {name: np.concatenate([getattr(log, name) for log in logs]) for name in names}
    order = np.argsort(arrays["time"], kind="stable")
    return Log(**{name: array[order] for name, array in arrays.items()}, n_users=n_users)


def renumbered(log: Log, rows: npt.NDArray[np.int64], n_users: int) -> Log:
    """The log with user i as ``rows[i]`` of ``n_users``."""
    return replace(log, user=rows[log.user].astype(np.int32), n_users=n_users)


def at_moment(history: Log, cutoff: int) -> Log:
    """Histories with times counted back from each user's own moment of asking, which is put at the cut-off.

    The moment is the cut-off, or the period after the user's latest purchase where that is later. What is counted
    of a user (how long ago, how often lately) is so what the model met in training; what is counted of the
    catalogue stays as of the cut-off.

    Returns:
        The same interactions with times before the cut-off, sorted by time.
    """
    latest = np.full(history.n_users, cutoff - 1, dtype=np.int32)
    np.maximum.at(latest, history.user, history.time)
    if not (latest >= cutoff).any():
        return history
    moved = replace(history, time=history.time - (latest - (cutoff - 1))[history.user])
    return joined([moved], history.n_users)
