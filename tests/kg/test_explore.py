"""Subgraphs, their analyses, files for Gephi, the overview and the commands, on a shop of plain tastes."""

import json
import math
import subprocess
import sys
from itertools import combinations

import networkx as nx
import pandas as pd
import pytest
import taste_shop
from hypothesis import given, settings
from hypothesis import strategies as st
from taste_shop import CATEGORIES, confidence, lift

from errors import InputError
from kg import analysis, commands, graphfile, overview
from kg.answer import Answer, GraphEdge, GraphNode, GraphPath
from kg.explore import Explorer, complete, graph_of, named


@pytest.fixture(scope="module", params=["embedded_store", "neo4j_store"])
def explorer(request, make_dataset, emptied):
    """The shop of plain tastes with a write-back, on each of the stores."""
    store = emptied(request.getfixturevalue(request.param))
    yield Explorer(taste_shop.open_shop(store, taste_shop.build(make_dataset)))
    emptied(store)


@pytest.fixture(scope="module")
def bought(explorer):
    return explorer.co_purchases()


def pairs_of(graph):
    name = nx.get_node_attributes(graph, "name")
    return {(name[a], name[b]): data["properties"] for a, b, data in graph.edges(data=True)}


def test_the_co_purchases_are_all_there(bought):
    assert set(nx.get_node_attributes(bought, "name").values()) == set(CATEGORIES)
    assert set(nx.get_node_attributes(bought, "labels").values()) == {"Category"}
    found = pairs_of(bought)
    assert set(found) == {pair for one in combinations(CATEGORIES, 2) for pair in (one, one[::-1])}
    for pair, properties in found.items():
        assert properties["lift"] == pytest.approx(lift(*pair))
        assert properties["confidence"] == pytest.approx(confidence(*pair))
        assert (properties["window_start"], properties["window_end"]) == (5, 15)


def test_another_window_and_level(explorer):
    early = pairs_of(explorer.co_purchases(10))
    assert early["Tea", "Coffee"]["support"] == 4
    types = explorer.co_purchases(label="Type")
    assert set(nx.get_node_attributes(types, "labels").values()) == {"Type"}
    assert len(types) == 10


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"window_end": 3}, r"no co-purchases for cut-off 3[\s\S]*\[10, 15\]"),
        ({"label": "Brand"}, "no co-purchases of label 'Brand'"),
    ],
)
def test_what_is_not_there_is_told(explorer, arguments, told):
    with pytest.raises(InputError, match=told):
        explorer.co_purchases(**arguments)


def test_a_neighbourhood_has_the_ties_among_it(explorer):
    found = explorer.neighbourhood("Tea", "Category")
    names = set(nx.get_node_attributes(found, "name").values())
    assert names == {"Food", "Tea > 0", "Tea > 1", *CATEGORIES}
    kinds = {(a, data["type"], b) for a, b, data in found.edges(data=True)}
    candles, lamps = named(found, "Candles"), named(found, "Lamps")
    assert (candles, "BOUGHT_WITH", lamps) in kinds
    product = explorer.neighbourhood("p03")
    assert {"Tea > 1", "c1", "c2"} <= set(nx.get_node_attributes(product, "name").values())


def test_an_unknown_start_is_told(explorer):
    with pytest.raises(InputError, match="no label 'Film'"):
        explorer.neighbourhood("p03", "Film")
    with pytest.raises(InputError, match="no Product 'p99'"):
        explorer.neighbourhood("p99")


def test_relationships_without_ends_get_them(explorer):
    found = explorer.subgraph(
        "MATCH (a:$$Category)-[r:IN_DEPARTMENT]->() WHERE a.node_id = $id RETURN r", {"id": "Tea"}
    )
    assert set(nx.get_node_attributes(found, "name").values()) == {"Tea", "Food"}
    assert set(nx.get_node_attributes(found, "labels").values()) == {"Category", "Department"}


def test_departments(explorer):
    expected = {"Tea": "Food", "Käse": "Food", "Coffee": "Food", "Lamps": "Home", "Candles": "Gifts"}
    assert explorer.departments() == expected


def test_an_empty_store_is_told(empty_store):
    with pytest.raises(InputError, match=r"holds no graph[\s\S]*kg load"):
        Explorer(empty_store)


