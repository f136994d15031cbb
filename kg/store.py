"""The graph store: one class over the official ``neo4j`` driver, for every Neo4j and for the embedded store."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from types import TracebackType
from typing import Any, Self

import pandas as pd
from neo4j import READ_ACCESS, Driver, GraphDatabase, ManagedTransaction, Query, Session, unit_of_work
from neo4j.exceptions import (
    AuthError,
    ConfigurationError,
    DriverError,
    Forbidden,
    Neo4jError,
    ServiceUnavailable,
    SessionExpired,
    TransientError,
)

from errors import InputError
from kg.config import StoreConfig
from kg.embedded import EmbeddedServer

OLDEST_NEO4J = 5
FAULTY = "Its disk may be full: look at its log, make room, start it again, and run the same command again."
SCHEMES = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")
FAULTS = ("Neo.DatabaseError.General", "Neo.DatabaseError.Transaction")
UNANSWERED = (
    "Start it, or correct NEO4J_URI (bolt:// or neo4j:// without encryption, neo4j+s:// with it); without NEO4J_URI "
    "the embedded store is used."
)
# An empty database has not met our labels yet; Neo4j warns of each. Other notifications are shown.
logging.getLogger("neo4j.notifications").addFilter(lambda record: "UNRECOGNIZED" not in record.getMessage())
Rows = tuple[list[str], list[list[Any]]]


class GraphStore:
    """A connection to the knowledge graph's database; open it with ``GraphStore.open`` in a ``with`` statement.

    Every call is one managed transaction on the configured database: passing faults are retried for at most
    ``config.retry_time`` seconds, so a writing query should give the same result when it runs again. Writes are
    serialised (the embedded store duplicates relationships under concurrent ``MERGE``). Values go into queries as
    parameters only; names go through ``kg.schema.quote``.

    Attributes:
        config: the resolved configuration.
        server: the embedded server, or None for a Neo4j.
        agent: what the server calls itself, such as ``Neo4j/5.26.0``.
    """

    def __init__(self, config: StoreConfig, driver: Driver, server: EmbeddedServer | None = None) -> None:
        self.config, self.server, self._driver, self.agent = config, server, driver, ""
        self._writing = threading.Lock()
        self._bookmarks = GraphDatabase.bookmark_manager()

    @classmethod
    def open(cls, config: StoreConfig | None = None) -> GraphStore:
        """Connect, starting the embedded store when the configuration names no Neo4j.

        Raises:
            InputError: the store cannot be started or reached, refuses the password, or lacks the database.
        """
        resolved = (config or StoreConfig()).resolved()
        server = EmbeddedServer(resolved) if resolved.is_embedded else None
        try:
            store = cls(resolved, _connect(resolved, server), server)
            store._verify()
        except BaseException:
            if server is not None:
                server.stop()
            raise
        return store

    def close(self) -> None:
        """Close the connections and end the embedded store; harmless when repeated."""
        self._driver.close()
        if self.server is not None:
            self.server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, query: str, /, **params: object) -> list[dict[str, Any]]:
        """Rows of a reading query, one dictionary each, by column name."""
        columns, rows = self.read_rows(query, **params)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def read_rows(self, query: str, /, **params: object) -> Rows:
        """Column names and rows of a reading query: the fastest way for many rows."""
        with self._session() as session:
            return session.execute_read(self._unit(query), params)

    def read_frame(self, query: str, /, **params: object) -> pd.DataFrame:
        """Rows of a reading query as a data frame."""
        columns, rows = self.read_rows(query, **params)
        return pd.DataFrame(rows, columns=columns)

    def write(self, query: str, /, **params: object) -> list[dict[str, Any]]:
        """Run a writing query in one transaction; its rows, one dictionary each."""
        with self._writing, self._session() as session:
            columns, rows = session.execute_write(self._unit(query), params)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def write_batches(self, query: str, /, rows: Iterable[Mapping[str, Any]], batch_size: int | None = None) -> int:
        """Run a writing query once for each batch of rows, a transaction each.

        Args:
            query: Cypher that begins with ``UNWIND $rows AS row`` and ends with ``RETURN count(*) AS written``.
            rows: what is written, consumed as a stream.
            batch_size: rows in one transaction; default from the configuration.

        Returns:
            the number of rows written: less than sent where the query's ``MATCH`` found nothing.
        """
        stream, written = iter(rows), 0
        while batch := list(islice(stream, batch_size or self.config.batch_size)):
            written += sum(int(row["written"]) for row in self.write(query, rows=batch))
        return written

    def schema_command(self, query: str, /) -> None:
        """Run a schema command (constraint, index) in a transaction of its own."""
        with self._writing, self._session() as session:
            session.run(Query(query, timeout=self.config.query_timeout)).consume()

    @property
    def guards_reading(self) -> bool:
        """Whether the server keeps the sessions of ``reading`` from writing; others that speak Bolt may not."""
        return self.server is not None or "compatible" not in self.agent

    @contextlib.contextmanager
    def reading(self, fetch_size: int) -> Iterator[Session]:
        """A session that the server keeps from writing: by READ access, or the embedded store's reader account.

        Args:
            fetch_size: rows fetched at a time.
        """
        reader = {} if self.server is None else {"auth": self.server.reader}
        with self._session(fetch_size=fetch_size, default_access_mode=READ_ACCESS, **reader) as session:
            yield session

    def end_reading(self, mark: str) -> None:
        """End the queries of ``reading`` sessions of the embedded store that contain a mark.

        Args:
            mark: a text, such as a comment, within the first thousand characters of the query.
        """
        if self.server is None:
            return
        with self._session() as session:
            for row in session.run("SHOW TRANSACTIONS").data():
                if row["username"] == self.server.reader[0] and mark in row["currentQuery"]:
                    session.run("TERMINATE TRANSACTIONS $id", id=row["transactionId"]).consume()

    @contextlib.contextmanager
    def _session(self, **settings: Any) -> Iterator[Session]:  # noqa: ANN401
        database = self.config.database
        with (
            self._translated(),
            self._driver.session(database=database, bookmark_manager=self._bookmarks, **settings) as session,
        ):
            yield session

    def _unit(self, query: str) -> Callable[[ManagedTransaction, dict[str, object]], Rows]:
        @unit_of_work(timeout=self.config.query_timeout)
        def work(tx: ManagedTransaction, params: dict[str, object]) -> Rows:
            result = tx.run(query, params)
            return list(result.keys()), result.values()

        return work

    def _verify(self) -> None:
        """Reach the server, log in, and touch the database."""
        with self._translated():
            self._driver.verify_connectivity()
            self.agent = str(self._driver.get_server_info().agent)
        _check_version(self.agent, self.config.uri)
        self.read("RETURN 1 AS one")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn faults of the store into errors that a user can act on."""
        try:
            yield
        except (DriverError, Neo4jError) as error:
            told = self._server_fault(error) or _explain(error, self.config)
            if told is None:
                raise
            raise told from error

    def _server_fault(self, error: Exception) -> InputError | None:
        """What has befallen the embedded server, if anything."""
        if self.server is None:
            return None
        if not self.server.alive:
            return self.server.failure("The embedded graph store has ended")
        if self.server.disk_full or "Transaction error on commit" in str(error):
            return self.server.failure("The embedded graph store cannot write (is its disk full, or a quota reached?)")
        return None


