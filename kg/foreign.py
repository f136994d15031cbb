"""A catalogue out of a Neo4j that holds it under labels of its own: read by a mapping, written as files to train on.

The foreign graph is only read, in a session that the server keeps from writing. Rows are streamed into Parquet files,
so memory does not grow with the catalogue (the category tree apart). Purchases are not in a catalogue's graph: they
stay the shop's own file, which the mapping names.

The folder that comes out holds ``products.parquet``, ``taxonomy.parquet``, ``relations-N.parquet`` and a
``mapping.yaml`` for the source ``tabular``. It is made under another name and renamed when whole.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from neo4j import Query, Session

from console import say, track
from data.sources.mapping import InteractionsMapping, UsersMapping, read_as
from data.validate import LABEL, RELATION, refuse_cycle
from errors import InputError
from kg.config import StoreConfig
from kg.schema import quote
from kg.store import GraphStore

ROWS = 10_000
SEPARATOR = "\x1f"
Direction = Literal["out", "in"]


@dataclass(frozen=True)
class Step:
    """A relationship to follow.

    Attributes:
        type: relationship type in the foreign graph.
        direction: out: it starts here; in: it ends here; default out.
    """

    type: str
    direction: Direction = "out"

    def pattern(self) -> str:
        """Cypher between the node here and the one there."""
        return f"-[r:{quote(self.type)}]->" if self.direction == "out" else f"<-[r:{quote(self.type)}]-"


@dataclass(frozen=True)
class Value:
    """An attribute of a product: a property of its own, or of a node that it is related to.

    Attributes:
        label: label of the nodes that it becomes, in CamelCase.
        property: property that holds the value, of the product or of the related node.
        via: the relationship to that node; default none: the product's own property.
    """

    label: str
    property: str
    via: Step | None = None


@dataclass(frozen=True)
class ForeignProducts:
    """The products.

    Attributes:
        label: their label in the foreign graph.
        id: property with the id.
        text: properties that describe the product, joined with ", "; default none.
        attributes: what becomes nodes of the graph, by the name of the relation: ``brand`` makes HAS_BRAND.
    """

    label: str
    id: str
    text: list[str] = field(default_factory=list)
    attributes: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class ForeignCategories:
    """Categories under one label.

    Attributes:
        id: property with the id.
        name: property with a name for people; default empty: the id.
    """

    id: str
    name: str = ""


@dataclass(frozen=True)
class ForeignTaxonomy:
    """The tree of categories.

    Attributes:
        categories: the labels that categories carry. Of several labels each is a level, top first; one label is a
            tree of any depth. An id names one category, whatever its label.
        parent: the relationship from a category to the one above it.
        product: the relationship from a product to its category.
        levels: with one label, names of the levels by depth, top first; default "level_1", "level_2", … Of several
            labels each is a level, ProductGroup called product_group.
    """

    categories: dict[str, ForeignCategories]
    parent: Step
    product: Step
    levels: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ForeignRelation:
    """A kind of further facts.

    Attributes:
        source: label of the nodes it starts from, in the foreign graph.
        type: relationship type there.
        target: label of the nodes it leads to, there.
        relation: its name in our graph; default empty: the same.
        source_label: label of the source in our graph; default Product.
        target_label: label of the target; default Product.
        source_id: property with the source's id; default empty: the products' id, or the category's.
        target_id: likewise.
        weight: the relationship's property with a weight; default empty: always 1.
        time: its property with the time from which the fact is known, in the form of the interactions' times;
            default empty: always known.
    """

    source: str
    type: str
    target: str
    relation: str = ""
    source_label: str = "Product"
    target_label: str = "Product"
    source_id: str = ""
    target_id: str = ""
    weight: str = ""
    time: str = ""


@dataclass(frozen=True)
class ForeignMapping:
    """What the labels, relationships and properties of a foreign graph mean.

    Attributes:
        products: the products.
        taxonomy: their categories.
        interactions: the shop's file of purchases, as in the tabular mapping; relative to this mapping.
        users: the shop's file of users; default none.
        relations: further facts; default none.
        interest_level: the level whose nodes are recommended; default empty: the deepest.
        name: a name for the shop; default empty: the mapping's file name.
        delimiter: of CSV files; default ",".
        encoding: of CSV files; default utf-8-sig.
    """

    products: ForeignProducts
    taxonomy: ForeignTaxonomy
    interactions: InteractionsMapping
    users: UsersMapping | None = None
    relations: list[ForeignRelation] = field(default_factory=list)
    interest_level: str = ""
    name: str = ""
    delimiter: str = ","
    encoding: str = "utf-8-sig"


@dataclass
class ImportReport:
    """What was read.

    Attributes:
        folder: where the files are.
        products: number of products.
        categories: number of categories.
        relations: number of facts by relation.
        notes: what a reader of the files should know.
    """

    folder: Path
    products: int = 0
    categories: int = 0
    relations: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def import_graph(
    mapping: Path,
    to: Path,
    uri: str = "",
    username: str = "",
    password: str = "",
    database: str = "neo4j",
) -> ImportReport:
    """Read a catalogue from a foreign Neo4j and write it as files that ``train.py --data.mapping`` takes.

    Args:
        mapping: YAML file that says what labels and properties mean; see ``docs/examples/foreign_neo4j``.
        to: folder to make; it must not be there yet.
        uri: Bolt address of the Neo4j; empty: ``NEO4J_URI``.
        username: account; empty: ``NEO4J_USERNAME``, or neo4j. One that may only read is enough.
        password: its password; empty: ``NEO4J_PASSWORD``.
        database: name of the database; default neo4j, or ``NEO4J_DATABASE``.

    Raises:
        InputError: anything wrong with the mapping, the folder, the connection or what the graph holds; then no
            folder is left.
    """
    config = StoreConfig(uri=uri, username=username, password=password, database=database).resolved()
    if config.is_embedded:
        remedy = "Give the Neo4j's address as uri, or set NEO4J_URI."
        raise InputError("no Neo4j is named to import from", where="uri", remedy=remedy)
    found = read_foreign_mapping(mapping)
    with GraphStore.open(config) as store:
        return import_from(store, found, mapping, to)


def read_foreign_mapping(file: Path) -> ForeignMapping:
    """Read the mapping of a foreign graph.

    Raises:
        InputError: no such file, not YAML, an unknown or missing key, a wrong type, a name that cannot be one in the
            foreign graph or in ours.
    """
    mapping: ForeignMapping = read_as(ForeignMapping, file)
    if not mapping.taxonomy.categories:
        remedy = "Name the labels that categories carry: {Category: {id: code}}."
        raise InputError("no label is named", where=f"{file}, taxonomy, categories", remedy=remedy)
    for name in (*_labels(mapping), *_types(mapping), *_properties(mapping)):
        _refuse_odd(name, file)
    for name in {"product_id", "text", "nodes"} & set(mapping.products.attributes):
        raise InputError(f"an attribute may not be called {name!r}", where=str(file), remedy="Rename it.")
    ours = [(value.label, LABEL) for value in mapping.products.attributes.values()]
    for section in mapping.relations:
        ours += [(section.relation or section.type, RELATION), (section.source_label, LABEL)]
        ours += [(section.target_label, LABEL)]
    for name, pattern in ours:
        if not re.match(pattern, name):
            style = "CamelCase" if pattern == LABEL else "UPPER_SNAKE_CASE"
            remedy = "Give it another name in our graph (label, relation, source_label, target_label)."
            raise InputError(f"{name!r} is not in {style}", where=str(file), remedy=remedy)
    return mapping


def _refuse_odd(name: str, file: Path) -> None:
    """Names go into Cypher, so only those that ``quote`` takes."""
    try:
        quote(name)
    except InputError as error:
        remedy = "Give it a plain name as well in the foreign graph: letters, digits and underscores."
        raise InputError(error.what, where=str(file), remedy=remedy) from None


def import_from(store: GraphStore, mapping: ForeignMapping, file: Path, to: Path) -> ImportReport:
    """The same from an open store.

    Args:
        store: on the foreign graph.
        mapping: what its names mean.
        file: where the mapping was read from; the shop's files are relative to it.
        to: folder to make.

    Raises:
        InputError: see ``import_graph``.
    """
    with _whole_folder(to) as folder, store.reading(ROWS) as session:
        report = _Reading(session, store.config.query_timeout, mapping, str(file), folder, ImportReport(to)).run()
        text = yaml.safe_dump(_tabular(mapping, file, to, folder), sort_keys=False, allow_unicode=True)
        (folder / "mapping.yaml").write_text(text, encoding="utf-8")
    facts = sum(report.relations.values())
    say("import", f"{report.products:,} products, {report.categories:,} categories, {facts:,} facts in {to}")
    for note in report.notes:
        say("", note)
    return report


@dataclass
class _Reading:
    """One reading of one foreign graph, in one session that cannot write."""

    session: Session
    timeout: float
    mapping: ForeignMapping
    where: str
    folder: Path
    report: ImportReport

    def run(self) -> ImportReport:
        """Read everything, and write the tables."""
        labels, types = (
            "CALL db.labels() YIELD label AS name",
            "CALL db.relationshipTypes() YIELD relationshipType AS name",
        )
        self._refuse_unknown("label", _labels(self.mapping), labels)
        self._refuse_unknown("relationship type", _types(self.mapping), types)
        self._categories()
        self._products()
        for i, section in enumerate(self.mapping.relations):
            self._facts(section, self.folder / _table(i))
        return self.report

    def _refuse_unknown(self, what: str, wanted: Iterable[str], query: str) -> None:
        """Cypher passes over labels and types that a graph does not have; a typing error would give an empty shop."""
        there = sorted(name for (name,) in self._rows(f"{query} RETURN name"))
        for name in wanted:
            if name not in there:
                close = get_close_matches(name, there, n=1)
                remedy = f"Did you mean {close[0]!r}? " if close else ""
                remedy += f"The graph has {', '.join(map(repr, there[:20])) or 'none'}."
                raise InputError(f"the graph has no {what} {name!r}", where=self.where, remedy=remedy)

    def _categories(self) -> None:
        """The tree: a row for each category and parent; it fits into memory."""
        names: dict[str, tuple[str | None, str]] = {}
        for label, section in self.mapping.taxonomy.categories.items():
            for node, name in self._rows(_nodes_query(label, section)):
                self._refuse_category(node, label, names)
                names[node] = (name, _level(label))
        above = list(self._parents())
        refuse_cycle((("", node), ("", parent)) for node, parent in above)
        tops = names.keys() - {node for node, _ in above}
        rows = [(node, parent, *names[node]) for node, parent in [*((top, None) for top in sorted(tops)), *above]]
        self.report.categories = len(names)
        _write(self.folder / "taxonomy.parquet", ["node", "parent", "name", "level"], iter(rows))

    def _refuse_category(self, node: str | None, label: str, names: Mapping[str, tuple[str | None, str]]) -> None:
        where = f"{self.where}, label {label!r}"
        if node is None or not node.strip():
            raise InputError("a category without an id", where=where, remedy="Name another property as its id.")
        if node in names:
            what = f"two categories have the id {node!r}"
            raise InputError(what, where=where, remedy="Name a property that tells all categories apart.")

    def _parents(self) -> Iterator[tuple[str, str]]:
        section = self.mapping.taxonomy
        for label, own in section.categories.items():
            for upper, other in section.categories.items():
                query = f"MATCH (c:{quote(label)}){section.parent.pattern()}(p:{quote(upper)}) "
                yield from self._rows(query + _returning([f"c.{quote(own.id)}", f"p.{quote(other.id)}"]))

    def _products(self) -> None:
        section, several = self.mapping.products, 0

        def rows() -> Iterator[tuple[str | None, ...]]:
            nonlocal several
            width = len(section.text)
            for row in track(self._rows(_products_query(self.mapping), lists=True), "Products"):
                id_, texts, nodes, values = row[0], row[1 : 1 + width], row[1 + width], row[2 + width :]
                several += sum(len(value or []) > 1 for value in values)
                text = ", ".join(filter(None, map(_text, texts)))
                yield (
                    _text(id_),
                    text,
                    SEPARATOR.join(sorted(map(str, filter(None, map(_text, nodes))))),
                    *map(_first, values),
                )

        names = ["product_id", "text", "nodes", *section.attributes]
        self.report.products = _write(self.folder / "products.parquet", names, rows())
        if several:
            self.report.notes.append(f"{several:,} attributes have several values: the first in the alphabet is kept")

    def _facts(self, section: ForeignRelation, path: Path) -> None:
        ids = [section.source_id or self._id_of(section.source), section.target_id or self._id_of(section.target)]
        extra = [name for name in ("weight", "time") if getattr(section, name)]
        values = [f"a.{quote(ids[0])}", f"b.{quote(ids[1])}", *(f"r.{quote(getattr(section, name))}" for name in extra)]
        query = (
            f"MATCH (a:{quote(section.source)})-[r:{quote(section.type)}]->(b:{quote(section.target)}) "
            f"{_returning(values)}"
        )
        name = section.relation or section.type
        n = _write(path, ["source", "target", *extra], track(self._rows(query), name))
        self.report.relations[name] = self.report.relations.get(name, 0) + n
        if not n:
            self.report.notes.append(f"the graph has no (:{section.source})-[:{section.type}]->(:{section.target})")

    def _id_of(self, label: str) -> str:
        category = self.mapping.taxonomy.categories.get(label)
        return self.mapping.products.id if category is None else category.id

    def _rows(self, query: str, *, lists: bool = False) -> Iterator[Any]:
        """Rows of a query as a stream; values as text unless ``lists``."""
        for record in self.session.run(Query(query, timeout=self.timeout)):
            yield record.values() if lists else tuple(map(_text, record.values()))


def _nodes_query(label: str, section: ForeignCategories) -> str:
    values = [f"c.{quote(section.id)}", f"c.{quote(section.name or section.id)}"]
    return f"MATCH (c:{quote(label)}) {_returning(values)}"


def _products_query(mapping: ForeignMapping) -> str:
    """A row per product: id, texts, list of categories' ids, a list of values for each attribute."""
    section, taxonomy = mapping.products, mapping.taxonomy
    nodes = " + ".join(
        f"[(p){taxonomy.product.pattern()}(c:{quote(label)}) | c.{quote(own.id)}]"
        for label, own in taxonomy.categories.items()
    )
    values = [
        f"[p.{quote(value.property)}]"
        if value.via is None
        else f"[(p){value.via.pattern()}(v) | v.{quote(value.property)}]"
        for value in section.attributes.values()
    ]
    texts = [f"p.{quote(name)}" for name in section.text]
    return f"MATCH (p:{quote(section.label)}) {_returning([f'p.{quote(section.id)}', *texts, nodes, *values])}"


