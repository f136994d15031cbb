"""Public product taxonomies as the shop's categories: Google's and Shopify's text formats.

One node per line, a path from the top down; a line that begins with ``#`` is a comment:

- Google with ids: ``632 - Hardware > Tools``; without ids: ``Hardware > Tools``, where the path is the id;
- Shopify: ``gid://shopify/TaxonomyCategory/ha-15 : Hardware > Tools``.

Products name a node by its id (Shopify's also without the part before the last slash) or by its full path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from data.sources.taxonomy import SEPARATOR, with_texts
from errors import InputError

SHOPIFY = "gid://shopify/TaxonomyCategory/"
FORMS = {
    "Shopify": re.compile(rf"(?P<id>{SHOPIFY}\S+)\s+:\s+(?P<path>.+)"),
    "Google with ids": re.compile(r"(?P<id>\d+)\s+-\s+(?P<path>.+)"),
    "paths": re.compile(r"(?P<path>.+)"),
}
Path_ = tuple[str, ...]


@dataclass(frozen=True)
class PublicTaxonomy:
    """A tree of categories.

    Attributes:
        paths: each node's names from the top down, by id, parents before their children.
        ids: the other way round.
    """

    paths: dict[str, Path_]
    ids: dict[Path_, str]

    def find(self, references: pd.Series) -> pd.Series:
        """Node id for each reference (an id, a Shopify id without its beginning, or a path); null where unknown."""
        known = {reference: self._find(reference) for reference in references.dropna().unique()}
        return references.map(known).astype("str")

    def up(self, node: str, depth: int) -> str:
        """The node itself, or its ancestor at a depth (0: top) where it lies deeper."""
        return self.ids[self.paths[node][: depth + 1]]

    def with_ancestors(self, nodes: Iterable[str]) -> set[str]:
        """Nodes and all nodes above them."""
        paths = {self.paths[node] for node in nodes}
        return {self.ids[path[:depth]] for path in paths for depth in range(1, len(path) + 1)}

    def frame(self, levels: Sequence[str], kept: set[str]) -> pd.DataFrame:
        """The canonical taxonomy of some nodes.

        Args:
            levels: a name for each depth, top first; deeper nodes are left out.
            kept: ids of the nodes wanted.
        """
        rows = [
            (levels[len(path) - 1], node, path[-1], *self._above(path, levels))
            for node, path in self.paths.items()
            if node in kept and len(path) <= len(levels)
        ]
        columns = ["level", "node_id", "name", "parent_level", "parent_id"]
        return with_texts(pd.DataFrame(rows, columns=columns).astype("str"))

    def _above(self, path: Path_, levels: Sequence[str]) -> tuple[str | None, str | None]:
        return (levels[len(path) - 2], self.ids[path[:-1]]) if len(path) > 1 else (None, None)

    def _find(self, reference: str) -> str | None:
        for node in (reference.strip(), SHOPIFY + reference.strip()):
            if node in self.paths:
                return node
        return self.ids.get(_split(reference))


def read_taxonomy(path: Path) -> PublicTaxonomy:
    """Read a taxonomy file, UTF-8.

    Raises:
        InputError: no such file, not text, no node, or what ``parse`` finds.
    """
    if not path.is_file():
        remedy = "File names in a mapping are relative to its root, by default the mapping's own folder."
        raise InputError("no such file", where=str(path), remedy=remedy)
    try:
        return parse(path.read_text(encoding="utf-8-sig").split("\n"), str(path))
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text: {error}", where=str(path), remedy="Save it as UTF-8.") from None


def parse(lines: Iterable[str], where: str) -> PublicTaxonomy:
    """The tree that a taxonomy's lines tell.

    Args:
        lines: of the file.
        where: the file, for errors.

    Raises:
        InputError: a line of another form than the first, an id or path that is there twice, a part of a path that
            is empty, a node whose parent has no line, no node at all; with file, line and value.
    """
    nodes = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    nodes = [(number, line) for number, line in nodes if line and not line.startswith("#")]
    if not nodes:
        raise InputError("no category", where=where, remedy="Give a file with a category per line.")
    form = next(name for name, pattern in FORMS.items() if pattern.fullmatch(nodes[0][1]))
    numbers: dict[str, int] = {}
    ids: dict[Path_, str] = {}
    for number, line in nodes:
        node, path = _node(line, form, f"{where}, line {number}")
        _refuse_twice(node, path, numbers, ids, f"{where}, line {number}")
        numbers[node], ids[path] = number, node
    _refuse_orphans(numbers, ids, where)
    by_depth = sorted(ids.items(), key=lambda item: len(item[0]))
    return PublicTaxonomy({node: path for path, node in by_depth}, ids)


def _node(line: str, form: str, where: str) -> tuple[str, Path_]:
    """Id and path of a line."""
    found = FORMS[form].fullmatch(line)
    if found is None:
        remedy = f"The file began in the form {form!r}: keep to it."
        raise InputError(f"{line!r} is not a category in that form", where=where, remedy=remedy)
    path = _split(found["path"])
    if not all(path):
        what = f"a name is empty in {found['path']!r}"
        raise InputError(what, where=where, remedy="Write the names from the top down, with > between them.")
    return (found["id"] if "id" in found.groupdict() else SEPARATOR.join(path)), path


def _split(path: str) -> Path_:
    return tuple(part.strip() for part in path.split(">"))


def _refuse_twice(node: str, path: Path_, numbers: dict[str, int], ids: dict[Path_, str], where: str) -> None:
    first = numbers.get(node, numbers.get(ids.get(path, "")))
    if first is not None:
        what = node if node in numbers else SEPARATOR.join(path)
        raise InputError(f"{what!r} is there already, in line {first}", where=where, remedy="Take one line out.")


def _refuse_orphans(numbers: dict[str, int], ids: dict[Path_, str], where: str) -> None:
    for path, node in ids.items():
        if path[:-1] and path[:-1] not in ids:
            what = f"the parent {SEPARATOR.join(path[:-1])!r} of {path[-1]!r} has no line"
            raise InputError(what, where=f"{where}, line {numbers[node]}", remedy="Add a line for it, or correct it.")
