"""A user's own files: every form of taxonomy and of time, and every fault told with its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from data.config import DataConfig
from data.load import load
from data.sources.files import as_text
from data.sources.periods import Periods
from data.sources.tabular import read_texts
from data.sources.taxonomy import depths, joined_ids, pick_tags
from errors import InputError

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PRODUCTS = """sku,title,brand,aisle,shelf,path,tags,node
1,Espresso,Alba,Pantry,Coffee,Food > Coffee > Whole,Food|Coffee,n3
2,Filter,,Pantry,Coffee,Food > Coffee,Food|Coffee,n3;n4
3,Soap,Alba,Home,Cleaning,Home > Cleaning,Home|Coffee,n4
4,Sponge,Bo,Home,Cleaning,Home > Cleaning,Home,n2
"""
SALES = """who,sku,when,amount,paid,order
a,1,2024-01-01,1,2.5,o1
a,3,2024-01-09,2,3.5,o2
b,2,2024-02-10,1,2.0,o3
c,4,2024-03-01 18:30,1,1.0,o4
"""
TREE = """id,up,label,kind
n1,,Food,top
n2,,Home,top
n3,n1,Coffee,leaf
n4,n2,Cleaning,leaf
n4,n1,Cleaning,leaf
"""
MAPPING = {
    "products": {"file": "products.csv", "id": "sku", "text": "title", "attributes": {"brand": "Brand"}},
    "taxonomy": {"levels": ["aisle", "shelf"]},
    "interactions": {
        "file": "sales.csv",
        "user": "who",
        "product": "sku",
        "time": "when",
        "quantity": "amount",
        "value": "paid",
    },
}


class Folder:
    """Files of a shop in a temporary folder, to be changed before they are read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mapping = yaml.safe_load(yaml.safe_dump(MAPPING))
        self.write("products.csv", PRODUCTS)
        self.write("sales.csv", SALES)
        self.write("tree.csv", TREE)

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text, encoding="utf-8")

    def set(self, section: str, **values) -> Folder:
        self.mapping[section] = {**self.mapping.get(section, {}), **values}
        return self

    def load(self, **options):
        self.write("mapping.yaml", yaml.safe_dump(self.mapping))
        return load(DataConfig(source="tabular", mapping=self.path / "mapping.yaml", **options))


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(tmp_path)


def nodes(dataset) -> dict[str, list[str]]:
    return {name: level.ids.tolist() for name, level in dataset.catalogue.levels.items()}


def category_of(dataset) -> list[list[str]]:
    level = dataset.catalogue.interest
    return [level.ids[level.of_product[[row]].indices].tolist() for row in range(level.of_product.shape[0])]


def test_levels_in_columns(folder):
    dataset = folder.load()
    assert nodes(dataset) == {"aisle": ["Home", "Pantry"], "shelf": ["Home > Cleaning", "Pantry > Coffee"]}
    assert dataset.catalogue.interest_level == "shelf"
    assert dataset.catalogue.interest.texts == ["Cleaning, Home", "Coffee, Pantry"]
    assert dataset.tables.name == "mapping"


def test_names_that_are_unique_are_ids(folder):
    folder.write("products.csv", PRODUCTS.replace("Pantry,Coffee,Food > Coffee,", "Gifts,Coffee,Food > Coffee,"))
    folder.mapping["taxonomy"]["unique_names"] = True
    dataset = folder.load()
    assert nodes(dataset) == {"aisle": ["Gifts", "Home", "Pantry"], "shelf": ["Cleaning", "Coffee"]}
    assert dataset.catalogue.levels["aisle"].of_product.toarray()[0].tolist() == [1, 0, 1]


def test_a_product_sits_in_the_deepest_level_that_is_filled(folder):
    folder.write("products.csv", PRODUCTS.replace("Home,Cleaning,Home > Cleaning,Home,n2", "Home,,x,Home,n2"))
    dataset = folder.load(interest_level="aisle")
    assert len(dataset.catalogue.product_ids) == 4
    dataset = folder.load()
    assert dataset.tables.rejects["reason"].tolist()[0] == "in no node of the interest level 'shelf'"


