"""`crossaisle kg …` as a person types it: load, sync, ask, draw, export; and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

import cli

ROOT = Path(__file__).parents[1]
PROTOCOL = {"train_cutoffs": [13, 17], "validation_cutoff": 21, "refit_cutoffs": [13, 17, 21], "test_cutoff": 25}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The tiny shop of the docs with settings of its own, its graph loaded."""
    folder = tmp_path_factory.mktemp("shop")
    shutil.copytree(ROOT / "docs" / "examples" / "tiny_shop", folder / "files")
    settings = {
        "data": {"source": "tabular", "mapping": str(folder / "files" / "mapping.yaml")},
        "protocol": PROTOCOL | {"horizon": 4},
        "copurchase": {"min_support": 2},
        "store": {"uri": "embedded", "home": str(folder / "graph"), "heap": "256m"},
    }
    (folder / "shop.yaml").write_text(yaml.safe_dump(settings))
    assert cli.main(["kg", "load", "--config", str(folder / "shop.yaml")]) == 0
    return folder


@pytest.fixture
def kg(shop, monkeypatch, capsys):
    """Runs a verb on the shop's store; gives exit code and what was said, wide enough for any table."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("console.console.width", 200)

    def run(verb, *arguments, config=False):
        store = ["--store.uri", "embedded", "--store.home", str(shop / "graph"), "--store.heap", "256m"]
        given = ["--config", str(shop / "shop.yaml")] if config else [] if verb == "queries" else store
        code = cli.main(["kg", verb, *given, *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def answer(kg, path, *arguments):
    """Rows of a query, from the JSON that it writes."""
    code, said = kg("query", *arguments, "--out", path)
    assert code == 0, said
    return json.loads(path.read_text())


def test_a_second_load_finds_the_graph(kg):
    code, said = kg("load", config=True)
    assert code == 0
    assert "unchanged in the store" in said


def test_sync_tells_and_writes_what_changed(kg, shop, tmp_path):
    count = ["MATCH (p:Product) RETURN count(p) AS products"]
    products = shop / "files" / "products.csv"
    before = products.read_text()
    frame = pd.read_csv(products, dtype=str)
    try:
        number = len(frame)
        frame.loc[len(frame)] = {**frame.iloc[0].to_dict(), "sku": "new-one", "title": "A thing of today"}
        frame.to_csv(products, index=False)
        code, said = kg("sync", "--dry_run", config=True)
        assert code == 0
        assert "would be written" in said
        code, said = kg("sync", config=True)
        assert code == 0
        assert "Product" in said
        assert answer(kg, tmp_path / "now.json", *count)[0]["products"] == number + 1
    finally:
        products.write_text(before)


def test_a_file_with_a_parameter_in_the_terminal(kg, tmp_path):
    file = tmp_path / "mine.cypher"
    file.write_text("MATCH (s:Shelf) WHERE s.name >= $first RETURN s.name AS shelf ORDER BY shelf LIMIT 3")
    code, said = kg("query", "-f", file, "--param", "first=A")
    assert code == 0, said
    assert "shelf" in said
    assert "3 rows" in said


def test_a_picture(kg, tmp_path):
    code, said = kg("query", "bought-together", "--param", "min_support=2", "--graph", tmp_path / "it.html")
    assert code == 0, said
    assert "cytoscape" in (tmp_path / "it.html").read_text()


def test_the_library_is_listed_and_told(kg):
    code, said = kg("queries")
    assert code == 0
    assert said.count("(needs a") >= 4
    code, said = kg("queries", "why-category")
    assert code == 0
    assert "history" in said


def test_the_schema_is_shown(kg, tmp_path):
    code, said = kg("schema", "--graph", tmp_path / "schema.svg")
    assert code == 0
    assert "BOUGHT_WITH" in said
    assert "Shelf" in (tmp_path / "schema.svg").read_text()


def test_export_for_gephi(kg, tmp_path):
    code, said = kg("export", "--to", tmp_path / "it.graphml")
    assert code == 0, said
    assert "graphml" in (tmp_path / "it.graphml").read_text()


SMALL = ["--data.synthetic.products", "60", "--data.synthetic.users", "30", "--data.synthetic.categories", "12"]
REFUSED = {
    "an unknown query": (["query", "bougth-together"], "Did you mean bought-together"),
    "a write": (["query", "MATCH (n) DETACH DELETE n"], "cannot change"),
    "an unknown setting": (["schema", "--colour", "red"], "colour"),
    "no such run": (["write-back", "no/such/run"], "no/such/run"),
    "another shop's data": (["load", "--data.source", "synthetic", *SMALL], "tiny_shop"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_told(kg, case):
    (verb, *arguments), told = REFUSED[case]
    code, said = kg(verb, *arguments)
    assert code == 2, said
    assert told in said
    assert "Traceback" not in said


def test_an_unknown_verb(capsys):
    assert cli.main(["kg", "destroy"]) == 2
    assert "write-back" in capsys.readouterr().err
    assert cli.main(["kg", "--help"]) == 0


def test_what_an_export_can_hold_is_named(capsys):
    assert cli.main(["--help"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("  export "))
    assert "features" in line
    with pytest.raises(SystemExit):
        cli.main(["export", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert all(part in said.partition("options:")[0] for part in ("vectors", "tower", "features", "scorer", "manifest"))
