"""The names of one graph in the named queries: ``$$Category`` becomes the label that this shop's categories carry.

Labels and relationship types cannot be parameters in Cypher, and differ from shop to shop. So a query says what it
means, and the graph's own schema says how that is called here:

| placeholder    | stands for                                                                   |
|----------------|------------------------------------------------------------------------------|
| ``$$Product``  | the label of products                                                        |
| ``$$Category`` | the label of the interest level, whose nodes are recommended                 |
| ``$$Above``    | the labels of the level right above it                                       |
| ``$$Below``    | the labels of the level right below it                                       |
| ``$$Level``    | the labels of all levels of the taxonomy                                     |
| ``$$Attribute``| the labels of what products have, such as a brand                            |
| ``$$Related``  | the labels that only the relations table names, such as a coupon             |
| ``$$TAXONOMY`` | the relationship types that lead up the taxonomy                             |
| ``$$ATTRIBUTE``| the relationship types from a product to what it has                         |
| ``$$RELATION`` | the relationship types of the relations table                                |
| ``$$LINK``     | those of ``$$ATTRIBUTE`` and ``$$RELATION`` together                         |

Several names are joined by ``|``, as Cypher asks in ``(n:A|B)`` and ``[:A|B]``. Names go through ``kg.schema.quote``;
values never come this way, they stay parameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from errors import InputError
from kg.schema import PRODUCT, EdgeKind, Schema, quote

PLACEHOLDER = re.compile(r"\$\$(\w+)")
MEANING = {
    "Product": "products",
    "Category": "interest level (a relationship BOUGHT_WITH)",
    "Above": "level above the interest level",
    "Below": "level below the interest level",
    "Level": "levels of a taxonomy",
    "Attribute": "attributes of products",
    "Related": "labels of the relations table",
    "TAXONOMY": "taxonomy",
    "ATTRIBUTE": "attributes of products",
    "RELATION": "relations table",
    "LINK": "attributes of products and no relations table",
}


def fill(text: str, schema: Schema) -> str:
    """Put a schema's own names in the place of a query's placeholders.

    Raises:
        InputError: the text has an unknown placeholder, or the schema has nothing that it could stand for.
    """
    names = placeholders(schema)

    def name(found: re.Match[str]) -> str:
        if found[1] not in names:
            known = ", ".join(f"$${known}" for known in names)
            raise InputError(f"unknown placeholder {found[0]}", where="query", remedy=f"Known are {known}.")
        if not names[found[1]]:
            what = f"this graph has no {MEANING[found[1]]}, for which {found[0]} stands"
            raise InputError(what, where="query", remedy="`crossaisle kg schema` shows what it has.")
        return "|".join(map(quote, names[found[1]]))

    return PLACEHOLDER.sub(name, text)


def placeholders(schema: Schema) -> dict[str, list[str]]:
    """The names that each placeholder stands for in a graph, in the schema's order; empty where it has none."""
    up = [kind for kind in schema.edges if _leads_up(kind)]
    has = [kind for kind in schema.edges if kind.role == "structure" and not _leads_up(kind)]
    relations = [kind for kind in schema.edges if kind.role == "relation"]
    interest = interest_label(schema)
    levels = set(level_labels(schema))
    attributes = {kind.target for kind in has}
    found = {
        "Product": {PRODUCT},
        "Category": {interest} - {""},
        "Above": {kind.target for kind in up if kind.source == interest},
        "Below": {kind.source for kind in up if kind.target == interest} - {PRODUCT},
        "Level": levels,
        "Attribute": attributes,
        "Related": {end for kind in relations for end in (kind.source, kind.target)} - levels - attributes - {PRODUCT},
    }
    names = {name: [kind.label for kind in schema.nodes if kind.label in labels] for name, labels in found.items()}
    types = {"TAXONOMY": up, "ATTRIBUTE": has, "RELATION": relations, "LINK": has + relations}
    return names | {name: list(dict.fromkeys(kind.type for kind in kinds)) for name, kinds in types.items()}


def interest_label(schema: Schema) -> str:
    """Label of the interest level: the uppermost one with co-purchases; empty when there are none."""
    counted = [kind.source for kind in schema.edges if kind.role == "co_purchase"]
    return min(counted, key=level_labels(schema).index) if counted else ""


def level_labels(schema: Schema) -> list[str]:
    """Labels of the taxonomy's levels, top first."""
    ends = {end for kind in schema.edges if _leads_up(kind) or kind.role == "co_purchase" for end in _ends(kind)}
    return [kind.label for kind in schema.nodes if kind.label in ends - {PRODUCT}]


def _leads_up(kind: EdgeKind) -> bool:
    return kind.role == "structure" and kind.type.startswith("IN_")


def _ends(kind: EdgeKind) -> Iterator[str]:
    yield from (kind.source, kind.target)
