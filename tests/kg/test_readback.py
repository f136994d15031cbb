from collections import Counter

import numpy as np
import pytest

from errors import InputError
from kg.config import CoPurchaseConfig
from kg.copurchase import count
from kg.load import load_graph
from kg.readback import read_graph, read_graphs

CONFIG = CoPurchaseConfig(min_support=2, top_k=2, below_top_k=3)
WINDOWS = [8, 15]


@pytest.fixture(scope="module")
def loaded(embedded_store, dataset):
    embedded_store.write("MATCH (n) DETACH DELETE n")
    load_graph(embedded_store, dataset, WINDOWS, CONFIG)
    return embedded_store


def _named(graph, triple):
    source, _, target = triple
    index = graph.data[triple].edge_index.numpy()
    ends = graph.ids[source][index[0]].tolist(), graph.ids[target][index[1]].tolist()
    return list(zip(*ends, strict=True))


def _pairs(frame, source, target):
    return Counter(zip(frame[source], frame[target], strict=True))


def test_positions_are_those_of_the_catalogue(loaded, dataset):
    graph, catalogue = read_graph(loaded, 15), dataset.catalogue
    assert (graph.ids["Product"] == catalogue.product_ids).all()
    for name, label in (("department", "Department"), ("category", "Category"), ("type", "Type")):
        assert (graph.ids[label] == catalogue.levels[name].ids).all()
    assert (graph.ids["Brand"] == catalogue.attributes["brand"][0]).all()
    assert {label: graph.data[label].num_nodes for label in graph.ids} == {k: len(v) for k, v in graph.ids.items()}


def test_ids_and_positions_are_mapped_both_ways(loaded):
    graph = read_graph(loaded, 15)
    for label, ids in graph.ids.items():
        shuffled = np.random.default_rng(0).permutation(len(ids))
        assert (graph.positions(label, ids[shuffled]) == shuffled).all()
    assert graph.positions("Product", []).shape == (0,)
    for unknown in ("", "p99", "zzz"):
        with pytest.raises(KeyError, match="no Product"):
            graph.positions("Product", ["p01", unknown])


def test_structure_is_that_of_the_tables(loaded, dataset):
    graph, tables = read_graph(loaded, 15), dataset.tables
    found = {triple: Counter(_named(graph, triple)) for triple in graph.data.edge_types if "rev_" not in triple[1]}
    assert found["Product", "IN_TYPE", "Type"] == _pairs(tables.memberships, "product_id", "node_id")
    for level, upper in (("type", "category"), ("category", "department")):
        rows = tables.taxonomy[tables.taxonomy["level"] == level]
        triple = (level.title(), f"IN_{upper.upper()}", upper.title())
        assert found[triple] == _pairs(rows, "node_id", "parent_id")
    branded = tables.products.dropna(subset=["brand"])
    assert found["Product", "HAS_BRAND", "Brand"] == _pairs(branded, "product_id", "brand")


@pytest.mark.parametrize("end", WINDOWS)
@pytest.mark.parametrize(("level", "top_k"), [("category", 2), ("type", 3)])
def test_co_purchases_are_those_of_the_window(loaded, dataset, end, level, top_k):
    graph = read_graph(loaded, end)
    triple = (level.title(), "BOUGHT_WITH", level.title())
    expected = count(dataset, dataset.catalogue.levels[level], end, CONFIG, top_k)
    attributes = dict(zip(_named(graph, triple), graph.data[triple].edge_attr.numpy(), strict=True))
    assert set(attributes) == set(_pairs(expected, "source", "target"))
    for row in expected.itertuples():
        values = [row.support, row.confidence, row.lift]
        np.testing.assert_allclose(attributes[row.source, row.target], values, rtol=1e-6)


def test_relations_are_seen_once_they_are_known(loaded):
    graphs, triple = read_graphs(loaded, WINDOWS), ("Coupon", "APPLIES_TO", "Product")
    assert _named(graphs[8], triple) == [("c1", "p03"), ("c1", "p04")]
    assert _named(graphs[15], triple) == [("c1", "p03"), ("c1", "p04"), ("c2", "p03")]
    weights = graphs[15].data[triple].edge_attr.numpy()[:, 0]
    np.testing.assert_array_equal(weights, [1.5, 1.0, 2.0])


def test_every_relationship_has_its_reverse_also_without_edges(loaded):
    graphs = read_graphs(loaded, WINDOWS)
    assert graphs[8].data.metadata() == graphs[15].data.metadata()
    assert graphs[8].data["Coupon", "PART_OF", "Campaign"].edge_index.shape == (2, 0)
    for source, relation, target in graphs[15].data.edge_types:
        if not relation.startswith("rev_"):
            forward = graphs[15].data[source, relation, target]
            back = graphs[15].data[target, f"rev_{relation}", source]
            assert forward.edge_index.flip(0).equal(back.edge_index)
    graphs[15].data.validate()


def test_one_at_a_time_or_together_is_the_same(loaded):
    together = read_graphs(loaded, WINDOWS)
    for end in WINDOWS:
        _assert_equal(together[end], read_graph(loaded, end))


def test_the_future_moves_nothing(loaded, dataset, make_dataset):
    """Shuffle what is bought from the cut-off on: the graph of the cut-off stays as it was."""
    before, rows = read_graph(loaded, 8), dataset.tables.interactions.copy()
    later = rows["time"] >= 8
    rows.loc[later, "product_id"] = rows.loc[later, "product_id"].sample(frac=1, random_state=3).to_numpy()
    rows.loc[later, "user_id"] = rows.loc[later, "user_id"].sample(frac=1, random_state=4).to_numpy()
    shuffled = make_dataset(interactions=rows)
    try:
        assert not load_graph(loaded, shuffled, WINDOWS, CONFIG).skipped
        _assert_equal(read_graph(loaded, 8), before)
        changed = ("Type", "BOUGHT_WITH", "Type")
        assert _named(read_graph(loaded, 15), changed) != []
    finally:
        load_graph(loaded, dataset, WINDOWS, CONFIG)


def test_a_cut_off_that_was_not_loaded_is_refused(loaded):
    with pytest.raises(InputError, match=r"no co-purchases for cut-off 9; it has \[8, 15\]"):
        read_graph(loaded, 9)


def test_an_unfinished_graph_is_refused(loaded):
    state = "MATCH (s:CrossAisleGraph) SET s.state = $state"
    loaded.write(state, state="loading")
    try:
        with pytest.raises(InputError, match="no completely loaded graph"):
            read_graph(loaded, 8)
    finally:
        loaded.write(state, state="complete")


def _assert_equal(one, other):
    assert one.data.metadata() == other.data.metadata()
    for triple in one.data.edge_types:
        assert one.data[triple].edge_index.equal(other.data[triple].edge_index)
        if "edge_attr" in one.data[triple]:
            np.testing.assert_array_equal(one.data[triple].edge_attr, other.data[triple].edge_attr)
