"""Products added to a run's catalogue, given as a data frame or a file: read and checked row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.dataset import Dataset
from data.histories import read_frame
from data.lookup import among, positions
from data.rejects import Rejects
from data.sources.files import as_text
from errors import InputError
from training.added import products_level

TABLE = "products"


def read_additions(given: pd.DataFrame | Path | str, dataset: Dataset, rejects: Rejects) -> pd.DataFrame:
    """Check products against the catalogue.

    Args:
        given: a frame, or a CSV or Parquet file, with ``product_id``, a column named like the level right above the
            products (ids of its nodes, or names where a name is one node's alone), and, if known, ``text`` and the
            columns of the products' attributes.
        dataset: of the run.
        rejects: takes the rows that cannot be used.

    Returns:
        The usable rows in the form of `training.added.with_products`.

    Raises:
        InputError: the file or a column is missing, or no row can be used.
    """
    level = products_level(dataset)
    raw = read_frame(given, ["product_id", level.name], ["text", *dataset.catalogue.attributes], TABLE)
    raw = raw.reindex(columns=["product_id", level.name, "text", *dataset.catalogue.attributes]).apply(as_text)
    raw = rejects.drop(raw, raw["product_id"].isna(), TABLE, "product_id", "product_id is empty")
    raw = rejects.drop(raw, raw["product_id"].duplicated(), TABLE, "product_id", "the product is listed twice")
    known = among(raw["product_id"], dataset.catalogue.product_ids)
    raw = rejects.drop(raw, known, TABLE, "product_id", "the catalogue has the product already")
    nodes = _nodes(raw[level.name], level.ids, level.names)
    raw = rejects.drop(raw.assign(node=nodes), nodes < 0, TABLE, level.name, f"there is no such {level.name}")
    if not len(raw):
        remedy = f"Give new ids, and ids of the {level.name} level as in the run's data."
        raise InputError("no product can be added", where=TABLE, remedy=remedy)
    return raw.assign(**{level.name: level.ids[raw["node"].to_numpy()]}).drop(columns="node")


def _nodes(values: pd.Series, ids: npt.NDArray[np.str_], names: list[str]) -> npt.NDArray[np.int64]:
    """Positions of nodes given by id, or by a name that only one has; −1 elsewhere."""
    of_id, series = positions(values, ids), pd.Series(names, dtype="str")
    alone = ~series.duplicated(keep=False).to_numpy()
    of_name = positions(values, series.where(alone, "").to_numpy(dtype=str))
    of_name[values.fillna("").to_numpy(dtype=str) == ""] = -1
    return np.where(of_id >= 0, of_id, of_name)