def test_paths_in_a_column(folder):
    folder.mapping["taxonomy"] = {"path": {"column": "path"}}
    folder.mapping["interest_level"] = "level_2"
    dataset = folder.load()
    assert nodes(dataset)["level_3"] == ["Food > Coffee > Whole"]
    assert category_of(dataset) == [
        ["Food > Coffee"],
        ["Food > Coffee"],
        ["Home > Cleaning"],
        ["Home > Cleaning"],
    ]


def test_paths_with_named_levels_are_cut(folder):
    folder.mapping["taxonomy"] = {"path": {"column": "path", "levels": ["area", "group"]}}
    assert nodes(folder.load()) == {"area": ["Food", "Home"], "group": ["Food > Coffee", "Home > Cleaning"]}


def test_the_rarest_tag_is_the_category(folder):
    folder.mapping["taxonomy"] = {"tags": {"column": "tags", "min_products": 2}}
    dataset = folder.load()
    assert category_of(dataset) == [["Food"], ["Food"], ["Home"], ["Home"]]
    facts = dataset.tables.relations[["source_id", "relation", "target_label", "target_id"]]
    assert facts.to_numpy().tolist() == [[p, "HAS_TAG", "Tag", "Coffee"] for p in ("1", "2", "3")]


def test_tags_that_are_too_rare_leave_no_category(folder):
    folder.mapping["taxonomy"] = {"tags": {"column": "tags", "min_products": 3, "others": ""}}
    dataset = folder.load()
    assert dataset.catalogue.product_ids.tolist() == ["1", "2", "3"]
    assert len(dataset.tables.relations) == 0


def tree(**more):
    return {"tree": {"file": "tree.csv", "node": "id", "parent": "up", "product_node": "node", **more}}


def test_codes_whose_beginnings_are_the_levels(folder):
    folder.write("products.csv", "sku,title,brand,code\n1,Espresso,,1104\n2,Filter,,1105\n3,Soap,,2101\n4,Cloth,,21\n")
    folder.mapping["taxonomy"] = {"codes": {"column": "code", "levels": {"class": 2, "subclass": 4}}}
    folder.mapping["interest_level"] = "class"
    dataset = folder.load()
    assert nodes(dataset) == {"class": ["11", "21"], "subclass": ["1104", "1105", "2101"]}
    assert category_of(dataset) == [["11"], ["11"], ["21"], ["21"]]
    assert dataset.catalogue.levels["subclass"].of_product[[3]].nnz == 0, "a code too short for a subclass"


def test_a_table_of_products_and_their_nodes(folder):
    folder.write(
        "nodes.csv",
        "id,aisle,shelf\n4,Home,Rags\n1,Food,Coffee\n2,Food,Coffee\n3,Home,Soap\n9,Home,Soap\n2,Home,Rags\n",
    )
    folder.mapping["taxonomy"] = {"table": {"file": "nodes.csv", "product": "id", "levels": ["aisle", "shelf"]}}
    dataset = folder.load()
    assert category_of(dataset) == [["Food > Coffee"], ["Food > Coffee"], ["Home > Soap"], ["Home > Rags"]]
    assert dataset.tables.rejects[["table", "value", "reason"]].to_numpy().tolist() == [
        ["memberships", "9", "no such product"],
        ["memberships", "2", "the product is listed twice"],
    ]


def test_a_log_of_sales_as_the_products_file(folder):
    lines = ["2,a,2024-01-01,Filter,Food", "1,a,2024-01-02,Espresso,Food", "2,b,2024-01-03,Paper,Home"]
    folder.write("sales.csv", "\n".join(["sku,who,when,title,aisle", *lines, ""]))
    folder.mapping["products"] = {"file": "sales.csv", "id": "sku", "text": "title", "repeated": True}
    folder.mapping["taxonomy"] = {"levels": ["aisle"]}
    folder.mapping["interactions"] = {"file": "sales.csv", "user": "who", "product": "sku", "time": "when"}
    dataset = folder.load()
    assert dataset.catalogue.product_ids.tolist() == ["1", "2"]
    assert dataset.catalogue.product_texts == ["Espresso", "Filter"]
    assert nodes(dataset) == {"aisle": ["Food"]}
    assert len(dataset.log) == 3
    assert not len(dataset.tables.rejects)


