"""The named queries: documented Cypher files in ``kg/queries/``, and whoever's own in the same form.

A file begins with a head of comment lines, which is read strictly:

    // What the query answers, in a line or two.
    //
    // Parameters:
    //   category (text, required): id or name of a category
    //   min_support (integer, default 20): fewest customers behind a pair
    //   window_end (integer, default latest window): before which cut-off purchases were counted
    //
    // Reading: how to read the answer.
    // Drawn: path

Types are ``text``, ``integer``, ``number``, ``boolean`` and ``texts`` (a list). ``default none`` is null. ``Drawn``
names columns that are there for pictures and left out of tables. Everything below the head is Cypher, in which
``$name`` is a parameter and ``$$Name`` a name of the graph's schema (``kg.placeholders``).
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from errors import InputError

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LATEST = "latest window"
TYPES = ("text", "integer", "number", "boolean", "texts")
SECTIONS = ("Parameters", "Reading", "Drawn")
_PARAMETER = re.compile(r"(\w+) \((\w+), (required|default (.+?))\): (\S.*)")
_SECTION = re.compile(r"([A-Z][a-z]+):(?: (.*))?")
_INNER = re.compile(r"\[[^][(){}]*\]|\([^][(){}]*\)|\{[^][(){}]*\}")
_USED = re.compile(r"(?<!\$)\$(\w+)")


@dataclass(frozen=True)
class Parameter:
    """A value that a query asks for.

    Attributes:
        name: as in ``--param name=value``.
        type: one of ``TYPES``.
        default: text of the default as written in the head; None when a value must be given.
        meaning: what it is.
    """

    name: str
    type: str
    default: str | None
    meaning: str


@dataclass(frozen=True)
class NamedQuery:
    """A query with its documentation.

    Attributes:
        name: of the file, without suffix.
        answers: what it answers.
        parameters: what it asks for.
        reading: how to read its answer.
        drawn: columns for pictures only.
        cypher: the query, with placeholders.
    """

    name: str
    answers: str
    parameters: tuple[Parameter, ...]
    reading: str
    drawn: tuple[str, ...]
    cypher: str

    @property
    def documented(self) -> bool:
        """Whether it came with a head; without one, parameters are free."""
        return bool(self.answers)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the answer's columns, as a documented query's last RETURN gives them."""
        last = re.split(r"\bRETURN\b", self.cypher)[-1]
        items = re.split(r"\b(?:ORDER BY|SKIP|LIMIT|UNION)\b", last)[0]
        while _INNER.search(items):
            items = _INNER.sub("", items)
        return tuple(re.split(r"\bAS\b", item)[-1].strip() for item in items.split(","))


def names() -> list[str]:
    """Names of all queries of the library, sorted."""
    files = (entry.name for entry in resources.files("kg").joinpath("queries").iterdir())
    return sorted(name.removesuffix(".cypher") for name in files if name.endswith(".cypher"))


def load(name: str) -> NamedQuery:
    """Read a query of the library.

    Raises:
        InputError: there is none of that name.
    """
    known = names()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        remedy = f"Did you mean {' or '.join(close)}?" if close else "`crossaisle kg queries` lists them all."
        raise InputError(f"there is no named query {name!r}", remedy=remedy)
    text = resources.files("kg").joinpath("queries", f"{name}.cypher").read_text(encoding="utf-8")
    return parse(name, text)


def resolve(text: str) -> NamedQuery:
    """A query by its name in the library, or as Cypher with or without a head."""
    return load(text.strip()) if NAME.fullmatch(text.strip()) else parse("query", text)


def parse(name: str, text: str) -> NamedQuery:
    """Read a query and its head; a text that does not begin with one is Cypher as it stands.

    Raises:
        InputError: the head is malformed, or does not name the parameters that the query uses.
    """
    lines = text.strip().splitlines()
    head = _head(lines)
    cypher = "\n".join(lines[len(head) :]).strip()
    if not any(line.strip() in [f"{section}:" for section in SECTIONS] or line.startswith("Reading:") for line in head):
        return NamedQuery(name, "", (), "", (), text.strip())
    sections = _sections(name, head)
    query = NamedQuery(
        name,
        answers=" ".join(sections[""]),
        parameters=tuple(_parameter(name, line) for line in _joined(sections.get("Parameters", []))),
        reading=" ".join(line.strip() for line in sections.get("Reading", [])),
        drawn=tuple(re.findall(r"\w+", " ".join(sections.get("Drawn", [])))),
        cypher=cypher,
    )
    _check(query)
    return query


def bind(query: NamedQuery, given: Sequence[str], latest: int | None = None) -> dict[str, Any]:
    """The values of a query's parameters.

    Args:
        query: documented or not. Without documentation a value is read as JSON, and as text where it is none.
        given: ``name=value`` each; a name may be repeated for a list.
        latest: the latest window of the graph, for the default of that name.

    Raises:
        InputError: a value is missing, has no such parameter, or is of another type.
    """
    texts = _split(given)
    if not query.documented:
        return {name: _free(values) for name, values in texts.items()}
    known = {parameter.name: parameter for parameter in query.parameters}
    for name in texts:
        if name not in known:
            raise _unknown(query, name)
    return {name: _value(query, parameter, texts.get(name), latest) for name, parameter in known.items()}


def usage(query: NamedQuery) -> str:
    """The parameters in short, those that must be given first: ``category=, limit=15``."""
    return ", ".join(
        f"{one.name}={one.default or ''}" for one in sorted(query.parameters, key=lambda one: bool(one.default))
    )


