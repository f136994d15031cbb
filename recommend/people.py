"""What is known of people but their purchases, given as a data frame or a file: read and checked row by row."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from data.dataset import Dataset
from data.histories import read_frame
from data.rejects import Rejects
from data.sources.files import as_text
from errors import InputError
from evidence.groups import GroupEvidence

TABLE = "people"


def attributes(dataset: Dataset) -> pd.DataFrame:
    """What a shop's data tell of its users: a column of text for each attribute, rows as in the log.

    Raises:
        InputError: they tell nothing.
    """
    users = dataset.tables.users.set_index("user_id").reindex(dataset.user_ids)
    if not len(users.columns):
        remedy = "Ask without; or train with a table of users that has columns beside user_id."
        raise InputError("the run's data tell nothing of users but their purchases", where=TABLE, remedy=remedy)
    return users.apply(as_text)


def read_people(
    given: pd.DataFrame | Path | str, names: list[str], groups: GroupEvidence, rejects: Rejects
) -> pd.DataFrame:
    """Check people's attributes against those of the run's users.

    Args:
        given: a frame, or a CSV or Parquet file, with ``user_id`` and any of the attributes.
        names: the attributes.
        groups: of the run's users.
        rejects: takes rows without an id or with one that was there before, and values that no user has.

    Returns:
        The attributes by ``user_id``, null where unknown.

    Raises:
        InputError: the file, the ids or all attributes are missing, or there are no rows.
    """
    raw = read_frame(given, ["user_id"], names, TABLE)
    there = [name for name in names if name in raw]
    if not there:
        raise InputError("no attribute is told", where=TABLE, remedy=f"Give columns such as {', '.join(names[:3])}.")
    raw = raw[["user_id", *there]].apply(as_text)
    raw = rejects.drop(raw, raw["user_id"].isna(), TABLE, "user_id", "user_id is empty")
    raw = rejects.drop(raw, raw["user_id"].duplicated(), TABLE, "user_id", "the user is listed twice")
    for name in there:
        strange = raw[name].notna() & ~groups.known(name, raw[name])
        rejects.add(TABLE, raw.index[strange], name, raw.loc[strange, name].to_numpy(), "no user of the run has this")
        raw[name] = raw[name].mask(strange)
    return raw.set_index("user_id")
