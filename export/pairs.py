"""Tables of features: for pairs of users and items that a file names, or for each user's best items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from data.lookup import positions
from errors import InputError
from evaluation.scorer import FloatArray, IntArray
from export.config import ExportConfig
from export.features import PairFeatures
from export.levels import ItemLevel
from export.people import People, read_table, refuse_other_than_text
from export.table import BETWEEN, FEATURES, Array, Table, table_of
from training.loaded import LoadedRun

NEEDED = ("user_id", "item_id")


class FeatureTables:
    """The tables of features that an export is asked for, one for each level.

    Args:
        run: a loaded run.
        levels: all its levels, from the interest level down.
        people: whose histories count.
        config: which pairs are asked for.

    Raises:
        InputError: the file of pairs is wrong.
    """

    def __init__(self, run: LoadedRun, levels: Sequence[ItemLevel], people: People, config: ExportConfig) -> None:
        self._people, self._top = people, config.top
        self._pairs = {} if config.pairs is None else read_pairs(config.pairs, people, levels)
        labels = [level.label for level in levels] if config.top else list(self._pairs)
        self._makers = {label: PairFeatures(run, levels, label) for label in labels}

    @property
    def meanings(self) -> dict[str, str]:
        """What their columns mean, by name."""
        return {name: meaning for maker in self._makers.values() for name, meaning in maker.meanings.items()}

    def tables(self) -> Iterator[Table]:
        """``LABELFeatures``, a row for each pair, whose id is USER, a tab, ITEM; one table is held at a time.

        Raises:
            InputError: an id holds a tab.
        """
        for label, (user, item) in self._pairs.items():
            maker = self._makers[label]
            yield self._table(maker, user, item, maker.of_pairs(self._people, user, item))
        for maker in self._makers.values() if self._top else []:
            parts = list(maker.of_best(self._people, self._top))
            yield self._table(maker, *(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _table(self, maker: PairFeatures, user: IntArray, item: IntArray, values: FloatArray) -> Table:
        users, items = self._people.ids[user], maker.level.problem.item_ids[item]
        for ids in (users, items):
            held = np.char.find(ids, BETWEEN) >= 0
            if held.any():
                remedy = "Give ids without tabs; in pairs of ids it stands between them."
                raise InputError(f"id {str(ids[held][0])!r} holds a tab", where=FEATURES, remedy=remedy)
        ids = np.char.add(np.char.add(users, BETWEEN), items)
        columns: dict[str, Array] = dict(zip(maker.names, np.ascontiguousarray(values.T), strict=True))
        return table_of(maker.level.label + FEATURES, ids, columns)


def read_pairs(path: Path, people: People, levels: Sequence[ItemLevel]) -> dict[str, tuple[IntArray, IntArray]]:
    """The pairs that a file names, by the label of their level: positions of users and of items.

    Args:
        path: .csv or .parquet with ``user_id``, ``item_id`` and, if they are no products, ``level`` (its name, such as
            category or product).
        people: the users that may be named.
        levels: all levels.

    Raises:
        InputError: the file cannot be read, lacks a column, names no pair, a pair twice, or what the run does not know.
    """
    frame = read_table(path, (*NEEDED, "level"))
    for name in NEEDED:
        if name not in frame:
            raise InputError(f"there is no column {name!r}", where=str(path), remedy=f"Give {', '.join(NEEDED)}.")
    return pairs_of(frame, people, levels, str(path))


def pairs_of(
    frame: pd.DataFrame, people: People, levels: Sequence[ItemLevel], where: str
) -> dict[str, tuple[IntArray, IntArray]]:
    """As `read_pairs`, of a frame.

    Args:
        frame: with the columns of the file.
        people: the users that may be named.
        levels: all levels.
        where: what messages call the frame.
    """
    if not len(frame):
        raise InputError("there are no pairs", where=where, remedy="Give at least one.")
    for name in NEEDED:
        refuse_other_than_text(frame[name], where)
    named = frame["level"] if "level" in frame else pd.Series(levels[-1].problem.name, frame.index)
    known = {level.problem.name: level for level in levels}
    strange = sorted(set(named.astype(str)) - set(known))
    if strange:
        remedy = f"Give one of {', '.join(known)}."
        raise InputError(f"there is no level {strange[0]!r}", where=where, remedy=remedy)
    if frame.assign(level=named).duplicated([*NEEDED, "level"]).any():
        twice = frame[frame.assign(level=named).duplicated([*NEEDED, "level"])].iloc[0]
        what = f"the pair of {twice['user_id']!r} and {twice['item_id']!r} comes twice"
        raise InputError(what, where=where, remedy="Name each pair once.")
    user = _known(frame["user_id"], people.ids, where)
    found = {}
    for name, level in known.items():
        part = (named == name).to_numpy()
        if part.any():
            items = _known(frame["item_id"][part], level.problem.item_ids, f"{where}, level {name}")
            found[level.label] = (user[part], items)
    return found


def _known(ids: pd.Series, known: np.ndarray[tuple[int], np.dtype[np.str_]], where: str) -> IntArray:
    place = positions(ids, known)
    if (place < 0).any():
        lost = ids[place < 0]
        what = f"{lost.nunique()} of column {ids.name} are not known, such as {lost.iloc[0]!r}"
        raise InputError(what, where=where, remedy="Leave their pairs out, or give the run's own ids.")
    return place
