"""The graph's schema: which labels, keys and relationships a data set has, and how names go into Cypher.

Nodes: ``(:Product {product_id, text})``; one label per level of the taxonomy, such as ``(:Type {node_id, name,
text})``; one per attribute, such as ``(:Manufacturer {node_id, name})``; those that the relations table names, such
as ``(:Coupon {node_id, name})``. Relationships: ``(:Product)-[:IN_TYPE]->(:Type)-[:IN_CATEGORY]->(:Category)``,
``(:Product)-[:HAS_BRAND]->(:Brand)``, the relations table's own with ``weight`` and ``known_from``, and
``(:Category)-[:BOUGHT_WITH {support, confidence, lift, window_start, window_end}]->(:Category)``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from data.dataset import Dataset
from errors import InputError

SCHEMA_VERSION = 2
PRODUCT = "Product"
STATE = "CrossAisleGraph"
RUN = "CrossAisleRun"
BOUGHT_WITH = "BOUGHT_WITH"
CO_PURCHASE_PROPERTIES = ("support", "confidence", "lift", "window_start", "window_end")
RELATION_PROPERTIES = ("weight", "known_from")
LONGEST_NAME = 60

EdgeRole = Literal["structure", "relation", "co_purchase"]


@dataclass(frozen=True)
class NodeKind:
    """A label, the property that identifies its nodes, and their further properties."""

    label: str
    key: str
    properties: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The label, as reports name it."""
        return self.label


@dataclass(frozen=True)
class EdgeKind:
    """A relationship type between two labels.

    Attributes:
        source: label it starts from.
        type: relationship type.
        target: label it leads to.
        role: ``structure`` (taxonomy and attributes), ``relation`` (the relations table) or ``co_purchase``.
    """

    source: str
    type: str
    target: str
    role: EdgeRole = "structure"

    @property
    def triple(self) -> tuple[str, str, str]:
        """(source label, relationship type, target label), as PyG names it."""
        return self.source, self.type, self.target

    @property
    def name(self) -> str:
        """``Source-TYPE-Target``, as reports name it."""
        return "-".join(self.triple)

    @property
    def properties(self) -> tuple[str, ...]:
        """Properties of the relationship."""
        return {"structure": (), "relation": RELATION_PROPERTIES, "co_purchase": CO_PURCHASE_PROPERTIES}[self.role]


@dataclass(frozen=True)
class Schema:
    """All labels and relationships of one graph."""

    nodes: tuple[NodeKind, ...]
    edges: tuple[EdgeKind, ...]

    @property
    def kinds(self) -> tuple[NodeKind | EdgeKind, ...]:
        """Labels, then relationships."""
        return (*self.nodes, *self.edges)

    def node(self, label: str) -> NodeKind:
        """The kind of a label."""
        return next(kind for kind in self.nodes if kind.label == label)

    def to_json(self) -> str:
        """Text that ``from_json`` understands; kept in the graph itself."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """Inverse of ``to_json``."""
        raw = json.loads(text)
        nodes = (NodeKind(n["label"], n["key"], tuple(n["properties"])) for n in raw["nodes"])
        return cls(tuple(nodes), tuple(EdgeKind(**edge) for edge in raw["edges"]))


def quote(name: str) -> str:
    """A label, relationship type or property between backticks, for use in Cypher.

    Raises:
        InputError: the name is no identifier (a letter, then letters, digits and underscores, at most 60).
    """
    if not name.isidentifier() or name.startswith("_") or len(name) > LONGEST_NAME:
        raise InputError(
            f"{name!r} cannot name something in the graph",
            remedy="Rename it: a letter, then letters, digits and underscores, at most 60 characters.",
        )
    return f"`{name}`"


def label_of(name: str) -> str:
    """Label of a level, attribute or related thing: ``product_type`` becomes ``ProductType``."""
    quote(name)
    parts = [part for part in name.split("_") if part]
    return "".join(part[0].upper() + (part[1:].lower() if name.isupper() else part[1:]) for part in parts)


def relationship_of(name: str) -> str:
    """Relationship type of a relation: ``appliesTo`` and ``applies_to`` become ``APPLIES_TO``."""
    quote(name)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()


def membership_of(level: str) -> str:
    """Relationship type that leads up into a level: ``type`` gives ``IN_TYPE``."""
    return f"IN_{relationship_of(level)}"


def schema_of(dataset: Dataset) -> Schema:
    """The schema that a data set's tables ask for.

    Raises:
        InputError: a name is no identifier, or two things would get the same label or relationship.
    """
    nodes = tuple(_nodes(dataset))
    edges = tuple(_edges(dataset))
    _refuse_twice([kind.label for kind in nodes], "label")
    _refuse_twice([":".join(kind.triple) for kind in edges], "relationship")
    return Schema(nodes, edges)


def level_labels(dataset: Dataset) -> dict[str, str]:
    """Label of each level of the taxonomy, by the level's name, top first."""
    return {level: label_of(level) for level in dataset.tables.levels}


def co_purchase_levels(dataset: Dataset) -> list[str]:
    """Names of the levels that get ``BOUGHT_WITH``: the interest level and the one below it."""
    catalogue = dataset.catalogue
    below = catalogue.below
    return [catalogue.interest_level] + ([below.name] if below is not None else [])


def _nodes(dataset: Dataset) -> Iterator[NodeKind]:
    yield NodeKind(PRODUCT, "product_id", ("text",))
    labels = {PRODUCT, STATE}
    for label in level_labels(dataset).values():
        yield NodeKind(label, "node_id", ("name", "text"))
        labels.add(label)
    for label in dict.fromkeys(label_of(name) for name in dataset.tables.attributes.values()):
        yield NodeKind(label, "node_id", ("name",))
        labels.add(label)
    ends = {name for source, _, target in dataset.tables.relation_groups for name in (source, target)}
    for label in sorted({label_of(str(name)) for name in ends} - labels):
        yield NodeKind(label, "node_id", ("name",))


def _edges(dataset: Dataset) -> Iterator[EdgeKind]:
    tables = dataset.tables
    for level in tables.memberships["level"].unique():
        yield EdgeKind(PRODUCT, membership_of(level), label_of(level))
    parents = tables.taxonomy.dropna(subset=["parent_id"])[["level", "parent_level"]].drop_duplicates()
    for level, parent in parents.itertuples(index=False):
        yield EdgeKind(label_of(level), membership_of(parent), label_of(parent))
    for column, label in tables.attributes.items():
        yield EdgeKind(PRODUCT, f"HAS_{relationship_of(column)}", label_of(label))
    names = {(label_of(s), relationship_of(r), label_of(t)) for s, r, t in tables.relation_groups}
    for source, relation, target in sorted(names):
        yield EdgeKind(source, relation, target, "relation")
    for level in co_purchase_levels(dataset):
        yield EdgeKind(label_of(level), BOUGHT_WITH, label_of(level), "co_purchase")


def _refuse_twice(names: list[str], what: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1} | ({STATE} & set(names)))
    if twice:
        raise InputError(
            f"the data would give one {what} two meanings: {', '.join(twice)}",
            remedy="Rename the level, the attribute's label, or the label or relation in the relations table.",
        )
