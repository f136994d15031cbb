"""A user's own CSV or Parquet files, read by a mapping of their columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from data.config import DataConfig
from data.rejects import Rejects
from data.sources.files import Reader, as_text
from data.sources.mapping import (
    InteractionsMapping,
    Mapping,
    PublicMapping,
    RelationsMapping,
    TreeMapping,
    read_mapping,
)
from data.sources.periods import Periods, origin_of, read_integers, read_times
from data.sources.product_taxonomy import PublicTaxonomy, read_taxonomy
from data.sources.taxonomy import (
    flat,
    from_levels,
    joined_ids,
    level_by_depth,
    pick_tags,
    split_paths,
    with_texts,
)
from data.sources.triples import canonical, files, join_relations, read_triples, upper_snake
from data.tables import Tables
from data.validate import LABEL, RELATION
from errors import InputError


@dataclass(frozen=True)
class Taxonomy:
    """What a form of taxonomy gives.

    Attributes:
        nodes: the canonical taxonomy.
        memberships: the canonical memberships.
        levels: names of the levels, top first.
        relations: further facts that the form knows, canonical.
    """

    nodes: pd.DataFrame
    memberships: pd.DataFrame
    levels: tuple[str, ...]
    relations: list[pd.DataFrame] = field(default_factory=list)


def read(config: DataConfig) -> Tables:
    """Read the files that a mapping names, not yet validated.

    Raises:
        InputError: no mapping, or anything wrong with it or the files.
    """
    if config.mapping is None:
        remedy = "Give --data.mapping FILE; docs/examples has some."
        raise InputError("the source tabular needs a mapping", where="data.mapping", remedy=remedy)
    return _shop(config.mapping, config.root).tables()


def read_texts(mapping: Path, root: Path | None = None) -> pd.DataFrame:
    """Products and what describes them, without the taxonomy, which need not be there yet.

    Args:
        mapping: YAML file.
        root: folder of the files; default: the mapping's own.

    Returns:
        ``product_id``, ``text``: each product once, in the order of the file.

    Raises:
        InputError: anything wrong with the mapping or the products file.
    """
    return _shop(mapping, root).texts()


def _shop(file: Path, root: Path | None) -> _Shop:
    mapping = read_mapping(file)
    return _Shop(mapping, file, Reader(root or file.parent / mapping.root, mapping.delimiter, mapping.encoding))


@dataclass
class _Shop:
    """One reading of one mapping."""

    mapping: Mapping
    file: Path
    reader: Reader
    rejects: Rejects = field(default_factory=Rejects)
    notes: list[str] = field(default_factory=list)

    def tables(self) -> Tables:
        self._check_labels()
        raw = self._raw_products()
        taxonomy = self._taxonomy(raw)
        interactions, periods = self._interactions()
        relations = [*self._tables_of_facts(periods), *self._triples()]
        return Tables(
            products=self._products(raw),
            taxonomy=taxonomy.nodes,
            memberships=taxonomy.memberships,
            interactions=interactions,
            users=self._users(),
            relations=join_relations(taxonomy.relations + relations),
            levels=taxonomy.levels,
            interest_level=self.mapping.interest_level or taxonomy.levels[-1],
            attributes=self.mapping.products.attributes,
            rejects=self.rejects.frame(),
            name=self.mapping.name or self.file.stem,
            time_unit="period" if periods is None else periods.unit,
            notes=self.notes,
        )

    def _check_labels(self) -> None:
        """Labels and relation names must be fit for the graph: found now, not row by row."""
        wanted = [(label, LABEL, "CamelCase") for label in self.mapping.products.attributes.values()]
        for section in self.mapping.relations:
            wanted += [(label, LABEL, "CamelCase") for label in (section.source_label, section.target_label)]
            wanted += [(section.relation, RELATION, "UPPER_SNAKE_CASE")] if section.relation else []
        for triples in self.mapping.triples:
            wanted += [(label, LABEL, "CamelCase") for label in (*triples.nodes.values(), *triples.literals.values())]
            wanted += [(name, RELATION, "UPPER_SNAKE_CASE") for name in triples.predicates.values()]
        if self.mapping.taxonomy.tags and self.mapping.taxonomy.tags.others:
            wanted.append((self.mapping.taxonomy.tags.others, LABEL, "CamelCase"))
        for column in {"product_id", "text"} & set(self.mapping.products.attributes):
            raise InputError(f"an attribute may not be called {column!r}", where=str(self.file), remedy="Rename it.")
        for name, pattern, style in wanted:
            if not re.match(pattern, name):
                raise InputError(f"{name!r} is not in {style}", where=str(self.file), remedy="Rename it.")

    def _raw_products(self) -> pd.DataFrame:
        products, taxonomy = self.mapping.products, self.mapping.taxonomy
        columns = [products.id, *products.text, *products.attributes, *taxonomy.levels]
        columns += [form.column for form in (taxonomy.path, taxonomy.tags, taxonomy.codes) if form]
        columns += [form.product_node for form in (taxonomy.tree, taxonomy.public) if form]
        return self._rows_of_products(columns)

    def _rows_of_products(self, columns: list[str]) -> pd.DataFrame:
        """Columns of the products file as text; each product's first row alone where the file repeats them."""
        products = self.mapping.products
        raw = self.reader.read(products.file, columns).apply(as_text)
        return raw[~raw[products.id].duplicated()] if products.repeated else raw

    def texts(self) -> pd.DataFrame:
        """Products and their texts, each product once, in the order of the file: ``product_id``, ``text``."""
        products = self.mapping.products
        raw = self._rows_of_products([products.id, *products.text])
        return self._with_text(raw[raw[products.id].notna() & ~raw[products.id].duplicated()])

    def _products(self, raw: pd.DataFrame) -> pd.DataFrame:
        return self._with_text(raw).assign(**{column: raw[column] for column in self.mapping.products.attributes})

    def _with_text(self, raw: pd.DataFrame) -> pd.DataFrame:
        section = self.mapping.products
        text = pd.Series("", index=raw.index, dtype="str")
        for column in section.text:
            part = raw[column].fillna("").str.strip()
            text = text + part.where((part == "") | (text == ""), ", " + part)
        return pd.DataFrame({"product_id": raw[section.id], "text": text})

    def _taxonomy(self, raw: pd.DataFrame) -> Taxonomy:
        """Of products that are listed twice only the first row counts, as in the products themselves."""
        ids = raw[self.mapping.products.id]
        raw = raw[ids.notna() & ~ids.duplicated()]
        section = self.mapping.taxonomy
        forms: list[tuple[object, Callable[[pd.DataFrame], Taxonomy]]] = [
            (section.levels, self._from_levels),
            (section.path, self._from_path),
            (section.tags, self._from_tags),
            (section.tree, self._from_tree),
            (section.public, self._from_public),
            (section.codes, self._from_codes),
            (section.table, self._from_table),
        ]
        taxonomy = next(build for form, build in forms if form)(raw)
        if not taxonomy.levels:
            remedy = "Check the columns that the mapping names under taxonomy."
            raise InputError("no product names a category", where=str(self.file), remedy=remedy)
        return taxonomy

    def _from_levels(self, raw: pd.DataFrame) -> Taxonomy:
        section = self.mapping.taxonomy
        names = raw[section.levels].apply(lambda column: column.str.strip())
        names = names.where(names != "")
        ids = names if section.unique_names else joined_ids(names)
        nodes, memberships = from_levels(raw[self.mapping.products.id], ids, names)
        return Taxonomy(nodes, memberships, tuple(section.levels))

    def _from_codes(self, raw: pd.DataFrame) -> Taxonomy:
        section = self.mapping.taxonomy.codes
        assert section is not None
        codes = raw[section.column].str.strip()
        long = codes.str.len()
        ids = pd.DataFrame({name: codes.str[:n].where(long >= n) for name, n in section.levels.items()})
        nodes, memberships = from_levels(raw[self.mapping.products.id], ids, ids)
        return Taxonomy(nodes, memberships, tuple(section.levels))

    def _from_table(self, raw: pd.DataFrame) -> Taxonomy:
        section = self.mapping.taxonomy.table
        assert section is not None
        table = self.reader.read(section.file, [section.product, *section.levels]).apply(as_text)
        products = raw[self.mapping.products.id]
        unknown = ~table[section.product].isin(products)
        table = self.rejects.drop(table, unknown, "memberships", section.product, "no such product")
        twice = table[section.product].duplicated()
        table = self.rejects.drop(table, twice, "memberships", section.product, "the product is listed twice")
        table = table.set_index(section.product)
        names = table.reindex(products)[section.levels].set_index(raw.index).apply(lambda column: column.str.strip())
        names = names.where(names != "")
        nodes, memberships = from_levels(products, joined_ids(names), names)
        return Taxonomy(nodes, memberships, tuple(section.levels))

    def _from_path(self, raw: pd.DataFrame) -> Taxonomy:
        section = self.mapping.taxonomy.path
        assert section is not None
        names = split_paths(raw[section.column], section.separator)
        wanted = section.levels or [f"level_{i + 1}" for i in range(names.shape[1])]
        names = names.iloc[:, : len(wanted)]
        names.columns = pd.Index(wanted[: names.shape[1]])
        nodes, memberships = from_levels(raw[self.mapping.products.id], joined_ids(names), names)
        return Taxonomy(nodes, memberships, tuple(names.columns))

    def _from_tags(self, raw: pd.DataFrame) -> Taxonomy:
        section = self.mapping.taxonomy.tags
        assert section is not None
        ids = raw[self.mapping.products.id]
        tags = pick_tags(ids, raw[section.column], section.separator, section.min_products)
        picked = tags[tags["picked"]]
        nodes = flat(sorted(picked["tag"].unique()), section.level)
        memberships = picked[["product_id"]].assign(level=section.level, node_id=picked["tag"])
        others = tags[~tags["picked"]].rename(columns={"product_id": "source_id", "tag": "target_id"})
        facts = others.assign(source_label="Product", relation="HAS_TAG", target_label=section.others)
        return Taxonomy(nodes, memberships, (section.level,), [canonical(facts)] if section.others else [])

    def _from_tree(self, raw: pd.DataFrame) -> Taxonomy:
        section = self.mapping.taxonomy.tree
        assert section is not None
        nodes, levels = self._tree(section)
        members = self._named_nodes(raw, section)
        level = nodes.drop_duplicates("node_id").set_index("node_id")["level"]
        members["level"] = members["node_id"].map(level).fillna("unknown").astype("str")
        return Taxonomy(nodes, members.reset_index(drop=True), levels)

    def _named_nodes(self, raw: pd.DataFrame, section: TreeMapping | PublicMapping) -> pd.DataFrame:
        """What products name as their nodes: ``product_id``, ``node_id``, with the row's number as index."""
        at = raw[section.product_node]
        at = at.str.split(section.separator, regex=False) if section.separator else at
        members = pd.DataFrame({"product_id": raw[self.mapping.products.id], "node_id": at}).explode("node_id")
        members["node_id"] = members["node_id"].astype("str").str.strip()
        return members[members["node_id"].fillna("") != ""]

    def _from_public(self, raw: pd.DataFrame) -> Taxonomy:
        section = self.mapping.taxonomy.public
        assert section is not None
        public = read_taxonomy(self.reader.root / section.file)
        members, levels = self._members_of(public, raw, section)
        if not len(members):
            where = f"{self.reader.root / section.file}, column {section.product_node!r} of the products"
            remedy = "Name categories by the file's ids or full paths, in the file's language."
            raise InputError("no product names a category of this file", where=where, remedy=remedy)
        used = public.with_ancestors(members["node_id"])
        self.notes.append(f"products sit in {len(used):,} of the {len(public.paths):,} categories of {section.file}")
        nodes = public.frame(levels, set(public.paths) if section.unused else used)
        level = nodes.drop_duplicates("node_id").set_index("node_id")["level"]
        members["level"] = members["node_id"].map(level).astype("str")
        return Taxonomy(nodes, members.reset_index(drop=True), levels)

    def _members_of(
        self, public: PublicTaxonomy, raw: pd.DataFrame, section: PublicMapping
    ) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """The products' nodes in a public taxonomy, and the levels; nodes that it does not have are rejects."""
        members = self._named_nodes(raw, section).rename(columns={"node_id": section.product_node})
        found = public.find(members[section.product_node])
        reason = f"{section.file} has no such category"
        members = self.rejects.drop(members, found.isna(), "memberships", section.product_node, reason)
        deepest = max(map(len, public.paths.values()))
        levels = tuple(section.levels) or tuple(f"level_{i + 1}" for i in range(deepest))
        nodes = [public.up(node, len(levels) - 1) for node in found.loc[found.notna()]]
        return members[["product_id"]].assign(node_id=pd.Series(nodes, index=members.index, dtype="str")), levels

    def _tree(self, section: TreeMapping) -> tuple[pd.DataFrame, tuple[str, ...]]:
        columns = [c for c in (section.node, section.parent, section.name, section.level) if c]
        raw = self.reader.read(section.file, columns).apply(as_text)
        missing = raw[section.node].isna()
        raw = self.rejects.drop(raw, missing, "taxonomy", section.node, f"{section.node} is empty")
        node, parent = raw[section.node], raw[section.parent]
        level = raw[section.level] if section.level else level_by_depth(node, parent, section.levels)
        if section.level and not section.levels:
            remedy = "Give levels: the values of that column, top first."
            raise InputError("levels is missing", where=f"{self.file}, taxonomy, tree", remedy=remedy)
        names = raw[section.name].fillna(node) if section.name else node
        level_of = dict(zip(node, level, strict=True))
        parent_level = parent.map(level_of).where(parent.isna(), parent.map(level_of).fillna("unknown"))
        nodes = pd.DataFrame({"level": level, "node_id": node, "name": names, "parent_id": parent})
        nodes["parent_level"] = parent_level
        return self._ordered(nodes, section)

    def _ordered(self, nodes: pd.DataFrame, section: TreeMapping) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Nodes top level first with their texts, and the levels' names; too deep ones are rejects."""
        deep = nodes["level"].isna()
        nodes = self.rejects.drop(nodes, deep, "taxonomy", "node_id", "below the last of the levels")
        levels = tuple(section.levels) or tuple(sorted(nodes["level"].unique(), key=lambda name: int(name[6:])))
        depth = nodes["level"].map({name: i for i, name in enumerate(levels)}).fillna(len(levels))
        return with_texts(nodes.loc[depth.sort_values(kind="stable").index]), levels

    def _interactions(self) -> tuple[pd.DataFrame, Periods | None]:
        section = self.mapping.interactions
        optional = [section.quantity, section.value, section.basket, section.store]
        columns = [section.user, section.product, section.time, *filter(None, optional)]
        raw = self.reader.read(section.file, columns)
        raw, times, periods = self._time(raw, section)
        raw, quantity = self._number(raw, section.quantity, 1.0)
        raw, value = self._number(raw, section.value, 0.0)
        times = times.loc[raw.index]
        frame = pd.DataFrame({"user_id": as_text(raw[section.user]), "product_id": as_text(raw[section.product])})
        frame["time"] = times if periods is None else periods.number(times)
        frame["quantity"], frame["value"] = quantity.loc[raw.index], value
        frame["basket_id"] = self._basket(raw, frame["user_id"], times, section)
        frame["store_id"] = as_text(raw[section.store]) if section.store else None
        frame["store_id"] = frame["store_id"].astype("str")
        if periods is not None:
            self.notes.append(periods.describe(frame["time"]))
        return frame, periods

    def _time(self, raw: pd.DataFrame, section: InteractionsMapping) -> tuple[pd.DataFrame, pd.Series, Periods | None]:
        """The rows whose time can be read, these times, and how they become periods (None: they are)."""
        where = f"{self.file}, interactions"
        times = self._read_times(raw[section.time], section)
        raw = self._readable(raw, times, section.time)
        times = times.loc[raw.index]
        if len(raw) == 0:
            remedy = "Set time_unit and time_format in the mapping to how the column is written."
            raise InputError(f"no value of column {section.time!r} is a time", where=where, remedy=remedy)
        if section.time_unit == "integer":
            return raw, times.astype("int64"), None
        return raw, times, Periods(section.time_unit, origin_of(section.origin, times, f"{where}, origin"))

    def _read_times(self, values: pd.Series, section: InteractionsMapping) -> pd.Series:
        if section.time_unit == "integer":
            return read_integers(values)
        if pd.api.types.is_numeric_dtype(values) and not section.time_format:
            remedy = "Set time_unit: integer for numbers of periods, or time_format: unix for seconds since 1970."
            raise InputError("the column holds numbers, not dates", where=f"column {values.name!r}", remedy=remedy)
        return read_times(values, section.time_format)

    def _readable(self, raw: pd.DataFrame, read: pd.Series, column: str) -> pd.DataFrame:
        """Take out rows of the interactions whose value in the column is null or could not be read."""
        raw = self.rejects.drop(raw, raw[column].isna(), "interactions", column, f"{column} is empty")
        bad = read.loc[raw.index].isna()
        return self.rejects.drop(raw, bad, "interactions", column, f"{column} cannot be read")

    def _number(self, raw: pd.DataFrame, column: str, default: float) -> tuple[pd.DataFrame, pd.Series]:
        if not column:
            return raw, pd.Series(default, index=raw.index, dtype="float64")
        numbers = pd.to_numeric(raw[column], errors="coerce").astype("float64")
        raw = self._readable(raw, numbers, column)
        return raw, numbers.loc[raw.index]

    def _basket(self, raw: pd.DataFrame, users: pd.Series, times: pd.Series, section: InteractionsMapping) -> pd.Series:
        """Basket ids; one user's interactions at one time where the files have none."""
        by_time = users + "@" + times.astype("str")
        if not section.basket:
            return by_time
        baskets = as_text(raw[section.basket])
        owners = pd.DataFrame({"basket": baskets, "user": users}).drop_duplicates()
        if owners["basket"].dropna().duplicated().any():
            self.notes.append("baskets of different users have the same id: the user was added to it")
            baskets = users + "@" + baskets
        return baskets.fillna(by_time)

    def _users(self) -> pd.DataFrame:
        section = self.mapping.users
        if section is None:
            return pd.DataFrame({"user_id": pd.Series(dtype="str")})
        raw = self.reader.read(section.file, [section.id, *section.columns]).apply(as_text)
        return pd.DataFrame({**{column: raw[column] for column in section.columns}, "user_id": raw[section.id]})

    def _tables_of_facts(self, periods: Periods | None) -> Iterable[pd.DataFrame]:
        for section in self.mapping.relations:
            for file in files(self.reader.root, section.file):
                yield self._relations(section, file, periods)

    def _triples(self) -> Iterable[pd.DataFrame]:
        for section in self.mapping.triples:
            for file in files(self.reader.root, section.file):
                frame, told = read_triples(self.reader.root / file, section)
                self.notes.append(told)
                yield frame

    def _relations(self, section: RelationsMapping, file: str, periods: Periods | None) -> pd.DataFrame:
        labels = {"source_label": section.source_label_column, "target_label": section.target_label_column}
        columns = [section.source, section.target, section.relation_column, section.weight, section.time]
        raw = self.reader.read(file, [c for c in (*columns, *labels.values()) if c])
        frame = pd.DataFrame({"source_id": as_text(raw[section.source]), "target_id": as_text(raw[section.target])})
        frame["relation"] = section.relation or upper_snake(as_text(raw[section.relation_column]))
        for name, column in labels.items():
            frame[name] = as_text(raw[column]) if column else getattr(section, name)
        if section.weight:
            frame["weight"] = pd.to_numeric(raw[section.weight], errors="coerce")
        if section.time:
            frame = self._timed(frame, raw[section.time], periods)
        return canonical(frame)

    def _timed(self, frame: pd.DataFrame, values: pd.Series, periods: Periods | None) -> pd.DataFrame:
        """Add times; a fact without a readable time is left out, since "always known" could be a leak."""
        read = read_integers(values) if periods is None else self._read_times(values, self.mapping.interactions)
        frame = frame.assign(time=values)
        reason = "the time from which it is known cannot be read"
        frame = self.rejects.drop(frame, read.isna(), "relations", "time", reason)
        read = read.loc[frame.index]
        return frame.assign(time=read if periods is None else periods.number(read))