def _returning(values: Sequence[str]) -> str:
    """A RETURN clause whose columns have names of their own, also where a value is asked for twice."""
    return "RETURN " + ", ".join(f"{value} AS c{i}" for i, value in enumerate(values))


def _labels(mapping: ForeignMapping) -> list[str]:
    ends = [label for section in mapping.relations for label in (section.source, section.target)]
    return list(dict.fromkeys([mapping.products.label, *mapping.taxonomy.categories, *ends]))


def _types(mapping: ForeignMapping) -> list[str]:
    steps = [mapping.taxonomy.parent, mapping.taxonomy.product]
    steps += [value.via for value in mapping.products.attributes.values() if value.via]
    return list(dict.fromkeys([*(step.type for step in steps), *(section.type for section in mapping.relations)]))


def _properties(mapping: ForeignMapping) -> list[str]:
    products = mapping.products
    found = [products.id, *products.text, *(value.property for value in products.attributes.values())]
    for category in mapping.taxonomy.categories.values():
        found += [category.id, category.name]
    for section in mapping.relations:
        found += [section.source_id, section.target_id, section.weight, section.time]
    return [name for name in found if name]


def _tabular(mapping: ForeignMapping, file: Path, to: Path, folder: Path) -> dict[str, Any]:
    """The mapping for the source ``tabular``; the shop's own files relative to the new folder."""
    attributes = {name: value.label for name, value in mapping.products.attributes.items()}
    sections = enumerate(mapping.relations)
    relations = [_relation(section, i) for i, section in sections if pq.read_metadata(folder / _table(i)).num_rows]
    whole = {
        "name": mapping.name or file.stem,
        "products": {"file": "products.parquet", "id": "product_id", "text": "text", "attributes": attributes},
        "taxonomy": {"tree": _tree(mapping.taxonomy)},
        "interactions": _beside(mapping.interactions, file, to),
        "users": _beside(mapping.users, file, to) if mapping.users else None,
        "relations": relations,
        "interest_level": mapping.interest_level,
        "delimiter": mapping.delimiter,
        "encoding": mapping.encoding,
    }
    return {key: value for key, value in whole.items() if value}