def test_a_graph_that_is_not_whole_is_told(explorer):
    store = explorer.reader.store
    store.write("MATCH (s:CrossAisleGraph) SET s.state = 'updating'")
    try:
        with pytest.raises(InputError, match=r"not whole: updating[\s\S]*kg load"):
            Explorer(store)
    finally:
        store.write("MATCH (s:CrossAisleGraph) SET s.state = 'complete'")


def test_all_of_an_answer_is_taken():
    one, other = GraphNode("1", ("A",), {"name": "x"}), GraphNode("2", ("B", "C"), {})
    edge = GraphEdge("7", "R", "1", "2", {"w": 1})
    nested = {"list": [[one]], "map": {"path": GraphPath((one, other), (edge,))}}
    graph = graph_of(Answer(("a", "b", "c"), [(nested, 5, None), (one, edge, "x")]))
    assert dict(graph.nodes(data="labels")) == {"1": "A", "2": "B:C"}
    assert list(graph.edges(keys=True, data="type")) == [("1", "2", "7", "R")]
    assert graph.edges["1", "2", "7"]["properties"] == {"w": 1}
    assert complete(None, graph) is graph
    for wrong in ("nobody", "B:C:D"):
        with pytest.raises(InputError, match="no nodes of this network called"):
            named(graph, wrong)


def test_communities_are_those_who_buy_together(bought):
    found = analysis.communities(bought)
    groups = {frozenset(group) for _, group in found.groupby("community")["name"]}
    assert groups == {frozenset({"Tea", "Lamps", "Candles"}), frozenset({"Käse", "Coffee"})}
    strongest = found[found["community"] == 0].iloc[0]
    assert strongest["strength"] == pytest.approx(math.log(2.25) + math.log(1.5))


def test_centrality(bought):
    found = analysis.centrality(bought).set_index("name")
    assert found["degree"].to_dict() == {"Tea": 2, "Lamps": 2, "Candles": 2, "Käse": 1, "Coffee": 1}
    assert found["pagerank"].sum() == pytest.approx(1)
    assert found.loc["Lamps", "pagerank"] > found.loc["Tea", "pagerank"]


def test_bridges_by_hand(bought, explorer):
    found = analysis.bridges(bought, explorer.departments()).set_index("name")
    strong, weak = math.log(2.25), math.log(1.5)
    assert found.loc["Käse", "outside"] == 0
    assert found.loc["Tea", "outside"] == pytest.approx(1)
    assert found.loc["Tea", "participation"] == pytest.approx(0.5)
    shares = [strong / (strong + weak), weak / (strong + weak)]
    assert found.loc["Lamps", "participation"] == pytest.approx(1 - sum(share**2 for share in shares))


def test_the_likeliest_paths_are_the_products_of_confidences(bought):
    found = analysis.likeliest_paths(bought, "Käse", "Lamps", count=100)
    assert found["chance"].round(12).is_monotonic_decreasing
    simple = nx.DiGraph((a, b, {"c": confidence(a, b)}) for a in CATEGORIES for b in CATEGORIES if a != b)
    ways = nx.all_simple_paths(simple, "Käse", "Lamps")
    by_hand = sorted(math.prod(simple.edges[step]["c"] for step in nx.utils.pairwise(way)) for way in ways)
    assert sorted(found["chance"]) == pytest.approx(by_hand)
    assert found["names"][0][0] == "Käse"
    assert found["steps"][0] == len(found["names"][0]) - 1


def test_no_way_and_no_such_node(bought):
    alone = bought.copy()
    alone.add_node("x", name="X", labels="Category", properties={})
    assert analysis.likeliest_paths(alone, "Tea", "X").empty
    with pytest.raises(InputError, match="called 'Nothing'"):
        analysis.likeliest_paths(bought, "Nothing", "Tea")


def test_similar_is_the_cosine_of_partners(bought):
    found = analysis.similar(bought, "Tea").set_index("name")
    strong, weak = math.log(2.25), math.log(1.5)
    assert found.loc["Lamps", "cosine"] == pytest.approx(
        strong * weak / (math.hypot(weak, weak) * math.hypot(strong, weak))
    )
    assert found.loc["Lamps", "partners"]
    assert found.loc["Käse", "cosine"] == 0