def test_texts_are_read_without_a_taxonomy(folder):
    folder.mapping["taxonomy"] = {"table": {"file": "not_yet.csv", "product": "id", "levels": ["shelf"]}}
    folder.write("mapping.yaml", yaml.safe_dump(folder.mapping))
    assert read_texts(folder.path / "mapping.yaml").to_numpy().tolist() == [
        ["1", "Espresso"],
        ["2", "Filter"],
        ["3", "Soap"],
        ["4", "Sponge"],
    ]


def test_a_tree_in_a_file(folder):
    folder.mapping["taxonomy"] = tree(separator=";", name="label")
    dataset = folder.load()
    assert nodes(dataset) == {"level_1": ["n1", "n2"], "level_2": ["n3", "n4"]}
    assert category_of(dataset) == [["n3"], ["n3", "n4"], ["n4"]]
    assert dataset.catalogue.interest.texts == ["Coffee, Food", "Cleaning, Home"]
    assert dataset.tables.rejects["value"].tolist() == ["4", "4"]


def test_a_tree_with_a_column_of_levels(folder):
    folder.mapping["taxonomy"] = tree(separator=";", level="kind", levels=["top", "leaf"])
    folder.mapping["interest_level"] = "top"
    assert category_of(folder.load()) == [["n1"], ["n1", "n2"], ["n1", "n2"], ["n2"]]


def test_a_tree_with_unknown_nodes_and_deep_ones(folder):
    folder.write("tree.csv", TREE + "n5,n4,Deep,leaf\n,n1,x,leaf\n")
    folder.mapping["taxonomy"] = tree(levels=["top", "leaf"])
    rejects = folder.load().tables.rejects
    told = set(rejects[["table", "row", "value", "reason"]].itertuples(index=False, name=None))
    assert ("taxonomy", 6, "n5", "below the last of the levels") in told
    assert ("taxonomy", 7, "", "id is empty") in told
    assert ("memberships", 2, "n3;n4", "the node is not in the taxonomy") in told


def test_a_cycle_in_a_tree(folder):
    folder.write("tree.csv", TREE.replace("n1,,", "n1,n3,"))
    folder.mapping["taxonomy"] = tree()
    with pytest.raises(InputError, match=r"a cycle: .*'n1'"):
        folder.load()


@pytest.mark.parametrize(
    ("unit", "periods"),
    [("day", [0, 8, 40, 60]), ("week", [0, 1, 5, 8]), ("month", [0, 0, 1, 2])],
)
def test_time_in_periods(folder, unit, periods):
    dataset = folder.set("interactions", time_unit=unit).load()
    assert dataset.log.time.tolist() == periods
    assert dataset.tables.time_unit == unit
    assert dataset.tables.notes[0].startswith(f"period 0 begins on 2024-01-01, one period is one {unit}")


def test_an_origin_makes_periods_predictable(folder):
    assert folder.set("interactions", origin="2024-01-05").load().log.time.tolist() == [-4, 4, 36, 56]
    with pytest.raises(InputError, match="'soon' is not a date"):
        folder.set("interactions", origin="soon").load()


def test_whole_numbers_as_time(folder):
    folder.write("sales.csv", "who,sku,when,amount,paid\na,1,3,1,1\na,2,2.5,1,1\nb,3,x,1,1\nb,4,7,1,1\n")
    dataset = folder.set("interactions", time_unit="integer").load()
    assert dataset.log.time.tolist() == [3, 7]
    assert dataset.tables.rejects[["row", "column", "value", "reason"]].to_numpy().tolist() == [
        [2, "when", "2.5", "when cannot be read"],
        [3, "when", "x", "when cannot be read"],
    ]


