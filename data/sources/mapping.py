"""The YAML file that says what the columns of a user's files mean; see ``docs/examples``."""

# ruff: noqa: ANN401 (values come from YAML and may be anything)

from __future__ import annotations

import datetime
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from errors import InputError


@dataclass(frozen=True)
class ProductsMapping:
    """The file of products.

    Attributes:
        file: CSV or Parquet file.
        id: column with the product's id.
        text: column or columns that describe the product itself, joined with ", "; default none.
        attributes: columns that become nodes of the graph, with their label, as ``{brand: Brand}``.
        repeated: the file has many rows of a product, as a log of sales has: its first row counts, and the others are
            no rejects; default false.
    """

    file: str
    id: str
    text: list[str] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)
    repeated: bool = False


@dataclass(frozen=True)
class PathMapping:
    """A column of the products file with the whole path, as "Home > Kitchen > Pans".

    Attributes:
        column: the column.
        separator: what stands between the parts; default ">"; blanks around a part are taken off.
        levels: names of the levels, top first; parts below the last name are left out; default
            "level_1", "level_2", … down to the longest path.
    """

    column: str
    separator: str = ">"
    levels: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TagsMapping:
    """A column of the products file with an unordered set of names, of which one becomes the category.

    Attributes:
        column: the column.
        separator: what stands between the names; default "|".
        level: name of the one level that this makes; default "category".
        min_products: names that fewer products carry are no categories; default 15.
        pick: which of a product's names becomes its category; default (and only choice) the rarest.
        others: label of the graph nodes that the other names become, empty to leave them out; default "Tag".
    """

    column: str
    separator: str = "|"
    level: str = "category"
    min_products: int = 15
    pick: Literal["rarest"] = "rarest"
    others: str = "Tag"


@dataclass(frozen=True)
class TreeMapping:
    """A file of its own with the taxonomy: a row for each node and parent, of any depth.

    Attributes:
        file: CSV or Parquet file.
        node: column with the node's id.
        parent: column with the parent's id, empty at the top.
        product_node: column of the products file with the node that a product sits in.
        separator: what stands between several nodes in ``product_node``; default empty: there is only one.
        name: column with a name for people; default empty: the id is the name.
        level: column with the name of the node's level; default empty: levels are depths.
        levels: names of the levels, top first; needed with ``level``; default "level_1", "level_2", …
    """

    file: str
    node: str
    parent: str
    product_node: str
    separator: str = ""
    name: str = ""
    level: str = ""
    levels: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PublicMapping:
    """A public product taxonomy, Google's or Shopify's, in its text format; see ``data.sources.product_taxonomy``.

    Attributes:
        file: the taxonomy's text file, UTF-8.
        product_node: column of the products file with a node's id or full path.
        separator: what stands between several nodes in ``product_node``; default empty: there is only one.
        levels: names of the levels by depth, top first; a product in a deeper node counts for its ancestor at the
            last of them; default "level_1", "level_2", … down to the deepest node.
        unused: whether categories without products are kept; default false.
    """

    file: str
    product_node: str
    separator: str = ""
    levels: list[str] = field(default_factory=list)
    unused: bool = False


@dataclass(frozen=True)
class CodesMapping:
    """A column of the products file with a code whose first characters are the node above (UNSPSC, HS, GPC, NACE).

    Attributes:
        column: the column.
        levels: length of the code by name of the level, top first, as ``{class: 4, subclass: 6}``; a product whose code
            is shorter sits at the last level that its code reaches.
    """

    column: str
    levels: dict[str, int]


@dataclass(frozen=True)
class TableMapping:
    """A file of its own with a row for each product and a column for each level, as `crossaisle taxonomy` writes it.

    Attributes:
        file: CSV or Parquet file.
        product: column with the product's id.
        levels: columns, one per level, top first; the levels carry the columns' names.
    """

    file: str
    product: str
    levels: list[str]


@dataclass(frozen=True)
class TaxonomyMapping:
    """The taxonomy, in exactly one of seven forms.

    Attributes:
        levels: columns of the products file, one per level, top first; the levels carry the columns' names.
        unique_names: with ``levels``: a name means the same node wherever it stands, and is its id; default
            false: a node's id is its path, as in "Home > Kitchen".
        path: a column with the whole path.
        tags: a column with an unordered set of names.
        tree: a file of nodes and parents.
        public: a public product taxonomy.
        codes: a column with codes whose beginnings are the nodes above.
        table: a file with each product's nodes.
    """

    levels: list[str] = field(default_factory=list)
    unique_names: bool = False
    path: PathMapping | None = None
    tags: TagsMapping | None = None
    tree: TreeMapping | None = None
    public: PublicMapping | None = None
    codes: CodesMapping | None = None
    table: TableMapping | None = None