def test_nearest_by_vector(explorer):
    vectors = explorer.ask("MATCH (p:$$Product) RETURN p.product_id AS id, p.embedding AS embedding").frame()
    found = analysis.nearest(vectors, "p05", count=100)
    assert set(found["id"].head(2)) == {"p04", "p06"}
    assert found["cosine"].tolist() == pytest.approx(
        sorted((math.cos((i - 5) / 7) for i in range(19) if i != 5), reverse=True)
    )
    with pytest.raises(InputError, match="no vector for 'p19'"):
        analysis.nearest(vectors, "p19")


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
PROPERTIES = st.dictionaries(
    NAMES | st.sampled_from(sorted(graphfile.OWN)),
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text() | st.lists(st.integers()),
    max_size=4,
)


@st.composite
def networks(draw):
    graph = nx.MultiDiGraph()
    count = draw(st.integers(1, 4))
    for i in range(count):
        properties = draw(PROPERTIES)
        graph.add_node(f"#{i}:0", labels="A", name=draw(st.text()), properties=properties)
    for i in range(draw(st.integers(0, 5))):
        ends = [f"#{draw(st.integers(0, count - 1))}:0" for _ in range(2)]
        graph.add_edge(*ends, f"e{i}", type="R", properties=draw(PROPERTIES))
    return graph


def read(path):
    return nx.read_graphml(path, force_multigraph=True) if path.suffix == ".graphml" else nx.read_gexf(path)


@settings(max_examples=60, deadline=None)
@given(graph=networks(), suffix=st.sampled_from(graphfile.FORMATS))
def test_any_network_survives_the_files(tmp_path_factory, graph, suffix):
    path = tmp_path_factory.mktemp("graph") / f"a{suffix}"
    graphfile.write(graph, path)
    found, expected = read(path), graphfile.flatten(graph)
    assert sorted(found) == sorted(expected)
    for node, data in expected.nodes(data=True):
        assert {key: value for key, value in found.nodes[node].items() if key in data} == data
    assert edges_by_number(found) == {
        str(key): (source, target, data) for source, target, key, data in expected.edges(keys=True, data=True)
    }


def edges_by_number(graph):
    """Edges as read, by the number that the file gave them; without what the readers add."""
    found = {}
    for source, target, *key, data in graph.edges(data=True, **({"keys": True} if graph.is_multigraph() else {})):
        number = data.get("id", *key)
        found[str(number)] = (source, target, {name: value for name, value in data.items() if name != "id"})
    return found