def _tree(section: ForeignTaxonomy) -> dict[str, Any]:
    """One label: levels are depths. Several: the labels are the levels."""
    tree: dict[str, Any] = {"file": "taxonomy.parquet", "node": "node", "parent": "parent", "name": "name"}
    tree |= {"product_node": "nodes", "separator": SEPARATOR}
    if len(section.categories) > 1:
        return tree | {"level": "level", "levels": [*map(_level, section.categories)]}
    return tree | ({"levels": section.levels} if section.levels else {})


def _level(label: str) -> str:
    """Name of the level that a label's categories make: ProductGroup becomes product_group."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", label).lower()


def _relation(section: ForeignRelation, i: int) -> dict[str, str]:
    row = {"file": _table(i), "source": "source", "target": "target", "relation": section.relation or section.type}
    row |= {"source_label": section.source_label, "target_label": section.target_label}
    return row | {name: name for name in ("weight", "time") if getattr(section, name)}


def _beside(section: InteractionsMapping | UsersMapping, file: Path, to: Path) -> dict[str, Any]:
    """A section of the shop's own files as it was given, its file relative to the new folder."""
    given = {f.name: getattr(section, f.name) for f in fields(section) if getattr(section, f.name)}
    return given | {"file": os.path.relpath((file.parent / section.file).resolve(), to.resolve())}


