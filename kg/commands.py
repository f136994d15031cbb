"""The exploring commands: ``crossaisle kg query | queries | schema | export``, as plain functions."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from console import say
from errors import InputError
from kg import graphfile, library, output, overview, picture
from kg.answer import Answer
from kg.explore import Explorer, complete, graph_of
from kg.library import NamedQuery
from kg.store import GraphStore

PIPE_WIDTH = 160


def query(
    store: GraphStore,
    text: str = "",
    params: Sequence[str] = (),
    file: Path | None = None,
    out: Path | None = None,
    graph: Path | None = None,
    row_limit: int = 1000,
    time_limit: float = 30.0,
) -> Answer:
    """Answer a query: as a table in the terminal, as a file, or as a picture.

    Args:
        store: an open store with a loaded graph.
        text: name of a query of the library, or Cypher.
        params: values, ``name=value`` each.
        file: a Cypher file instead of ``text``.
        out: .csv, .json or .parquet; default: the terminal.
        graph: .html, .png or .svg of the answer's nodes and relationships; default none.
        row_limit: rows at most; a notice says when there are more.
        time_limit: seconds after which the query is ended.

    Raises:
        InputError: the query, a value or a file is wrong.
    """
    _check_suffixes((out, output.FORMATS), (graph, picture.FORMATS))
    asked = _asked(text, file)
    explorer = Explorer(store, time_limit, row_limit)
    answer = explorer.answer(asked, params)
    shown = output.without(answer, asked.drawn)
    if graph is not None:
        network = complete(explorer.reader, graph_of(answer))
        picture.draw(network, graph, title=asked.answers)
        say("picture", f"{graph}: {len(network):,} nodes, {network.number_of_edges():,} relationships")
    if out is not None:
        output.write(shown, out)
        say("answer", f"{out}: {output.notice(answer)}")
    elif graph is None:
        _show(shown)
        say("answer", output.notice(answer))
    return answer


def queries(name: str = "") -> None:
    """List the library, or tell all about one of its queries.

    Raises:
        InputError: there is no query of that name.
    """
    terminal = _terminal()
    if name:
        terminal.print(library.describe(library.load(name)), markup=False)
        return
    rows = [(query.name, library.usage(query), query.answers) for query in map(library.load, library.names())]
    terminal.print(output.table(Answer(("query", "parameters", "answers"), rows), whole=True))


def schema(store: GraphStore, graph: Path | None = None, time_limit: float = 30.0) -> None:
    """Show the graph's labels and relationships with their numbers.

    Args:
        store: an open store with a loaded graph.
        graph: a picture of it, .html, .png or .svg; default none.
        time_limit: seconds for each count.

    Raises:
        InputError: the store holds no graph, or the picture's name is wrong.
    """
    _check_suffixes((graph, picture.FORMATS))
    explorer = Explorer(store, time_limit)
    nodes, edges = overview.node_counts(explorer), overview.edge_counts(explorer)
    _show(nodes)
    _show(edges)
    say("windows", ", ".join(map(str, explorer.windows)) or "none")
    if graph is not None:
        picture.draw(overview.network(nodes, edges), graph, title="What the graph holds", explained=False)
        say("picture", str(graph))


def export(
    store: GraphStore,
    to: Path,
    text: str = "",
    params: Sequence[str] = (),
    file: Path | None = None,
    row_limit: int = 100_000,
    time_limit: float = 60.0,
) -> None:
    """Write the nodes and relationships of a query's answer as GraphML or GEXF, or the answer as a table.

    Args:
        store: an open store with a loaded graph.
        to: .graphml or .gexf for Gephi and others; .csv, .json or .parquet for the rows.
        text: name of a query of the library, or Cypher; default (without ``file``): the categories and their
            co-purchases in the latest window.
        params: values, ``name=value`` each.
        file: a Cypher file instead of ``text``.
        row_limit: rows at most; a notice says when there are more.
        time_limit: seconds after which the query is ended.

    Raises:
        InputError: the query, a value or the file's name is wrong, or the answer holds no nodes.
    """
    _check_suffixes((to, (*graphfile.FORMATS, *output.FORMATS)))
    if to.suffix in output.FORMATS and (text or file):
        query(store, text, params, file, to, row_limit=row_limit, time_limit=time_limit)
        return
    explorer = Explorer(store, time_limit, row_limit)
    if text or file:
        asked = _asked(text, file)
        answer = explorer.answer(asked, params)
        network = complete(explorer.reader, graph_of(answer))
        say("answer", output.notice(answer))
    else:
        network = explorer.co_purchases()
    if not network:
        remedy = "Return nodes, relationships or paths, or name a table format: .csv, .json, .parquet."
        raise InputError("the answer holds no nodes", where=str(to), remedy=remedy)
    graphfile.write(network, to)
    say("export", f"{to}: {len(network):,} nodes, {network.number_of_edges():,} relationships")


def _asked(text: str, file: Path | None) -> NamedQuery:
    if bool(text) == (file is not None):
        remedy = 'Such as `crossaisle kg query bought-together`, `kg query "MATCH …"` or `kg query -f FILE.cypher`.'
        raise InputError("give a query's name, Cypher, or a file: one of them", where="query", remedy=remedy)
    if file is None:
        return library.resolve(text)
    try:
        return library.parse(file.stem, file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read it: {error.strerror}", where=str(file), remedy="Name a Cypher file.") from None
    except UnicodeDecodeError:
        raise InputError("it is not UTF-8 text", where=str(file), remedy="Save it as UTF-8.") from None


def _check_suffixes(*wanted: tuple[Path | None, tuple[str, ...]]) -> None:
    """Say that a file's name is wrong before the query runs."""
    for path, formats in wanted:
        if path is not None and path.suffix not in formats:
            what = f"there is no format {path.suffix!r}" if path.suffix else "the file's name has no suffix"
            raise InputError(what, where=str(path), remedy=f"Use one of {', '.join(formats)}.")


def _show(answer: Answer) -> None:
    _terminal().print(output.table(answer))


def _terminal() -> Console:
    """Answers go to stdout; what is piped elsewhere is not broken at 80 columns."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
