"""Exploring without changing: one reading query, limited in time and rows.

Three guards stand behind each other. ``kg.statement`` looks at the words first. Then the server refuses every write:
a Neo4j because the session has READ access, the embedded store because the session logs in as an account that may
only read records. And the transaction has a time limit: a Neo4j ends it by itself; on the embedded store a timer has
it ended, and where the query heeds nothing, starts the store anew.
"""

from __future__ import annotations

import contextlib
import datetime
import threading
import time
from collections.abc import Mapping
from itertools import islice
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from neo4j import ManagedTransaction, Result, unit_of_work
from neo4j.exceptions import DriverError, Neo4jError
from neo4j.graph import Node, Path, Relationship
from neo4j.spatial import Point
from neo4j.time import Date, DateTime, Duration, Time

from errors import InputError
from kg.answer import Answer, GraphEdge, GraphNode, GraphPath
from kg.statement import REMEDY, refuse_all_but_reading
from kg.store import GraphStore

FETCH_SIZE = 1000
HEED = 5.0
MARK_WITHIN = 900  # of the first thousand characters, which the embedded store shows of a running query
ENDED = ("TransactionTimedOut", "Transaction.Terminated", "TransactionTerminated")
REFUSED = ("Statement.AccessMode", "Security.Forbidden")


class ReadOnly:
    """Runs queries that cannot change the graph; neither can they read files or fetch addresses.

    Args:
        store: an open store: a Neo4j or the embedded one.
        time_limit: seconds after which a query is ended.
        row_limit: rows that an answer holds at most; further ones are left out, and the answer says so.

    Raises:
        InputError: a limit is not positive, or the server is one that lets reading sessions write.
    """

    def __init__(self, store: GraphStore, time_limit: float = 30.0, row_limit: int = 1000) -> None:
        if time_limit <= 0 or row_limit < 1:
            raise InputError(
                f"time_limit {time_limit:g}, row_limit {row_limit}", remedy="Give a time and a number of rows above 0."
            )
        if not store.guards_reading:
            raise InputError(
                f"{store.agent} does not keep a reading session from writing",
                where=store.config.uri,
                remedy="Explore a Neo4j, or the embedded store by its home folder.",
            )
        self.store, self.time_limit, self.row_limit = store, time_limit, row_limit

    def run(self, query: str, params: Mapping[str, object] | None = None) -> Answer:
        """Answer one reading query.

        Args:
            query: one Cypher statement.
            params: values of its ``$parameters``; they are never put into the text.

        Raises:
            InputError: the query would write or do something else than read, is wrong, or took too long.
        """
        refuse_all_but_reading(query)
        mark = f"/* {uuid4().hex} */" if self.store.server is not None else ""
        with _Alarm(self.store, mark, self.time_limit) as alarm:
            try:
                return self._answer(_marked(query, mark), dict(params or {}), alarm)
            except InputError:
                if alarm.rang:  # what broke is the connection to the store that was started anew
                    raise self._too_slow() from None
                raise

    def _answer(self, query: str, params: dict[str, object], alarm: _Alarm) -> Answer:
        @unit_of_work(timeout=self.time_limit)
        def work(tx: ManagedTransaction) -> Answer:
            if alarm.rang:
                raise self._too_slow()
            result = tx.run(query, params)
            answer = self._fetched(result)
            if answer.truncated:
                self.store.end_reading(alarm.mark)  # the embedded store would make all further rows, to throw them away
                with contextlib.suppress(Neo4jError):
                    result.consume()
                raise _EnoughError(answer)
            return answer

        with self.store.reading(fetch_size=min(self.row_limit + 1, FETCH_SIZE)) as session:
            try:
                return session.execute_read(work)
            except _EnoughError as enough:
                return enough.answer
            except (Neo4jError, TypeError, ValueError, OverflowError) as error:
                raise self._told(error) from error

    def _fetched(self, result: Result) -> Answer:
        began = time.perf_counter()
        columns = tuple(result.keys())
        rows = [tuple(map(_value, record)) for record in islice(result, self.row_limit + 1)]
        return Answer(columns, rows[: self.row_limit], len(rows) > self.row_limit, time.perf_counter() - began)

    def _too_slow(self) -> InputError:
        return InputError(
            f"the query took longer than {self.time_limit:g} s and was ended",
            where="query",
            remedy="Ask for less (fewer nodes to begin at, shorter paths, an early LIMIT) or raise the limit.",
        )

    def _told(self, error: Exception) -> InputError:
        code = getattr(error, "code", None) or ""
        message = getattr(error, "message", None) or str(error)
        if any(part in code for part in ENDED):
            return self._too_slow()
        if any(part in code for part in REFUSED):
            return InputError(f"the store refused to change anything: {message}", where="query", remedy=REMEDY)
        return InputError(f"the store cannot run this: {message}", where="query", remedy="Correct query or parameters.")


class _EnoughError(Exception):
    """Leaves a transaction whose further rows nobody wants."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


class _Alarm:
    """Has a query of the embedded store ended after its time; a Neo4j does so by itself."""

    def __init__(self, store: GraphStore, mark: str, seconds: float) -> None:
        self._store, self.mark, self.rang = store, mark, False
        self._over = threading.Event()
        self._timer = threading.Timer(seconds, self._ring)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        if self._store.server is not None:
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._timer.cancel()
        if self._timer.ident is not None:
            self._timer.join()  # so that the store is there again, if it had to be started anew

    def _ring(self) -> None:
        if self._over.is_set() or self._store.server is None:
            return
        self.rang = True
        with contextlib.suppress(InputError, DriverError, Neo4jError):  # the query itself meets the same fault
            self._store.end_reading(self.mark)
        if not self._over.wait(HEED):
            self._store.server.restart()


def _marked(query: str, mark: str) -> str:
    """The query with its mark: behind it, where it can be, so that places in error messages stay right."""
    if not mark:
        return query
    return f"{mark} {query}" if len(query) > MARK_WITHIN or ";" in query else f"{query}\n{mark}"


def _value(value: Any) -> Any:  # noqa: ANN401
    """A driver's value as plain Python, see ``kg.answer.Answer``."""
    if isinstance(value, (Node, Relationship, Path)):
        return _part(value)
    if isinstance(value, Point):
        return {**dict(zip("xyz", value, strict=False)), "srid": value.srid}
    if isinstance(value, list):
        return [_value(one) for one in value]
    if isinstance(value, dict):
        return {key: _value(one) for key, one in value.items()}
    return _moment(value)


def _part(value: Node | Relationship | Path) -> GraphNode | GraphEdge | GraphPath:
    if isinstance(value, Node):
        return GraphNode(value.element_id, tuple(sorted(value.labels)), _properties(value))
    if isinstance(value, Relationship):
        source, target = (node.element_id if node is not None else "" for node in value.nodes)
        return GraphEdge(value.element_id, value.type, source, target, _properties(value))
    return GraphPath(tuple(map(_value, value.nodes)), tuple(map(_value, value.relationships)))


def _properties(entity: Node | Relationship) -> dict[str, Any]:
    return {key: _value(value) for key, value in sorted(entity.items())}


def _moment(value: Any) -> Any:  # noqa: ANN401
    """Temporal values as ``datetime`` types; as ISO text where these cannot hold them (months, the year 10000)."""
    if isinstance(value, Duration):
        whole = datetime.timedelta(days=value.days, seconds=value.seconds, microseconds=value.nanoseconds / 1000)
        return value.iso_format() if value.months else whole
    if isinstance(value, (Date, DateTime, Time)):
        try:
            return value.to_native()
        except ValueError:
            return value.iso_format()
    return value