def _table(i: int) -> str:
    return f"relations-{i + 1}.parquet"


def _text(value: object) -> str | None:
    """A property's value as text: whole numbers without a point, times as ISO 8601, lists joined with ", "."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return ", ".join(filter(None, map(_text, value)))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.iso_format() if hasattr(value, "iso_format") else str(value)


def _first(values: list[object] | None) -> str | None:
    return min(filter(None, map(_text, values or [])), default=None)


def _write(path: Path, names: list[str], rows: Iterable[Sequence[str | None]]) -> int:
    """Write rows of text as Parquet, some thousand at a time; their number."""
    schema, stream, written = pa.schema([(name, pa.string()) for name in names]), iter(rows), 0
    with pq.ParquetWriter(path, schema) as writer:
        while batch := list(islice(stream, ROWS)):
            columns = [pa.array(column, pa.string()) for column in zip(*batch, strict=True)]
            writer.write_table(pa.table(columns, schema=schema))
            written += len(batch)
    return written


@contextmanager
def _whole_folder(to: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name when the body ends well, and is gone otherwise."""
    if to.exists():
        raise InputError("the folder is there already", where=str(to), remedy="Name another one, or remove it.")
    to.parent.mkdir(parents=True, exist_ok=True)
    temporary = to.with_name(f".{to.name}.{os.getpid()}.part")
    temporary.mkdir()
    try:
        yield temporary
        temporary.rename(to)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