@dataclass(frozen=True)
class InteractionsMapping:
    """The file of interactions.

    Attributes:
        file: CSV or Parquet file.
        user: column with the user's id.
        product: column with the product's id.
        time: column with the time.
        time_unit: what one period is: integer (the column is the number of the period), day, week or month;
            default day.
        time_format: how times are written: empty for ISO 8601 (2024-01-31 18:00), unix (seconds), unix_ms, or
            a pattern such as "%d.%m.%Y"; default empty.
        origin: date on which period 0 begins, so that cut-offs are predictable; default the earliest day.
        quantity: column with the quantity; default empty: always 1.
        value: column with the money spent; default empty: always 0.
        basket: column with the basket's id; default empty: a user's interactions at one time are a basket.
        store: column with the store's id; default empty: unknown.
    """

    file: str
    user: str
    product: str
    time: str
    time_unit: Literal["integer", "day", "week", "month"] = "day"
    time_format: str = ""
    origin: str = ""
    quantity: str = ""
    value: str = ""
    basket: str = ""
    store: str = ""


@dataclass(frozen=True)
class UsersMapping:
    """The file of users.

    Attributes:
        file: CSV or Parquet file.
        id: column with the user's id.
        columns: further columns to keep, such as an age group for the fairness report; default none.
    """

    file: str
    id: str
    columns: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RelationsMapping:
    """A table of further facts for the graph: source, relation, target.

    Attributes:
        file: CSV or Parquet file, or a pattern such as "facts/*.parquet" for several.
        source: column with the id of the node that the relation starts from.
        target: column with the id of the node that it leads to.
        relation: the relation's name; default empty: ``relation_column`` says it.
        relation_column: column with the relation's name, turned to UPPER_SNAKE_CASE; default empty.
        source_label: label of the nodes it starts from; default Product.
        target_label: label of the nodes it leads to; default Product.
        source_label_column: column with that label instead, row by row; default empty.
        target_label_column: likewise; default empty.
        weight: column with a weight; default empty: always 1.
        time: column with the time from which the fact is known, in the form of the interactions' times;
            default empty: always known.
    """

    file: str
    source: str
    target: str
    relation: str = ""
    relation_column: str = ""
    source_label: str = "Product"
    target_label: str = "Product"
    source_label_column: str = ""
    target_label_column: str = ""
    weight: str = ""
    time: str = ""


@dataclass(frozen=True)
class TriplesMapping:
    """Further facts for the graph as N-Triples (RDF); they count as always known.

    Attributes:
        file: N-Triples file, gzipped if it ends in .gz, or a pattern such as "facts/*.nt" for several.
        nodes: label of the nodes whose IRI begins with a prefix, as ``{"https://shop.example/sku/": Product}``; the
            rest of the IRI is the id; the longest prefix wins. Triples whose ends are under no prefix are left out.
        predicates: the relation's name by the predicate's IRI; default: the IRI's last part, in UPPER_SNAKE_CASE.
        literals: label of the nodes that a predicate's literals become, by the predicate's IRI; other literals are
            left out.
    """

    file: str
    nodes: dict[str, str]
    predicates: dict[str, str] = field(default_factory=dict)
    literals: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Mapping:
    """What the columns of a user's files mean.

    Attributes:
        products: the file of products.
        taxonomy: where the categories are found.
        interactions: the file of interactions.
        users: the file of users; default none.
        relations: tables of further facts for the graph; default none.
        triples: N-Triples files of further facts for the graph; default none.
        interest_level: the level whose nodes are recommended; default empty: the deepest.
        name: a name for the shop; default empty: the mapping's file name.
        root: folder of the files, relative to the mapping; default its own folder.
        delimiter: what stands between the values of CSV files; default ",".
        encoding: how the text of CSV files is stored; default utf-8-sig (UTF-8 with or without a mark).
    """

    products: ProductsMapping
    taxonomy: TaxonomyMapping
    interactions: InteractionsMapping
    users: UsersMapping | None = None
    relations: list[RelationsMapping] = field(default_factory=list)
    triples: list[TriplesMapping] = field(default_factory=list)
    interest_level: str = ""
    name: str = ""
    root: str = ""
    delimiter: str = ","
    encoding: str = "utf-8-sig"


