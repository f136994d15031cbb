"""A shop's data, ready for the models: tables, integers, fingerprint."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.catalogue import Catalogue, encode_catalogue
from data.log import Log
from data.lookup import positions
from data.tables import Tables


@dataclass(frozen=True)
class Dataset:
    """A shop's data.

    Attributes:
        tables: the validated tables.
        catalogue: products and taxonomy in integers.
        log: all interactions in integers, sorted by time.
        user_ids: shape (users,), sorted; row i of the log is user_ids[i].
        fingerprint: sha256 over the tables' contents; equal data gives an equal one.
    """

    tables: Tables
    catalogue: Catalogue
    log: Log
    user_ids: npt.NDArray[np.str_]
    fingerprint: str

    @classmethod
    def from_tables(cls, tables: Tables) -> Dataset:
        """Encode validated tables."""
        catalogue = encode_catalogue(tables)
        user_ids = np.sort(tables.users["user_id"].to_numpy(dtype=str))
        return cls(tables, catalogue, encode_log(tables, catalogue, user_ids), user_ids, fingerprint(tables))


def encode_log(tables: Tables, catalogue: Catalogue, user_ids: npt.NDArray[np.str_]) -> Log:
    """Turn the interactions into integers, sorted by time (stable)."""
    rows = tables.interactions.sort_values("time", kind="stable")
    return Log(
        user=positions(rows["user_id"], user_ids).astype(np.int32),
        product=positions(rows["product_id"], catalogue.product_ids).astype(np.int32),
        time=rows["time"].to_numpy(dtype=np.int32),
        quantity=rows["quantity"].to_numpy(dtype=np.float32),
        value=rows["value"].to_numpy(dtype=np.float32),
        basket=pd.factorize(rows["basket_id"])[0].astype(np.int32),
        store=pd.factorize(rows["store_id"])[0].astype(np.int32),
        n_users=len(user_ids),
    )


def fingerprint(tables: Tables) -> str:
    """Sha256 over the contents of the tables, in hex."""
    digest = hashlib.sha256()
    names = ("products", "taxonomy", "memberships", "interactions", "users", "relations")
    for name in names:
        frame: pd.DataFrame = getattr(tables, name)
        digest.update(f"{name}:{','.join(frame.columns)}".encode())
        digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    digest.update(repr((tables.levels, tables.interest_level, tables.attributes)).encode())
    return digest.hexdigest()