@pytest.mark.parametrize(
    ("form", "first"), [("unix", "1704067200"), ("unix_ms", "1704067200000"), ("%d.%m.%Y", "01.01.2024")]
)
def test_other_forms_of_time(folder, form, first):
    folder.write("sales.csv", f"who,sku,when,amount,paid\na,1,{first},1,1\nb,2,,1,1\n")
    dataset = folder.set("interactions", time_format=form, origin="2023-12-31").load()
    assert dataset.log.time.tolist() == [1]
    assert dataset.tables.rejects["reason"].tolist() == ["when is empty"]


def test_periods_and_their_first_days_agree():
    for unit, days in (("day", 1), ("week", 7)):
        periods = Periods(unit, pd.Timestamp("2024-01-01"))
        times = pd.Series(pd.date_range("2023-12-20", periods=60))
        numbers = periods.number(times)
        begins = pd.Series([periods.begin(n) for n in numbers])
        assert ((times - begins).dt.days < days).all()
        assert (times >= begins).all()
    assert Periods("month", pd.Timestamp("2024-01-15")).begin(13) == pd.Timestamp("2025-02-01")


def test_no_readable_time_is_refused(folder):
    with pytest.raises(InputError, match=r"no value of column 'who' is a time"):
        folder.set("interactions", time="who").load()


def test_numbers_are_not_dates(folder):
    pd.DataFrame({"who": ["a"], "sku": [1], "when": [5], "amount": [1], "paid": [1]}).to_parquet(
        folder.path / "sales.parquet"
    )
    with pytest.raises(InputError, match="holds numbers, not dates"):
        folder.set("interactions", file="sales.parquet").load()


def test_bad_numbers_are_rejects(folder):
    folder.write("sales.csv", SALES.replace(",2,3.5", ",two,3.5").replace(",1,2.0", ",1,").replace("1,1.0", "-1,1.0"))
    rejects = folder.load().tables.rejects
    assert rejects[["row", "column", "value", "reason"]].to_numpy().tolist() == [
        [2, "amount", "two", "amount cannot be read"],
        [3, "paid", "", "paid is empty"],
        [4, "quantity", "-1.0", "quantity is a return: quantity below 0"],
    ]


def test_without_quantity_and_baskets(folder):
    del folder.mapping["interactions"]["quantity"], folder.mapping["interactions"]["value"]
    folder.write("sales.csv", SALES.replace("2024-01-09", "2024-01-01"))
    dataset = folder.load()
    assert dataset.log.quantity.tolist() == [1, 1, 1, 1]
    assert len(set(dataset.log.basket)) == 3
    assert set(dataset.log.store) == {-1}


def test_baskets_that_users_share_are_told_apart(folder):
    folder.write("sales.csv", SALES.replace("o3", "o1").replace("o4", ""))
    dataset = folder.set("interactions", basket="order").load()
    assert len(set(dataset.log.basket)) == 4
    assert "baskets of different users have the same id" in dataset.tables.notes[0]


def test_users_and_their_columns(folder):
    folder.write("users.csv", "id,age\na,30\nb,\nz,9\n")
    folder.mapping["users"] = {"file": "users.csv", "id": "id", "columns": "age"}
    users = folder.load().tables.users
    assert users["user_id"].tolist() == ["a", "b", "z", "c"]
    assert users["age"].fillna("-").tolist() == ["30", "-", "9", "-"]


def test_relations_with_time_and_weight(folder):
    folder.write(
        "also.csv",
        "a,b,how,w,since\n1,2,also bought,3,2024-01-03\n1,3,also viewed,x,\n1,9,also bought,1,2024-01-03\n",
    )
    folder.mapping["relations"] = {
        "file": "also.csv",
        "source": "a",
        "target": "b",
        "relation_column": "how",
        "weight": "w",
        "time": "since",
    }
    tables = folder.load().tables
    assert tables.relations.to_numpy().tolist() == [["Product", "1", "ALSO_BOUGHT", "Product", "2", 3.0, 2]]
    assert tables.rejects["reason"].tolist() == [
        "the time from which it is known cannot be read",
        "the product is unknown or was rejected",
    ]


