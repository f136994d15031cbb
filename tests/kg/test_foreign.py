"""A catalogue under other labels, out of a Neo4j by a mapping: what comes out trains, what is wrong is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from data.config import DataConfig
from data.load import load
from errors import InputError
from kg.foreign import import_from, import_graph, read_foreign_mapping

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "foreign_neo4j"


def fill(store) -> None:
    text = (EXAMPLE / "catalogue.cypher").read_text(encoding="utf-8")
    store.write("\n".join(line for line in text.splitlines() if not line.startswith("//")))


def everything(store) -> str:
    nodes = store.read("MATCH (n) RETURN labels(n) AS labels, properties(n) AS found")
    edges = store.read(
        "MATCH (a)-[r]->(b) RETURN type(r) AS type, properties(a) AS a, properties(r) AS r, b.titel AS b"
    )
    return json.dumps([sorted(json.dumps(row, default=str, sort_keys=True) for row in rows) for rows in (nodes, edges)])


@pytest.fixture
def foreign(store_any):
    fill(store_any)
    return store_any


@pytest.fixture
def folder(tmp_path) -> Path:
    shutil.copytree(EXAMPLE, tmp_path / "given")
    return tmp_path


def changed(folder: Path, change) -> Path:
    """The example's mapping after a change, in its folder."""
    file = folder / "given" / "mapping.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def take(store, file: Path, to: Path):
    return import_from(store, read_foreign_mapping(file), file, to)


def test_the_example_becomes_a_shop(foreign, folder):
    before = everything(foreign)
    report = take(foreign, folder / "given" / "mapping.yaml", folder / "out" / "shop")
    assert everything(foreign) == before
    assert (report.products, report.categories, report.relations) == (5, 6, {"GOES_WITH": 3})
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["shop"]
    dataset = load(DataConfig(source="tabular", mapping=folder / "out" / "shop" / "mapping.yaml"))
    tables, levels = dataset.tables, dataset.catalogue.levels
    assert (tables.name, tables.interest_level, len(tables.rejects)) == ("foreign_shop", "category", 0)
    assert {name: level.names for name, level in levels.items()} == {
        "department": ["Lebensmittel", "Haushalt"],
        "category": ["Kaffee", "Nudeln", "Soßen", "Putzmittel"],
    }
    assert dataset.catalogue.interest.texts[2] == "Soßen, Lebensmittel"
    products = tables.products.set_index("product_id")
    assert products["text"].to_dict() == {
        "1001": "Espressobohnen, 250 g",
        "1014": "Spaghetti, 250 g",
        "1016": "Penne, 250 g",
        "1021": "Pesto, 500 g",
        "1051": "Entkalker",
    }
    assert products["manufacturer"].fillna("-").tolist() == ["Old Mill", "Casa Verde", "Alba", "Casa Verde", "-"]
    assert tables.attributes == {"organic": "Organic", "manufacturer": "Manufacturer"}
    facts = tables.relations[["source_id", "relation", "target_id", "weight", "time"]].sort_values("source_id")
    assert facts.to_numpy().tolist() == [
        ["1001", "GOES_WITH", "1051", 2.0, 2],
        ["1014", "GOES_WITH", "1021", 5.0, 1],
        ["1016", "GOES_WITH", "1021", 4.0, 0],
    ]
    assert dataset.log.time.tolist() == [0, 0, 0, 1, 1, 2]


def test_several_labels_are_levels_and_several_values_are_told(store_any, folder):
    store_any.write(
        "CREATE (d:Area {id: 'Ä', name: 'Ärea ☕'}) "
        "CREATE (g:ProductGroup {id: 9007199254740993}), (h:ProductGroup {id: 'h'}) "
        "CREATE (d)-[:HAS]->(g), (p:Item {id: 'x', tags: ['b', 'a']})-[:IN]->(g), (p)-[:IN]->(h), (q:Item {id: 2.0}) "
        "CREATE (m:Maker {name: 'Zed'})-[:MAKES]->(p), (n:Maker {name: 'Ann'})-[:MAKES]->(p)"
    )

    def other(content):
        content["products"] = {"label": "Item", "id": "id", "text": "tags"}
        content["products"]["attributes"] = {
            "maker": {"property": "name", "label": "Maker", "via": {"type": "MAKES", "direction": "in"}}
        }
        content["taxonomy"] = {
            "categories": {"Area": {"id": "id", "name": "name"}, "ProductGroup": {"id": "id"}},
            "parent": {"type": "HAS", "direction": "in"},
            "product": {"type": "IN"},
        }
        content["relations"] = []
        del content["interest_level"]

    report = take(store_any, changed(folder, other), folder / "shop")
    assert report.notes == ["1 attributes have several values: the first in the alphabet is kept"]
    frame = pd.read_parquet(folder / "shop" / "products.parquet").sort_values("product_id")
    assert frame["product_id"].tolist() == ["2", "x"]
    assert frame["text"].tolist() == ["", "b, a"]
    assert frame["maker"].fillna("-").tolist() == ["-", "Ann"]
    assert frame["nodes"].tolist() == ["", "9007199254740993\x1fh"]
    taxonomy = pd.read_parquet(folder / "shop" / "taxonomy.parquet").sort_values("node")
    assert taxonomy.fillna("-").to_numpy().tolist() == [
        ["9007199254740993", "Ä", "9007199254740993", "product_group"],
        ["h", "-", "h", "product_group"],
        ["Ä", "-", "Ärea ☕", "area"],
    ]
    tree = yaml.safe_load((folder / "shop" / "mapping.yaml").read_text("utf-8"))["taxonomy"]["tree"]
    assert tree["levels"] == ["area", "product_group"]


