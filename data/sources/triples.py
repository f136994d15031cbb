"""Facts for the graph as triples: N-Triples files (RDF), and what tables of facts and they have in common."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast
from urllib.parse import unquote

import pandas as pd

from data.sources.mapping import TriplesMapping
from errors import InputError

if TYPE_CHECKING:
    from pyoxigraph import Triple

RELATION_COLUMNS = [
    "source_label",
    "source_id",
    "relation",
    "target_label",
    "target_id",
    "weight",
    "time",
]
WILD = frozenset("*?[")


def files(root: Path, name: str) -> list[str]:
    """The files that a name in a mapping stands for, sorted: itself, or what matches its ``*``, ``?`` and ``[…]``.

    Args:
        root: folder that names are relative to.
        name: a file's name or a pattern; ``**`` reaches into folders.

    Raises:
        InputError: a pattern that matches nothing.
    """
    if not WILD & set(name) or (root / name).is_file():
        return [name]
    found = sorted(str(path.relative_to(root)) for path in root.glob(name) if path.is_file())
    if not found:
        remedy = "File names in a mapping are relative to its root, by default the mapping's own folder."
        raise InputError("no file matches", where=str(root / name), remedy=remedy)
    return found


def read_triples(path: Path, section: TriplesMapping) -> tuple[pd.DataFrame, str]:
    """Read an N-Triples file (gzipped if its name ends in ``.gz``) as a stream; only what is kept stays in memory.

    Args:
        path: the file.
        section: which IRIs are which nodes.

    Returns:
        The canonical relations, and a line for people: how many triples were kept and left out, and why.

    Raises:
        InputError: no such file; a line that is no triple; no triple at all, or none that could be kept.
    """
    reading = _Reading(section)
    for triple in _triples(path):
        reading.take(triple)
    if not reading.rows:
        raise _nothing(path, reading)
    frame = pd.DataFrame(reading.rows, columns=RELATION_COLUMNS[:5])
    return canonical(frame), f"{path.name}: {len(frame):,} triples kept{reading.told()}"


@dataclass
class _Reading:
    """One reading of one file.

    Attributes:
        section: which IRIs are which nodes.
        rows: what was kept, in the order of ``RELATION_COLUMNS``.
        left_out: number of triples by reason.
        example: the first triple of each reason.
    """

    section: TriplesMapping
    rows: list[tuple[str, str, str, str, str]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    example: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._prefixes = sorted(self.section.nodes, key=len, reverse=True)
        self._names: dict[str, str] = dict(self.section.predicates)

    def take(self, triple: Triple) -> None:
        """Keep a triple, or count why not."""
        source = self._node(triple.subject)
        target = self._literal(triple) if hasattr(triple.object, "datatype") else self._node(triple.object)
        if source is None:
            self._leave("whose subject is under no prefix of nodes", triple)
        elif target is None:
            literal = hasattr(triple.object, "datatype")
            self._leave("with a literal of no label" if literal else "whose object is under no prefix of nodes", triple)
        else:
            self.rows.append((*source, self._relation(triple.predicate.value), *target))

    def told(self) -> str:
        """What was left out, for people; empty when nothing was."""
        parts = [f"{n:,} {reason}" for reason, n in self.left_out.most_common()]
        return f"; left out: {', '.join(parts)}" if parts else ""

    def _leave(self, reason: str, triple: Triple) -> None:
        self.left_out[reason] += 1
        self.example.setdefault(reason, str(triple))

    def _node(self, term: object) -> tuple[str, str] | None:
        """Label and id of an IRI; the longest prefix wins."""
        value = str(getattr(term, "value", ""))
        for prefix in self._prefixes:
            if value.startswith(prefix) and len(value) > len(prefix):
                return self.section.nodes[prefix], unquote(value[len(prefix) :])
        return None

    def _literal(self, triple: Triple) -> tuple[str, str] | None:
        label = self.section.literals.get(triple.predicate.value)
        value = str(getattr(triple.object, "value", "")).strip()
        return (label, value) if label and value else None

    def _relation(self, predicate: str) -> str:
        if predicate not in self._names:
            self._names[predicate] = relation_of(predicate)
        return self._names[predicate]


def relation_of(predicate: str) -> str:
    """Name of a relation by its IRI: ``http://schema.org/isRelatedTo`` becomes IS_RELATED_TO."""
    last = re.split(r"[/#]", unquote(predicate).rstrip("/#"))[-1]
    return snake(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", last))


def snake(name: str) -> str:
    """A name as the graph writes relationships: "also bought" becomes ALSO_BOUGHT."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").upper()


def upper_snake(names: pd.Series) -> pd.Series:
    """Names as the graph writes relationships, null kept."""
    return names.map({name: snake(name) for name in names.dropna().unique()}).astype("str")


def _triples(path: Path) -> Iterator[Triple]:
    """The triples of a file, as pyoxigraph streams them."""
    import pyoxigraph

    if not path.is_file():
        remedy = "File names in a mapping are relative to its root, by default the mapping's own folder."
        raise InputError("no such file", where=str(path), remedy=remedy)
    try:
        with _opened(path) as stream:
            for quad in pyoxigraph.parse(input=stream, format=pyoxigraph.RdfFormat.N_TRIPLES):
                yield quad.triple
    except SyntaxError as error:
        where = f"{path}, line {error.lineno}"
        raise InputError(f"not a triple: {error.msg}", where=where, remedy="Give N-Triples in UTF-8.") from None
    except OSError as error:  # also a file that only calls itself .gz
        raise InputError(f"cannot be read: {error}", where=str(path), remedy="Give N-Triples, or gzip of it.") from None


def _opened(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _nothing(path: Path, reading: _Reading) -> InputError:
    if not reading.left_out:
        return InputError("no triples", where=str(path), remedy="Give a file with data.")
    reason, n = reading.left_out.most_common(1)[0]
    what = f"no triple could be kept: {n:,} {reason}, such as {reading.example[reason]}"
    prefixes = ", ".join(reading.section.nodes)
    return InputError(what, where=str(path), remedy=f"Name the prefixes of your IRIs in nodes; there are: {prefixes}.")


def canonical(facts: pd.DataFrame) -> pd.DataFrame:
    """Facts with the columns and types of the relations table; weight 1 and no time where they lack them."""
    if "weight" not in facts:
        facts = facts.assign(weight=1.0)
    if "time" not in facts:
        facts = facts.assign(time=pd.Series(pd.NA, index=facts.index, dtype="Int64"))
    text = dict.fromkeys(RELATION_COLUMNS[:5], "str")
    return facts[RELATION_COLUMNS].astype({**text, "weight": "float64", "time": "Int64"})


def join_relations(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Facts of several files in one canonical table; none give an empty one."""
    empty = canonical(pd.DataFrame({column: [] for column in RELATION_COLUMNS}))
    return pd.concat(parts, ignore_index=True) if parts else empty
