"""A look at a query's words before it is sent: refuses what a server's own guard lets pass.

A READ session of Neo4j refuses to change the graph, yet it reads files and addresses (``LOAD CSV``), ends other
people's transactions, and runs procedures that clear caches, write files or call out (``apoc.export.*`` counts as
reading). This look refuses those, and writing clauses with a clearer message than the servers give. It is no
parser and the graph does not depend on it: what it misses, the server refuses (see ``kg.readonly``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from errors import InputError

STARTS = frozenset(
    ["MATCH", "OPTIONAL", "UNWIND", "WITH", "RETURN", "CALL", "SHOW", "EXPLAIN", "PROFILE", "CYPHER", "USE"]
)
WRITING = frozenset(
    ["CREATE", "MERGE", "SET", "REMOVE", "DELETE", "DETACH", "NODETACH", "INSERT", "FOREACH", "DROP", "ALTER"]
)
WITH_NEXT = {"LOAD": ["CSV"], "TERMINATE": ["TRANSACTION", "TRANSACTIONS"]}
PROCEDURES = frozenset(
    [
        "db.info",
        "db.ping",
        "db.labels",
        "db.propertykeys",
        "db.relationshiptypes",
        "db.index.fulltext.querynodes",
        "db.index.fulltext.queryrelationships",
        "db.index.vector.querynodes",
        "db.index.vector.queryrelationships",
        "db.schema.nodetypeproperties",
        "db.schema.reltypeproperties",
        "db.schema.visualization",
        "dbms.components",
        "dbms.info",
    ]
)
PROCEDURE_FAMILIES = ("algo.", "path.", "meta.")
FUNCTION_FAMILIES = frozenset(
    ["date", "datetime", "db", "duration", "graph", "localdatetime", "localtime", "point", "time", "vector"]
)
REMEDY = (
    "Exploring only reads: use MATCH, OPTIONAL MATCH, UNWIND, WITH, WHERE, RETURN, and CALL () { … } of these; "
    "give values as parameters. Write a name that is spelt like a clause between backticks."
)
TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\r\n]*|/\*.*?\*/)
    |(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<quoted>`(?:[^`]|``)*`)
    |(?P<word>[^\W\d]\w*)
    |(?P<number>\d\w*)
    |(?P<open>['"`]|/\*)
    |(?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)
Token = tuple[str, str]
NOTHING: Token = ("", "")
NAMING = (("sign", ":"), ("sign", "$"), ("word", "AS"))  # what follows these is a name, however it is spelt


def refuse_all_but_reading(query: str) -> None:
    """Refuse a query that would do anything but read the graph.

    Raises:
        InputError: it holds several statements, a writing clause, ``LOAD CSV``, a procedure or function that is
            not known to only read, a Unicode escape, or a string or comment that does not end.
    """
    if re.search(r"\\u+[0-9a-fA-F]{4}", query):
        raise _refusal("a Unicode escape (\\u…) can hide a clause", "Write the character itself, or use a parameter.")
    tokens = list(_tokens(query))
    while tokens and tokens[-1] == ("sign", ";"):
        tokens.pop()
    if not tokens:
        raise _refusal("the query is empty", "Give one Cypher statement.")
    if ("sign", ";") in tokens:
        raise _refusal("there are several statements", "Give them one at a time.")
    if tokens[0][1] not in STARTS:
        raise _refusal(f"a reading query does not begin with {tokens[0][1]}", REMEDY)
    for at in range(len(tokens)):
        _check(tokens, at)


def _tokens(query: str) -> Iterator[Token]:
    for match in TOKEN.finditer(query):
        kind = match.lastgroup or ""
        if kind == "open":
            where = f"character {match.start() + 1}"
            raise InputError(f"what begins here with {match[0]} does not end", where=where, remedy="Close it.")
        if kind != "skip":
            yield kind, match[0].upper() if kind == "word" else match[0]


def _check(tokens: Sequence[Token], at: int) -> None:
    kind, word = tokens[at]
    following = tokens[at + 1] if at + 1 < len(tokens) else NOTHING
    if kind not in ("word", "quoted") or _is_property(tokens, at):
        return
    path, end = _dotted(tokens, at)
    called = end < len(tokens) and tokens[end] == ("sign", "(")
    if kind == "word" and word == "CALL":
        _check_procedure(_dotted(tokens, at + 1)[0])
    elif "." in path and called and tokens[at - 1] != ("word", "CALL"):
        _check_function(path)
    elif kind == "word" and _begins_clause(tokens, at, following):
        raise _refusal(f"{word} is no reading clause", REMEDY)


def _begins_clause(tokens: Sequence[Token], at: int, following: Token) -> bool:
    word, before = tokens[at][1], tokens[at - 1] if at else NOTHING
    if word in WITH_NEXT:
        return following[1] in WITH_NEXT[word]
    opens = following[0] in ("word", "quoted") or following == ("sign", "(")
    return word in WRITING and opens and before not in NAMING


def _is_property(tokens: Sequence[Token], at: int) -> bool:
    """Whether this is a later part of a dotted name: ``n.set``."""
    return at > 1 and tokens[at - 1] == ("sign", ".") and tokens[at - 2][0] != "number"


def _dotted(tokens: Sequence[Token], at: int) -> tuple[str, int]:
    """The dotted name that begins at a position, in lower case without backticks, and the position after it."""
    parts: list[str] = []
    while at < len(tokens) and tokens[at][0] in ("word", "quoted"):
        parts.append(tokens[at][1].strip("`").lower())
        at += 1
        if at >= len(tokens) or tokens[at] != ("sign", "."):
            break
        at += 1
    return ".".join(parts), at


def _check_procedure(name: str) -> None:
    """Pass ``CALL {`` and ``CALL (``, whose clauses are looked at themselves, and procedures that only read."""
    if name and name not in PROCEDURES and not name.startswith(PROCEDURE_FAMILIES):
        raise _refusal(f"procedure {name} is not known to only read", f"These are: {', '.join(sorted(PROCEDURES))}.")


def _check_function(name: str) -> None:
    family = name.partition(".")[0]
    if family not in FUNCTION_FAMILIES:
        known = ", ".join(sorted(FUNCTION_FAMILIES))
        raise _refusal(f"function {name} is not known to only read", f"Families that are: {known}.")


def _refusal(what: str, remedy: str) -> InputError:
    return InputError(f"{what}; exploring cannot change anything", where="query", remedy=remedy)