def _label(content):
    content["products"]["label"] = "Artikl"


def _type(content):
    content["taxonomy"]["parent"]["type"] = "PART_OF"


def _id(content):
    content["taxonomy"]["categories"]["Warengruppe"]["id"] = "nummer"


def _same_id(content):
    content["taxonomy"]["categories"] = {"Artikel": {"id": "groesse"}}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_label, r"the graph has no label 'Artikl'\n  Did you mean 'Artikel'\? The graph has 'Artikel', "),
        (_type, r"the graph has no relationship type 'PART_OF'\n.*'TEIL_VON'"),
        (_id, "label 'Warengruppe': a category without an id"),
        (_same_id, "label 'Artikel': two categories have the id '250 g'"),
    ],
)
def test_faults_in_the_graph(empty_neo4j, folder, change, told):
    fill(empty_neo4j)
    with pytest.raises(InputError, match=told):
        take(empty_neo4j, changed(folder, change), folder / "shop")
    assert [path.name for path in folder.iterdir()] == ["given"]


def test_a_cycle_in_the_foreign_tree(foreign, folder):
    foreign.write("MATCH (b:Warengruppe {nr: 11})-[:TEIL_VON]->(a) CREATE (a)-[:TEIL_VON]->(b)")
    with pytest.raises(InputError, match=r"taxonomy: a cycle: .*'11'"):
        take(foreign, folder / "given" / "mapping.yaml", folder / "shop")
    assert [path.name for path in folder.iterdir()] == ["given"]


def test_an_empty_graph(store_any, folder):
    with pytest.raises(InputError, match=r"the graph has no label 'Artikel'\n  The graph has"):
        take(store_any, folder / "given" / "mapping.yaml", folder / "shop")


@pytest.mark.parametrize(
    ("section", "values", "told"),
    [
        ("products", {"labl": "x"}, r"products: unknown key 'labl'\n  Did you mean 'label'"),
        ("products", {"label": "Artikel`) DETACH DELETE (n"}, "cannot name something in the graph"),
        ("products", {"text": ["a b"]}, "'a b' cannot name something in the graph"),
        ("products", {"attributes": {"text": {"property": "bio", "label": "Bio"}}}, "may not be called 'text'"),
        ("products", {"attributes": {"organic": {"property": "bio", "label": "bio"}}}, "'bio' is not in CamelCase"),
        ("taxonomy", {"categories": {}}, "taxonomy, categories: no label is named"),
        ("taxonomy", {"parent": {"type": "T", "direction": "up"}}, r"'up' is not known\n  Give one of out, in"),
        ("relations", [{"source": "A", "type": "R", "target": "B", "relation": "r s"}], "not in UPPER_SNAKE_CASE"),
        ("interactions", {"file": 3}, "3 is of type int, not str"),
    ],
)
def test_faults_in_the_mapping(folder, section, values, told):
    def change(content):
        content[section] = values if isinstance(values, list) else content[section] | values

    with pytest.raises(InputError, match=told):
        read_foreign_mapping(changed(folder, change))


def test_a_folder_that_is_there_is_left_alone(foreign, folder):
    with pytest.raises(InputError, match="given: the folder is there already"):
        take(foreign, folder / "given" / "mapping.yaml", folder / "given")
    assert (folder / "given" / "catalogue.cypher").exists()


def test_the_command_function_on_a_real_neo4j(neo4j_server, empty_neo4j, folder):
    """With address and password, as the command line gives them; then wrong ones."""
    fill(empty_neo4j)
    config, file = neo4j_server.config, folder / "given" / "mapping.yaml"
    report = import_graph(file, folder / "shop", config.uri, config.username, config.password)
    assert report.products == 5
    with pytest.raises(InputError, match="refuses the password"):
        import_graph(file, folder / "other", config.uri, config.username, "wrong")
    assert not (folder / "other").exists()


def test_without_an_address(folder, monkeypatch):
    monkeypatch.delenv("NEO4J_URI", raising=False)
    with pytest.raises(InputError, match="no Neo4j is named"):
        import_graph(folder / "given" / "mapping.yaml", folder / "shop")