def read_mapping(file: Path) -> Mapping:
    """Read a mapping; unknown keys and wrong types are refused.

    Raises:
        InputError: no such file, not YAML, an unknown or missing key, a wrong type.
    """
    mapping: Mapping = read_as(Mapping, file)
    _check(mapping, str(file))
    return mapping


def read_as(kind: Any, file: Path) -> Any:
    """Read a YAML file as a dataclass and those that it is made of; see ``read_mapping`` for what is refused."""
    if not file.is_file():
        raise InputError("no such file", where=str(file), remedy="Give the mapping's file.")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"not a YAML file: {error}", where=str(file), remedy="Correct that line.") from None
    return _build(kind, content, str(file))


FORMS = ("levels", "path", "tags", "tree", "public", "codes", "table")


def _check(mapping: Mapping, where: str) -> None:
    taxonomy = mapping.taxonomy
    forms = [name for name in FORMS if getattr(taxonomy, name)]
    if len(forms) != 1:
        what = f"{len(forms)} forms of taxonomy given ({', '.join(forms) or 'none'})"
        remedy = f"Give exactly one of {', '.join(FORMS)}."
        raise InputError(what, where=f"{where}, taxonomy", remedy=remedy)
    _check_codes(taxonomy.codes, f"{where}, taxonomy, codes")
    for i, relation in enumerate(mapping.relations):
        if bool(relation.relation) == bool(relation.relation_column):
            remedy = "Give either relation (one name) or relation_column."
            raise InputError("the relation's name is not clear", where=f"{where}, relations[{i}]", remedy=remedy)


def _check_codes(codes: CodesMapping | None, where: str) -> None:
    lengths = [0, *codes.levels.values()] if codes else [0, 1]
    if len(lengths) == 1 or any(longer <= shorter for shorter, longer in pairwise(lengths)):
        what = f"lengths {', '.join(map(str, lengths[1:])) or 'of no level'}"
        raise InputError(what, where=f"{where}, levels", remedy="Give rising lengths, as in {class: 4, subclass: 6}.")


def _build(kind: Any, value: Any, where: str) -> Any:
    """The value as an instance of the type, or an InputError that says where it is not one."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        kinds = [k for k in get_args(kind) if k is not NoneType]
        return None if value is None else _build(kinds[0], value, where)
    if is_dataclass(kind):
        return _build_section(kind, value, where)
    if origin is Literal:
        return _choice(get_args(kind), value, where)
    if origin is list:
        items = value if isinstance(value, list) else [value]
        return [_build(get_args(kind)[0], item, f"{where}[{i}]") for i, item in enumerate(items)]
    if origin is dict:
        return _build_dict(get_args(kind), value, where)
    return _scalar(kind, value, where)


def _build_section(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise InputError(f"{value!r} is not a section with keys", where=where, remedy=_keys(kind))
    hints = get_type_hints(kind)
    for key in value:
        if key not in hints:
            close = get_close_matches(str(key), hints, n=1)
            remedy = f"Did you mean {close[0]!r}? {_keys(kind)}" if close else _keys(kind)
            raise InputError(f"unknown key {key!r}", where=where, remedy=remedy)
    for f in fields(kind):
        if f.default is MISSING and f.default_factory is MISSING and f.name not in value:
            raise InputError(f"the key {f.name!r} is missing", where=where, remedy=_keys(kind))
    return kind(**{key: _build(hints[key], item, f"{where}, {key}") for key, item in value.items()})


def _keys(kind: Any) -> str:
    return f"Keys here: {', '.join(f.name for f in fields(kind))}."


def _choice(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    if value not in choices:
        raise InputError(f"{value!r} is not known", where=where, remedy=f"Give one of {', '.join(choices)}.")
    return value


def _build_dict(kinds: tuple[Any, ...], value: Any, where: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{value!r} is not a list of `name: value`", where=where, remedy="Write {brand: Brand}.")
    return {_build(kinds[0], k, where): _build(kinds[1], v, f"{where}, {k}") for k, v in value.items()}


def _scalar(kind: type, value: Any, where: str) -> Any:
    if kind is str and isinstance(value, datetime.date):
        return value.isoformat()
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        what = f"{value!r} is of type {type(value).__name__}, not {kind.__name__}"
        raise InputError(what, where=where, remedy="Put text that looks like a number in quotes.")
    return value
