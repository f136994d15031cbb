"""Settings of the graph store and of what is counted into the graph."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from errors import InputError

EMBEDDED = "embedded"


@dataclass(frozen=True)
class StoreConfig:
    """Where the knowledge graph lives.

    Empty fields are filled from the environment (``NEO4J_URI``, ``NEO4J_USERNAME``, ``NEO4J_PASSWORD``,
    ``NEO4J_DATABASE``); what is set here wins.

    Attributes:
        uri: Bolt address of a Neo4j, such as ``neo4j://localhost:7687``. Empty: ``NEO4J_URI``, and without that
            the embedded store. ``embedded``: the embedded store, whatever the environment says.
        username: account at that Neo4j; default ``neo4j``.
        password: its password. Never printed; better given by ``NEO4J_PASSWORD`` than written in a file.
        database: name of the database.
        home: folder of the embedded store.
        heap: largest Java heap of the embedded store, such as ``1g`` or ``512m``.
        batch_size: rows sent in one transaction when loading.
        start_timeout: seconds the embedded store may take until it answers.
        connect_timeout: seconds to wait for a connection.
        query_timeout: seconds after which the server ends a transaction.
        retry_time: seconds during which a transaction that met a passing fault is tried again.
    """

    uri: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    database: str = "neo4j"
    home: Path = Path(".crossaisle/graph")
    heap: str = "1g"
    batch_size: int = 5_000
    start_timeout: float = 60.0
    connect_timeout: float = 10.0
    query_timeout: float = 600.0
    retry_time: float = 15.0

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[1-9][0-9]*[kmgKMG]", self.heap):
            raise InputError(f"heap is {self.heap!r}", remedy="Give a number and a unit, such as 1g or 512m.")
        if self.batch_size < 1:
            raise InputError(f"batch_size is {self.batch_size}", remedy="Give a number of rows, at least 1.")

    @property
    def is_embedded(self) -> bool:
        """Whether this means the embedded store (of a resolved configuration)."""
        return self.uri in ("", EMBEDDED)

    def resolved(self, environment: Mapping[str, str] | None = None) -> StoreConfig:
        """Fill what is empty from the environment; default: the process's own."""
        env = os.environ if environment is None else environment
        uri = self.uri or env.get("NEO4J_URI", "")
        if uri in ("", EMBEDDED):
            return replace(self, uri=EMBEDDED, database="neo4j")
        database = env.get("NEO4J_DATABASE", "") if self.database == "neo4j" else self.database
        return replace(
            self,
            uri=uri,
            username=self.username or env.get("NEO4J_USERNAME", "neo4j"),
            password=self.password or env.get("NEO4J_PASSWORD", ""),
            database=database or "neo4j",
        )


@dataclass(frozen=True)
class CoPurchaseConfig:
    """What ``BOUGHT_WITH`` counts; see ``kg.copurchase`` for the definitions.

    Attributes:
        unit: who bought both: a ``user`` within the window (what leads customers from one part of the shop to
            another), or a ``basket`` (what is bought at the same time).
        window: periods counted before each cut-off; null counts everything before it.
        top_k: strongest neighbours kept for each node of the interest level.
        below_top_k: strongest neighbours kept for each node of the level below it.
        min_support: fewest users (baskets) that must have bought both.
        score: what "strongest" means.
        block_entries: largest number of pairs held in memory at a time while counting.
    """

    unit: Literal["user", "basket"] = "user"
    window: int | None = None
    top_k: int = 15
    below_top_k: int = 5
    min_support: int = 5
    score: Literal["cosine", "lift", "confidence"] = "cosine"
    block_entries: int = 4_000_000