def test_two_files_of_relations(folder):
    folder.write("also.csv", "a,b\n1,2\n")
    part = {"file": "also.csv", "source": "a", "target": "b"}
    folder.mapping["relations"] = [
        {**part, "relation": "LIKE"},
        {**part, "relation": "OF", "target_label": "Thing"},
    ]
    assert folder.load().tables.relations["relation"].tolist() == ["LIKE", "OF"]


def test_triples_with_types_in_several_files(folder):
    (folder.path / "facts").mkdir()
    folder.write("facts/a.csv", "s,st,r,t,tt\n1,Product,pairs with,2,Product\n1,Product,made of,Käse ☕,Thing\n")
    folder.write("facts/b.csv", "s,st,r,t,tt\n3,Product,pairs with,4,thing\n3,,pairs with,4,Product\n")
    part = {"file": "facts/*.csv", "source": "s", "target": "t", "relation_column": "r"}
    folder.mapping["relations"] = part | {"source_label_column": "st", "target_label_column": "tt"}
    tables = folder.load().tables
    columns = ["source_label", "source_id", "relation", "target_label", "target_id"]
    assert tables.relations[columns].to_numpy().tolist() == [
        ["Product", "1", "PAIRS_WITH", "Product", "2"],
        ["Product", "1", "MADE_OF", "Thing", "Käse ☕"],
    ]
    assert tables.rejects[["table", "row", "column", "value", "reason"]].to_numpy().tolist() == [
        ["relations", 3, "target_label", "thing", "target_label is not a node label in CamelCase"],
        ["relations", 4, "source_label", "", "source_label is empty"],
    ]


def test_a_pattern_of_files_that_matches_none(folder):
    part = {"file": "facts/*.csv", "source": "a", "target": "b", "relation": "R"}
    folder.mapping["relations"] = part
    with pytest.raises(InputError, match=r"facts/\*\.csv: no file matches"):
        folder.load()


@pytest.mark.parametrize(
    ("triples", "told"),
    [
        ({"file": "x.nt"}, "triples.0.: the key 'nodes' is missing"),
        ({"file": "x.nt", "nodes": {"http://a/": "a thing"}}, "'a thing' is not in CamelCase"),
        ({"file": "x.nt", "nodes": {"http://a/": "A"}, "predicates": {"http://p": "p"}}, "'p' is not in UPPER_SNAKE"),
        ({"file": "x.nt", "nodes": {"http://a/": "A"}, "literals": {"http://p": "p"}}, "'p' is not in CamelCase"),
        ({"file": "x.nt", "nodes": {"http://a/": "A"}}, "x.nt: no such file"),
    ],
)
def test_faults_in_triples(folder, triples, told):
    folder.mapping["triples"] = triples
    with pytest.raises(InputError, match=told):
        folder.load()


def test_ids_of_any_length_and_script(folder):
    long = "9" * 400
    folder.write("products.csv", PRODUCTS.replace("1,Espresso", f"{long},Espresso").replace("2,Filter", "Ж☕,Filter"))
    folder.write("sales.csv", SALES.replace("a,1,", f"a,{long},").replace("b,2,", "b,Ж☕,"))
    assert set(folder.load().catalogue.product_ids) == {long, "Ж☕", "3", "4"}


