"""Which weights of one shop's model do in another's what a weight does there: by role, as names differ.

A label's role is its place above or below the interest level, product, or, of what is no level (a brand), its name. A
relation's is what it says (being in, having, bought with, meeting in a product) between two roles. Of levels that have
no counterpart in a relation, the lowest ones, which hold the products, stand for each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, zip_longest

from encoders.graph import EdgeType
from fusion.config import ModelConfig
from fusion.model import ModelShape

VECTOR = "vector"


def labels(of: ModelShape, source: ModelShape) -> dict[str, str]:
    """For each label of a model that has a counterpart in another model: that label."""
    known = {_role(source, label): label for label in (*source.text_labels, source.leaf, *source.node_types)}
    asked = (*of.text_labels, of.leaf, *of.node_types)
    return {label: known[_role(of, label)] for label in asked if _role(of, label) in known}


def relations(of: Iterable[EdgeType], shape: ModelShape, source: ModelShape) -> dict[EdgeType, EdgeType]:
    """For each relation of a model that has a counterpart in another model: the one that is most alike."""
    known = [*source.edge_types, *source.leaf_edges]
    found = {}
    for edge in of:
        likeness = {other: _likeness(edge, shape, other, source) for other in known}
        best = max(likeness, key=lambda other: likeness[other], default=edge)
        if likeness.get(best):
            found[edge] = best
    return found


def weights(names: Iterable[str], of: ModelShape, source: ModelShape, layers: int) -> dict[str, str]:
    """For each weight of a model that has a counterpart in another model: its name there.

    Args:
        names: of the weights (`CrossAisle.state_dict`).
        of: shape of the model.
        source: shape of the other model.
        layers: of the graph encoder.
    """
    both = labels(of, source)
    edges, leaves = relations(of.edge_types, of, source), relations(of.leaf_edges, of, source)
    starts: dict[str, str | None] = {}
    for label in (*of.text_labels, of.leaf, *of.node_types):
        starts |= _paired(_of_label(label, layers), _of_label(both[label], layers) if label in both else [])
    for edge in of.edge_types:
        starts |= _paired(_of_edge(edge, layers), _of_edge(edges[edge], layers) if edge in edges else [])
    for edge in of.leaf_edges:
        starts |= _paired([_of_leaf(edge)], [_of_leaf(leaves[edge])] if edge in leaves else [])
    renamed = {name: _renamed(name, starts) for name in names}
    return {name: there for name, there in renamed.items() if there is not None}


def columns(shape: ModelShape, config: ModelConfig) -> dict[str, list[str]]:
    """What the columns of those weights stand for that are multiplied with evidence, by the weights' names.

    A feature without a known name is called "".
    """
    users = _named(shape, "users", shape.user_features)
    pairs, items = _named(shape, "pairs", shape.pair_features), _named(shape, "items", shape.item_features)
    found = {
        "history.key.weight": [*_vector(config.dim), *_named(shape, "purchases", shape.purchase_features)],
        "history.out.0.weight": [*_vector(config.history.pools * config.dim), *users],
        "head.linear.weight": [*pairs, *items],
        "head.of_pair.weight": pairs,
        "head.of_item.weight": items,
        "head.of_user.weight": users,
    }
    for step in shape.steps:
        of_item = _named(shape, f"{step.label}.items", step.item_features)
        start = f"within.within_{step.label}"
        found |= {f"{start}.linear.weight": of_item, f"{start}.deep.0.weight": of_item}
        found[f"{start}.pair.weight"] = _named(shape, f"{step.label}.pairs", step.pair_features)
    return found


def _role(shape: ModelShape, label: str) -> str:
    if label == shape.leaf:
        return "product"
    if label not in shape.text_labels:
        return label
    return f"level {shape.text_labels.index(label) - shape.text_labels.index(shape.interest)}"


def _likeness(edge: EdgeType, shape: ModelShape, other: EdgeType, source: ModelShape) -> int:
    """0: not alike; the more of their ends have the very same role, the higher."""
    if _meaning(edge[1]) != _meaning(other[1]):
        return 0
    ends = [_same(shape, edge[end], source, other[end]) for end in (0, 2)]
    return sum(ends) if all(ends) else 0


def _same(shape: ModelShape, label: str, source: ModelShape, other: str) -> int:
    """2: the same role; 1: both are the lowest level; 0: neither."""
    if _role(shape, label) == _role(source, other):
        return 2
    return int(label == shape.text_labels[-1] and other == source.text_labels[-1])


def _meaning(relation: str) -> str:
    """A relation's name without those of its ends: `rev_IN_TYPE` and `rev_IN_CATEGORY` are the same."""
    bare = relation.replace("rev_", "")
    turned = "rev_" * relation.count("rev_")
    kind = next((kind for kind in ("IN_", "HAS_", "via_") if bare.startswith(kind)), bare)
    return turned + kind


def _of_label(label: str, layers: int) -> list[str]:
    norms = [f"graph.norms.{layer}.node_{label}." for layer in range(layers)]
    kinds = [f"text.text_{label}.", f"fusion.fuse_{label}.", f"within.within_{label}.", f"graph.label.node_{label}"]
    return [*kinds, *norms]


def _of_edge(edge: EdgeType, layers: int) -> list[str]:
    name = f"convs.<{'___'.join(edge)}>."
    return list(chain.from_iterable((f"graph.known.{n}.{name}", f"graph.bought.{n}.{name}") for n in range(layers)))


def _of_leaf(edge: EdgeType) -> str:
    return f"leaf.{'_'.join(edge)}."


def _paired(here: list[str], there: list[str]) -> dict[str, str | None]:
    """The beginnings of names with those in the other model; None for those that have none."""
    return dict(zip_longest(here, there))


def _renamed(name: str, starts: dict[str, str | None]) -> str | None:
    """A weight's name in the other model; None where what it belongs to is not there."""
    for start, there in starts.items():
        if name == start or (start.endswith(".") and name.startswith(start)):
            return None if there is None else there + name[len(start) :]
    return name


def _named(shape: ModelShape, kind: str, n: int) -> list[str]:
    prefix = kind.rpartition(".")[2]
    known = shape.features.get(kind)
    return [""] * n if known is None else [f"{prefix}: {name}" for name in known]


def _vector(n: int) -> Iterator[str]:
    return (f"{VECTOR} {place}" for place in range(n))