def _connect(config: StoreConfig, server: EmbeddedServer | None) -> Driver:
    uri = config.uri if server is None else server.uri
    auth = (config.username, config.password) if server is None else (server.username, server.password)
    try:
        if uri.partition("://")[0] not in SCHEMES:
            raise ValueError(f"it begins with none of {', '.join(SCHEMES)}")
        return GraphDatabase.driver(
            uri,
            auth=auth,
            connection_timeout=config.connect_timeout,
            max_transaction_retry_time=config.retry_time,
            connection_acquisition_timeout=config.connect_timeout + config.retry_time,
        )
    except (ConfigurationError, ValueError) as error:
        raise InputError(
            f"not the address of a Neo4j: {error}",
            where=f"uri {uri!r}",
            remedy="Set NEO4J_URI to an address such as neo4j://localhost:7687 or neo4j+s://….databases.neo4j.io.",
        ) from None


def _explain(error: DriverError | Neo4jError, config: StoreConfig) -> InputError | None:
    """The user's version of a store's fault; None when it is the program's own."""
    told = _what_and_remedy(error, getattr(error, "code", None) or "", config)
    return None if told is None else InputError(told[0], where=f"Neo4j at {config.uri}", remedy=told[1])


def _what_and_remedy(  # noqa: PLR0911  (one line for each fault)
    error: DriverError | Neo4jError, code: str, config: StoreConfig
) -> tuple[str, str] | None:
    message = getattr(error, "message", None) or str(error)
    if "AuthenticationRateLimit" in code:
        return "the store was given wrong passwords too often", "Wait a few seconds, then correct NEO4J_PASSWORD."
    if isinstance(error, Forbidden):
        may_not = f"user {config.username!r} may not do this: {message}"
        return may_not, "Use an account that may read, write and define schema."
    if isinstance(error, AuthError):
        return f"the store refuses the password of user {config.username!r}", "Set NEO4J_USERNAME and NEO4J_PASSWORD."
    if "DatabaseNotFound" in code:
        return f"there is no database {config.database!r}", "Create it, or set NEO4J_DATABASE to one that exists."
    if isinstance(error, (ServiceUnavailable, SessionExpired)):
        return f"the store does not answer: {error}", UNANSWERED
    if isinstance(error, TransientError) or "TransactionTimedOut" in code:
        return f"the store could not finish in time: {error}", "Try again, or raise query_timeout and retry_time."
    if code.startswith(FAULTS) and not config.is_embedded:
        return f"the store met a fault of its own: {message}", FAULTY
    return None


def _check_version(agent: str, uri: str) -> None:
    """Refuse a Neo4j that is too old; ``agent`` is such as ``Neo4j/5.26.0``."""
    name, _, version = agent.partition("/")
    major = version.partition(".")[0]
    if name == "Neo4j" and major.isdigit() and int(major) < OLDEST_NEO4J:
        raise InputError(
            f"the server is Neo4j {version}",
            where=f"Neo4j at {uri}",
            remedy=f"Use Neo4j {OLDEST_NEO4J}.26 LTS or newer.",
        )