@pytest.mark.parametrize(
    ("section", "values", "told"),
    [
        ("products", {"idd": "x"}, r"mapping.yaml, products: unknown key 'idd'\n  Did you mean 'id'\?"),
        ("products", {"text": 3}, "products, text.0.: 3 is of type int, not str"),
        ("products", {"attributes": ["brand"]}, "is not a list of `name: value`"),
        ("products", {"attributes": {"brand": "a brand"}}, "'a brand' is not in CamelCase"),
        ("products", {"attributes": {"text": "Text"}}, "an attribute may not be called 'text'"),
        (
            "interactions",
            {"time_unit": "hour"},
            "'hour' is not known\n  Give one of integer, day, week, month",
        ),
        ("interactions", {"user": None}, "user: None is of type NoneType, not str"),
        ("taxonomy", {"path": {"column": "path"}}, r"2 forms of taxonomy given \(levels, path\)"),
        ("taxonomy", {"levels": []}, r"0 forms of taxonomy given \(none\)"),
        ("taxonomy", {"unique_names": "yes"}, "'yes' is of type str, not bool"),
        ("taxonomy", {"levels": [], "codes": {"column": "x", "levels": {"a": 4, "b": 4}}}, "lengths 4, 4"),
        ("taxonomy", {"levels": [], "codes": {"column": "x", "levels": {}}}, "lengths of no level"),
        ("taxonomy", {"levels": [], "codes": {"column": "x", "levels": {"a": 2}}}, "column 'x': no such column"),
        (
            "interactions",
            {"user": "buyer"},
            r"sales.csv, column 'buyer': no such column\n  The file has 'who'",
        ),
        ("interactions", {"user": "Who"}, "Did you mean 'who'"),
        ("interactions", {"file": "gone.csv"}, "gone.csv: no such file"),
    ],
)
def test_faults_in_the_mapping(folder, section, values, told):
    with pytest.raises(InputError, match=told):
        folder.set(section, **values).load()


@pytest.mark.parametrize(
    ("relation", "told"),
    [
        ({}, "the relation's name is not clear"),
        ({"relation": "also bought"}, "'also bought' is not in UPPER_SNAKE_CASE"),
        ({"relation": "A", "source_label": "thing"}, "'thing' is not in CamelCase"),
    ],
)
def test_faults_in_relations(folder, relation, told):
    folder.mapping["relations"] = {"file": "also.csv", "source": "a", "target": "b", **relation}
    with pytest.raises(InputError, match=told):
        folder.load()


def test_missing_keys_and_sections(folder):
    del folder.mapping["products"]["id"]
    with pytest.raises(InputError, match="products: the key 'id' is missing"):
        folder.load()
    folder.mapping["products"] = "products.csv"
    with pytest.raises(InputError, match=r"'products\.csv' is not a section with keys"):
        folder.load()


@pytest.mark.parametrize(("text", "told"), [("a: [", "not a YAML file"), ("", "None is not a section")])
def test_a_mapping_that_is_none(tmp_path, text, told):
    file = tmp_path / "m.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=told):
        load(DataConfig(source="tabular", mapping=file))


def test_a_mapping_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"m\.yaml: no such file"):
        load(DataConfig(source="tabular", mapping=tmp_path / "m.yaml"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "sales.csv: the file is empty"),
        (SALES.splitlines()[0].encode(), "sales.csv: no rows"),
        (SALES.replace(",", ";").encode(), "set `delimiter:` in the mapping"),
        (SALES.replace("paid", "amount").encode(), "column 'amount': 2 columns have this name"),
        (SALES.replace("o3", "o3,extra").encode(), r"not a readable CSV file: .* line 4"),
        (SALES.replace("b,2", "\xe9,2").encode("latin-1"), "not utf-8-sig text"),
    ],
)
def test_unreadable_csv(folder, content, told):
    (folder.path / "sales.csv").write_bytes(content)
    with pytest.raises(InputError, match=told):
        folder.load()


def test_other_delimiters_and_encodings(folder):
    (folder.path / "sales.csv").write_bytes(SALES.replace(",", ";").replace("b;", "\xe9;").encode("latin-1"))
    (folder.path / "products.csv").write_bytes(PRODUCTS.replace(";", "+").replace(",", ";").encode())
    folder.mapping |= {"delimiter": ";", "encoding": "latin-1"}
    assert folder.load().user_ids.tolist() == ["a", "c", "é"]


def test_an_unknown_encoding(folder):
    folder.mapping["encoding"] = "klingon"
    with pytest.raises(InputError, match="not klingon text"):
        folder.load()


def test_a_broken_parquet_file(folder):
    (folder.path / "sales.parquet").write_bytes(b"no")
    with pytest.raises(InputError, match=r"sales.parquet: not a readable Parquet file"):
        folder.set("interactions", file="sales.parquet").load()


