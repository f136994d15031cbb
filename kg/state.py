"""What the store says of the graph it holds: one node ``(:CrossAisleGraph {name: 'graph', …})``.

It is written before the first change (``state`` is ``loading`` or ``updating``) and once more after the last
(``complete``), so that work that was killed anywhere is seen by what comes next.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Literal

from errors import InputError
from kg.schema import SCHEMA_VERSION, STATE, NodeKind, quote
from kg.store import GraphStore

ENDED = "ended"
STATE_KIND = NodeKind(STATE, "name")


@dataclass(frozen=True)
class GraphState:
    """What the store says of its graph.

    Attributes:
        state: ``loading`` (being written from nothing), ``updating`` (changes under way) or ``complete``.
        fingerprint: of the data, the windows, the configuration and the schema's version.
        schema_version: of the program that wrote it.
        schema: ``Schema.to_json``.
        labels: all labels of the schema and of the graph that was there before.
        window_ends: cut-offs that have ``BOUGHT_WITH``.
        shop: name of the data set.
        revision: new with every change; says whether a snapshot is of this very graph.
        counted: JSON object: for each level and cut-off a fingerprint of what its ``BOUGHT_WITH`` were counted from.
        marked: some nodes or relationships have vanished and carry an end date (``ended``).
    """

    state: Literal["loading", "updating", "complete"]
    fingerprint: str
    schema_version: int
    schema: str
    labels: list[str]
    window_ends: list[int]
    shop: str = ""
    revision: str = ""
    counted: str = "{}"
    marked: bool = False

    @property
    def complete(self) -> bool:
        """Whether nothing is under way."""
        return self.state == "complete"

    @property
    def windows(self) -> dict[str, str]:
        """``counted``, read: fingerprints by ``Label|cut-off``."""
        return dict(json.loads(self.counted))

    def alive(self, *variables: str) -> str:
        """Cypher condition that leaves out what has an end date; empty where nothing has one.

        Args:
            variables: names of nodes and relationships in the query.
        """
        return " AND ".join(f"{name}.{quote(ENDED)} IS NULL" for name in variables) if self.marked else ""


def graph_state(store: GraphStore) -> GraphState | None:
    """What the store holds; None when it is empty.

    Raises:
        InputError: it holds nodes that are not ours.
    """
    rows = store.read(f"MATCH (s:{quote(STATE)} {{name: 'graph'}}) RETURN properties(s) AS state")
    if rows:
        known, found = {field.name for field in fields(GraphState)}, rows[0]["state"]
        return GraphState(**{name: value for name, value in found.items() if name in known})
    foreign = store.read("MATCH (n) RETURN labels(n) AS labels LIMIT 1")
    if foreign:
        raise InputError(
            f"the database {store.config.database!r} holds a graph that CrossAisle did not load, "
            f"with nodes such as :{':'.join(foreign[0]['labels'])}",
            where=store.config.uri,
            remedy="Name an empty database (NEO4J_DATABASE) or folder (home); this one is left as it is.",
        )
    return None


def refuse_others(store: GraphStore, found: GraphState | None, shop: str) -> None:
    """Stop before another shop's graph, or one that a newer program wrote, is changed.

    Raises:
        InputError: it is such a graph.
    """
    if found is None:
        return
    where, whole = f"{store.config.uri}, database {store.config.database!r}", "this one is left as it is."
    if found.shop not in ("", shop):
        raise InputError(
            f"the store holds the graph of {found.shop!r}, and this data is {shop!r}",
            where=where,
            remedy="Give another folder (home) or database (NEO4J_DATABASE), or replace it "
            f"(crossaisle kg load --replace); {whole}",
        )
    if found.schema_version > SCHEMA_VERSION:
        raise InputError(
            f"the graph was written by a newer CrossAisle (schema {found.schema_version}, here {SCHEMA_VERSION})",
            where=where,
            remedy=f"Install that version, or replace the graph (crossaisle kg load --replace); {whole}",
        )


def write_state(store: GraphStore, state: GraphState) -> None:
    """Write the whole state, in one transaction."""
    values = asdict(state)
    settings = ", ".join(f"s.{quote(name)} = $state.{quote(name)}" for name in values)
    store.write(f"MERGE (s:{quote(STATE)} {{name: 'graph'}}) SET {settings}", state=values)


def constrain(store: GraphStore, kind: NodeKind) -> None:
    """Make a label's key unique, and thereby indexed; nothing happens where it is."""
    name = quote(f"crossaisle_{kind.label.lower()}")
    store.schema_command(
        f"CREATE CONSTRAINT {name} IF NOT EXISTS FOR (n:{quote(kind.label)}) REQUIRE n.{quote(kind.key)} IS UNIQUE"
    )