@pytest.mark.parametrize("suffix", graphfile.FORMATS)
def test_the_shops_graph_survives_the_files(explorer, bought, tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    graphfile.write(bought, path)
    found = read(path)
    named_found = {node: data["label"] for node, data in found.nodes(data=True)}
    values = {(named_found[a], named_found[b]): data for a, b, data in found.edges(data=True)}
    for pair, properties in pairs_of(bought).items():
        for key, value in properties.items():
            assert values[pair][key] == pytest.approx(value)
        assert values[pair]["weight"] == pytest.approx(properties["lift"])


def test_embeddings_become_json(explorer):
    graph = explorer.subgraph("MATCH (p:Product {product_id: 'p01'}) RETURN p")
    (data,) = dict(graphfile.flatten(graph).nodes(data=True)).values()
    assert json.loads(data["embedding"]) == pytest.approx([math.cos(1 / 7), math.sin(1 / 7)])


def test_other_graph_formats_are_told(bought, tmp_path):
    with pytest.raises(InputError, match=r"no graph format '\.dot'"):
        graphfile.write(bought, tmp_path / "a.dot")


def test_the_overview_counts_what_is_there(explorer):
    nodes, edges = overview.node_counts(explorer), overview.edge_counts(explorer)
    assert nodes.frame().set_index("label")["nodes"].to_dict() == {
        "Product": 20, "Department": 3, "Category": 5, "Type": 10, "Brand": 3, "Campaign": 1, "Coupon": 2,
    }  # fmt: skip
    counts = {row[:3]: row[4] for row in edges.rows}
    assert counts["Category", "IN_DEPARTMENT", "Department"] == 6
    assert counts["Category", "BOUGHT_WITH", "Category"] == 2 * 20
    assert counts["Category", "LEADS_TO", "Category"] == 3
    graph = overview.network(nodes, edges)
    assert sorted(graph) == sorted(nodes.frame()["label"])
    assert graph.number_of_edges() == len(edges.rows)


def test_query_command(explorer, tmp_path, capsys):
    store = explorer.reader.store
    commands.query(store, "bought-with", ["category=Lamps"])
    shown = capsys.readouterr()
    assert "Candles" in shown.out
    assert "path" not in shown.out
    assert "4 rows" in shown.err
    commands.query(
        store, "bought-with", ["category=Lamps"], out=tmp_path / "sub" / "a.csv", graph=tmp_path / "a.html", row_limit=2
    )
    assert "there are more" in capsys.readouterr().err
    frame = pd.read_csv(tmp_path / "sub" / "a.csv")
    assert (list(frame.columns), len(frame)) == (["category", "lift", "confidence", "support"], 2)
    assert "Candles" in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_query_command_reads_files(explorer, tmp_path, capsys):
    file = tmp_path / "mine.cypher"
    file.write_text("// Mine.\n// Parameters:\n//   n (integer, default 1): rows\n// Reading: as it is.\n"
                    "MATCH (c:$$Category) RETURN c.name AS name ORDER BY name LIMIT $n")  # fmt: skip
    assert commands.query(explorer.reader.store, file=file).rows == [("Candles",)]
    assert commands.query(explorer.reader.store, file=file, params=["n=2"]).rows == [("Candles",), ("Coffee",)]
    empty = commands.query(explorer.reader.store, file=file, params=["n=0"], out=tmp_path / "a.csv")
    assert (empty.rows, (tmp_path / "a.csv").read_text().strip()) == ([], "name")
    assert commands.query(explorer.reader.store, "RETURN $x AS x", ["x=[1, 2]"]).rows == [([1, 2],)]
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "give a query's name, Cypher, or a file"),
        ({"text": "RETURN 1 AS x", "out": "a.xlsx"}, r"no format '\.xlsx'"),
        ({"text": "RETURN 1 AS x", "out": "a"}, "no suffix"),
        ({"text": "RETURN 1 AS x", "graph": "a.csv"}, r"no format '\.csv'"),
        ({"text": "RETURN 1 AS x", "graph": "a.png"}, "no nodes to draw"),
        ({"file": "missing.cypher"}, r"missing\.cypher: cannot read it"),
        ({"text": "MATCH (n) DETACH DELETE n"}, "cannot change anything|no reading clause"),
    ],
)
def test_wrong_calls_are_told(explorer, tmp_path, arguments, told):
    paths = {key: value if key == "text" else tmp_path / value for key, value in arguments.items()}
    with pytest.raises(InputError, match=told):
        commands.query(explorer.reader.store, **paths)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_text_is_told(explorer, tmp_path):
    (tmp_path / "a.cypher").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        commands.query(explorer.reader.store, file=tmp_path / "a.cypher")


def test_schema_and_queries_commands(explorer, tmp_path, capsys):
    commands.schema(explorer.reader.store, graph=tmp_path / "a.svg")
    shown = capsys.readouterr()
    assert "LEADS_TO" in shown.out
    assert "10, 15" in shown.err
    assert "BOUGHT_WITH 40" in (tmp_path / "a.svg").read_text(encoding="utf-8")
    commands.queries()
    assert "why-category" in capsys.readouterr().out
    commands.queries("why-category")
    assert "history (texts, required)" in capsys.readouterr().out


def test_the_commands_start_without_torch():
    """Their module is imported for every call: what takes seconds must wait until it is needed."""
    code = "import sys, kg.commands; print({'torch', 'torch_geometric', 'matplotlib', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_export_command(explorer, tmp_path, capsys):
    store = explorer.reader.store
    commands.export(store, tmp_path / "a.gexf")
    assert nx.read_gexf(tmp_path / "a.gexf").number_of_edges() == len(CATEGORIES) * (len(CATEGORIES) - 1)
    commands.export(store, tmp_path / "a.graphml", "bought-with", ["category=Tea", "limit=1"])
    assert nx.read_graphml(tmp_path / "a.graphml").number_of_nodes() == 2
    commands.export(store, tmp_path / "a.parquet", "windows")
    assert pd.read_parquet(tmp_path / "a.parquet")["window_end"].tolist() == [10, 15]
    for arguments, told in (((".xml",), "no format"), ((".gexf", "RETURN 1 AS x"), "holds no nodes")):
        with pytest.raises(InputError, match=told):
            commands.export(store, tmp_path / f"b{arguments[0]}", *arguments[1:])
    capsys.readouterr()