def test_parquet_gives_what_csv_gives(folder):
    for name in ("products", "sales"):
        frame = pd.read_csv(folder.path / f"{name}.csv")
        frame.to_parquet(folder.path / f"{name}.parquet", index=False)
    from_csv = folder.load()
    folder.set("products", file="products.parquet").set("interactions", file="sales.parquet")
    assert folder.load().fingerprint == from_csv.fingerprint


def test_ids_keep_their_form(folder):
    folder.write("products.csv", PRODUCTS.replace("\n1,", "\n007,").replace("\n2,", "\nNA,"))
    folder.write("sales.csv", SALES.replace(",1,2024", ",007,2024").replace(",2,2024", ",NA,2024"))
    assert folder.load().catalogue.product_ids.tolist() == ["007", "3", "4", "NA"]


def test_numbers_as_text():
    assert as_text(pd.Series([1.0, np.nan, 3.0])).fillna("-").tolist() == ["1", "-", "3"]
    assert as_text(pd.Series([1.5, 2.0])).tolist() == ["1.5", "2"]
    assert as_text(pd.Series([10**15])).tolist() == ["1000000000000000"]


def test_a_product_listed_twice_counts_once(folder):
    folder.write("products.csv", PRODUCTS + "1,Other,,Home,Other,x,y,n2\n")
    dataset = folder.load()
    assert "Home > Other" not in dataset.catalogue.interest.ids
    assert dataset.tables.rejects[["table", "row"]].to_numpy().tolist() == [["products", 5]]


def test_files_elsewhere(folder, tmp_path):
    away = tmp_path / "away"
    away.mkdir()
    for name in ("products.csv", "sales.csv"):
        (folder.path / name).rename(away / name)
    assert len(folder.load(root=away).log) == 4
    folder.mapping["root"] = "away"
    assert len(folder.load().log) == 4


def test_helpers_of_taxonomies():
    names = pd.DataFrame({"a": ["x", "x", None], "b": ["y", None, "z"]}, dtype="str")
    assert joined_ids(names).fillna("-").to_numpy().tolist() == [["x", "x > y"], ["x", "-"], ["-", "z"]]
    assert depths(pd.Series(["a", "b", "c", "c"]), pd.Series([None, "a", "a", "b"])) == {
        "a": 0,
        "b": 1,
        "c": 2,
    }
    tags = pick_tags(pd.Series(["1", "2", "3"]), pd.Series(["u|v", "u", None], dtype="str"), "|", 1)
    assert tags[tags["picked"]][["product_id", "tag"]].to_numpy().tolist() == [["1", "v"], ["2", "u"]]


def test_the_amazon_mapping_on_a_lookalike(tmp_path):
    """Same columns, types and traps as the real files: sets of names, missing brands and times."""
    n = 120
    names = [f"Beauty | Area {i % 3} | Kind {i % 6}" + (" | Rare" if i < 5 else "") for i in range(n)]
    items = pd.DataFrame({"item_id": [f"B{i:03d}" for i in range(n)], "title": "Cream", "categories": names})
    items["brand"] = np.where(np.arange(n) % 5 == 0, None, "Prada")
    items.to_parquet(tmp_path / "items.parquet")
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"user_id": [f"A{i}" for i in rng.integers(30, size=600)]})
    rows["item_id"] = items["item_id"].to_numpy()[rng.integers(n, size=600)]
    rows["timestamp"] = pd.Timestamp("2013-06-01") + pd.to_timedelta(rng.integers(400, size=600), unit="D")
    rows.loc[:2, "timestamp"] = pd.NaT
    rows.loc[3, "timestamp"] = pd.Timestamp("2014-05-13")
    rows.to_parquet(tmp_path / "interactions.parquet")
    config = DataConfig(source="tabular", mapping=EXAMPLES / "amazon_beauty.mapping.yaml", root=tmp_path)
    dataset = load(config)
    assert dataset.catalogue.interest.ids.tolist() == [f"Kind {i}" for i in range(6)]
    assert dataset.tables.rejects["reason"].tolist() == ["timestamp is empty"] * 3
    assert 4353 in dataset.log.time  # 2014-05-13, as the mapping says
    assert set(dataset.tables.relations["target_id"]) >= {"Beauty", "Area 0", "Rare"}