def describe(query: NamedQuery) -> str:
    """All that a query's head says, and its Cypher."""
    lines = [query.name, "", query.answers, ""]
    for one in query.parameters:
        default = "required" if one.default is None else f"default {one.default}"
        lines.append(f"  {one.name} ({one.type}, {default}): {one.meaning}")
    return "\n".join([*lines, *([""] if query.parameters else []), f"Reading: {query.reading}", "", query.cypher])


def _head(lines: list[str]) -> list[str]:
    """The comment lines at the beginning, without their slashes."""
    found = []
    for line in lines:
        if not line.startswith("//"):
            break
        found.append(line.removeprefix("//").removeprefix(" ").rstrip())
    return found


def _sections(name: str, head: list[str]) -> dict[str, list[str]]:
    """Lines of each section; the text before the first has the name ''."""
    found: dict[str, list[str]] = {"": []}
    at = ""
    for line in filter(None, head):
        section = _SECTION.fullmatch(line)
        if section and section[1] in SECTIONS:
            at = section[1]
            if at in found:
                raise _malformed(name, f"{at} twice")
            found[at] = [section[2]] if section[2] else []
        elif section and not section[2]:
            raise _malformed(name, f"an unknown section {line!r}; sections are {', '.join(SECTIONS)}")
        else:
            found[at].append(line)
    return found


def _joined(lines: list[str]) -> list[str]:
    """Parameters begin with two spaces; deeper lines continue the one before."""
    found: list[str] = []
    for line in lines:
        if line.startswith("    ") and found:
            found[-1] += " " + line.strip()
        else:
            found.append(line.strip())
    return found


def _parameter(name: str, line: str) -> Parameter:
    found = _PARAMETER.fullmatch(line)
    if found is None or found[2] not in TYPES:
        form = f"NAME (TYPE, required): MEANING or NAME (TYPE, default VALUE): MEANING, TYPE one of {', '.join(TYPES)}"
        raise _malformed(name, f"{line!r}, which is not {form}")
    parameter = Parameter(found[1], found[2], found[4], found[5])
    if parameter.default not in (None, "none", LATEST):
        _typed(parameter, [str(parameter.default)], f"the default of {name}")
    return parameter


def _check(query: NamedQuery) -> None:
    declared, used = {parameter.name for parameter in query.parameters}, set(_USED.findall(query.cypher))
    if not query.answers or not query.reading:
        raise _malformed(query.name, "no line on what the query answers, or none on how to read it (Reading:)")
    if declared != used:
        names = ", ".join(sorted(declared ^ used))
        raise _malformed(query.name, f"parameters that only the head or only the query has: {names}")


def _malformed(name: str, what: str) -> InputError:
    return InputError(f"the head of the query has {what}", where=name, remedy="See docs/knowledge-graph.md.")


def _split(given: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise InputError(f"--param {pair!r} is not NAME=VALUE", remedy="Such as --param category=TEAS.")
        found.setdefault(name, []).append(value)
    return found


def _unknown(query: NamedQuery, name: str) -> InputError:
    known = [parameter.name for parameter in query.parameters]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    what = f"{query.name} has no parameter {name!r}"
    return InputError(what, where="--param", remedy=f"{hint}It has {', '.join(known) or 'none'}.")


def _value(query: NamedQuery, parameter: Parameter, given: list[str] | None, latest: int | None) -> Any:  # noqa: ANN401
    where = f"--param {parameter.name}"
    if given is not None:
        return _typed(parameter, given, where)
    if parameter.default is None:
        remedy = f"Give --param {parameter.name}=VALUE, a value of type {parameter.type}: {parameter.meaning}."
        raise InputError(f"{query.name} needs a value for {parameter.name}", where=where, remedy=remedy)
    if parameter.default == LATEST:
        return latest
    return None if parameter.default == "none" else _typed(parameter, [parameter.default], where)


def _typed(parameter: Parameter, given: list[str], where: str) -> Any:  # noqa: ANN401
    if parameter.type == "texts":
        return [text for value in given for text in _texts(value, where)]
    if len(given) > 1:
        raise InputError(f"{len(given)} values for one {parameter.type}", where=where, remedy="Give one.")
    value = given[0]
    try:
        return READERS[parameter.type](value)
    except ValueError:
        raise InputError(f"{value!r} is no {parameter.type}", where=where, remedy=f"{parameter.meaning}.") from None


def _integer(value: str) -> int:
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(value)
    return number


def _number(value: str) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _boolean(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise ValueError(value)
    return value.lower() == "true"


READERS: dict[str, Callable[[str], Any]] = {"text": str, "integer": _integer, "number": _number, "boolean": _boolean}


def _texts(value: str, where: str) -> list[str]:
    """One text, or a JSON list of texts."""
    if not value.startswith("["):
        return [value]
    try:
        found = json.loads(value)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{value!r} is no JSON list: {error}", where=where, remedy='Such as ["TEAS", "MILK"].'
        ) from None
    if not all(isinstance(text, str) for text in found):
        raise InputError(f"{value!r} holds something that is no text", where=where, remedy='Such as ["TEAS", "MILK"].')
    return list(found)


def _free(values: list[str]) -> Any:  # noqa: ANN401
    read = [_json_or_text(value) for value in values]
    return read[0] if len(read) == 1 else read


def _json_or_text(value: str) -> Any:  # noqa: ANN401
    try:
        return json.loads(value, parse_constant=lambda name: name)
    except json.JSONDecodeError:
        return value
