"""The graph served by the database gives what the graph in memory gives, on every store."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric.data import TensorAttr
from torch_geometric.data.graph_store import EdgeAttr
from torch_geometric.loader import NodeLoader

from encoders.graph import GraphConfig, GraphEncoder, adjacency
from encoders.sampler import GraphInMemory, LoaderSampler, NeighbourSampler
from errors import InputError
from kg.config import CoPurchaseConfig
from kg.load import load_graph
from kg.readback import read_graph
from kg.remote import StoredEdges, StoredFeatures, StoredGraph
from kg.sync import sync_graph

CONFIG = CoPurchaseConfig(min_support=2, top_k=2, below_top_k=3)
WINDOWS, DIM = [8, 15], 6


def twice(tables):
    """The tables with one fact told twice: two relationships between the same nodes."""
    facts = tables.relations
    return {"relations": facts.loc[[0, *facts.index]].reset_index(drop=True)}


def weighted(graph):
    """The read-back graph with the weights that the model trains with."""
    for edge_type in graph.data.edge_types:
        if "BOUGHT_WITH" in edge_type[1]:
            attributes = graph.data[edge_type].edge_attr
            graph.data[edge_type].edge_weight = attributes[:, 1] * attributes[:, 2].log1p()
    return graph.data


@pytest.fixture
def loaded(store_any, dataset, make_dataset):
    load_graph(store_any, make_dataset(**twice(dataset.tables)), WINDOWS, CONFIG)
    return store_any


@pytest.fixture
def both(loaded):
    """The same graph from the store and in memory; few nodes per query, so that there are several."""
    return StoredGraph(loaded, 15, batch_size=8), weighted(read_graph(loaded, 15))


def test_the_store_answers_as_memory_does(both):
    """Ids, degrees, whole relations; samples, vectors and gradients of a model; PyG's loader. One load serves all."""
    stored, data = both
    _same_structure(stored, data)
    _same_sample(stored, data)
    _hubs_are_read_once(stored.store, data)
    _same_vectors_and_gradients(stored, data)
    _pyg_edges(stored, data)
    _pyg_loader(stored, data)


def _same_structure(stored, data):
    assert stored.edge_types == data.edge_types
    assert stored.num_nodes == {label: data[label].num_nodes for label in data.node_types}
    memory = GraphInMemory(data)
    for edge_type in data.edge_types:
        nodes = torch.arange(stored.num_nodes[edge_type[2]]).flip(0)
        assert stored.degree(edge_type, nodes).equal(memory.degree(edge_type, nodes)), edge_type
        assert stored.degree(edge_type, nodes).equal(memory.degree(edge_type, nodes)), "kept"


def _same_sample(stored, data):
    seeds = {"Product": torch.tensor([3, 0, 17]), "Category": torch.tensor([1])}
    for fanouts in ([2, 1], [-1, 2], [1]):
        found = NeighbourSampler(stored, fanouts, seed=4).sample(seeds, draw=2)
        expected = NeighbourSampler(GraphInMemory(data), fanouts, seed=4).sample(seeds, draw=2)
        for label, nodes in expected.nodes.items():
            assert found.nodes[label].equal(nodes)
        for edge_type, matrix in expected.adjacency.matrices.items():
            torch.testing.assert_close(found.adjacency.matrices[edge_type].to_dense(), matrix.to_dense())
    assert any(len(index[0]) for index in found.index.values())


def _hubs_are_read_once(store, data):
    """Nodes with many edges are kept, as far as there is room; the samples are the same."""
    kept = {}
    for room in (0, 9, 1000):
        stored = StoredGraph(store, 15, hub=4, kept_edges=room)
        for _ in range(2):
            _same_sample(stored, data)
        kept[room] = sum(len(sources) for sources, _ in stored._hubs.values())
        assert all(len(sources) >= 4 for sources, _ in stored._hubs.values())
    assert kept[0] == 0 < kept[9] <= 9 < kept[1000]


def _same_vectors_and_gradients(stored, data):
    torch.manual_seed(0)
    config = GraphConfig(dropout=0.0, copurchase_dropout=0.0)
    model = GraphEncoder(data.node_types, data.edge_types, DIM, config)
    features = {label: torch.randn(data[label].num_nodes, DIM) for label in data.node_types}
    seeds = {"Type": torch.tensor([4, 8]), "Product": torch.tensor([19, 2])}
    sub = NeighbourSampler(stored, [-1, -1]).sample(seeds)
    whole = model(adjacency(data), features)
    found = sub.of_seeds(model(sub.adjacency, sub.take(features)))
    gradients = []
    for out in ({label: whole[label][at] for label, at in seeds.items()}, found):
        model.zero_grad()
        sum(value.square().cumsum(0).sum() for value in out.values()).backward()
        gradients.append([torch.zeros(1) if p.grad is None else p.grad.clone() for p in model.parameters()])
        torch.testing.assert_close(out["Type"], found["Type"])
        torch.testing.assert_close(out["Product"], found["Product"])
    for expected, mine in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, expected.expand_as(mine), atol=1e-4, rtol=1e-3)


def _pyg_edges(stored, data):
    edges = StoredEdges(stored)
    rows, columns, _ = edges.coo()
    for attr in edges.get_all_edge_attrs():
        edge_type = attr.edge_type
        expected = data[edge_type].edge_index.unique(dim=1)
        found = torch.stack(edges.get_edge_index(edge_type, "coo"))
        assert found.equal(expected), edge_type
        assert torch.stack([rows[edge_type], columns[edge_type]]).unique(dim=1).equal(expected)
        assert attr.size == (data[edge_type[0]].num_nodes, data[edge_type[2]].num_nodes)
        starts, targets = edges.get_edge_index(EdgeAttr(edge_type, "csr"))
        assert (targets.equal(expected[1]), int(starts[-1])) == (True, expected.shape[1])
        by_target = torch.stack(edges.get_edge_index(EdgeAttr(edge_type, "coo", is_sorted=True)))
        assert by_target[1].equal(by_target[1].sort().values)
    with pytest.raises(KeyError):
        edges.get_edge_index(("Product", "NO", "Type"), "coo")
    with pytest.raises(InputError, match="read only"):
        edges.put_edge_index((rows[edge_type], columns[edge_type]), edge_type, "coo")
    with pytest.raises(InputError, match="read only"):
        edges.remove_edge_index(edge_type, "coo")


def _pyg_loader(stored, data):
    sampler = LoaderSampler(NeighbourSampler(stored, [-1]))
    places = (StoredFeatures(stored), StoredEdges(stored))
    whole = adjacency(data).degrees
    loader = NodeLoader(places, sampler, input_nodes=("Product", torch.arange(20)), batch_size=8)
    batches = list(loader)
    assert [batch["Product"].batch_size for batch in batches] == [8, 8, 4]
    for batch in batches:
        batch.validate()
        for label in data.node_types:
            torch.testing.assert_close(batch[label].degree, whole[label][batch[label].n_id])
        index = batch["Type", "rev_IN_TYPE", "Product"].edge_index
        ends = {
            (int(batch["Type"].n_id[a]), int(batch["Product"].n_id[b])) for a, b in zip(*index.tolist(), strict=True)
        }
        assert ends <= set(zip(*data["Type", "rev_IN_TYPE", "Product"].edge_index.tolist(), strict=True))
        assert len(ends) == batch["Product"].batch_size


def test_features_are_what_the_nodes_hold(loaded):
    """Written in Cypher, read as tensors, in the order asked for; a node that lacks one is named."""
    rows = [{"id": f"p{i:02}", "v": [float(i), 0.5]} for i in range(20)]
    query = "UNWIND $rows AS row MATCH (p:Product {product_id: row.id}) SET p.embedding = row.v, p.price = row.v[0]"
    loaded.write(query, rows=rows)
    stored = StoredGraph(loaded, 8, batch_size=7)
    features = StoredFeatures(stored)
    expected = torch.tensor([[float(i), 0.5] for i in range(20)])
    assert features["Product", "embedding", None].equal(expected)
    for index in (torch.tensor([5, 5, 0]), np.array([19]), slice(3, 11, 2), 4, expected[:, 0] > 17):
        at = torch.arange(20)[torch.as_tensor(index) if isinstance(index, np.ndarray) else index].reshape(-1)
        assert features.get_tensor("Product", "embedding", index).equal(expected[at])
        assert features.get_tensor("Product", "price", index).equal(expected[at, :1])
    assert features.get_tensor_size(TensorAttr("Product", "embedding")) == (20, 2)
    assert features.get_tensor_size(TensorAttr("Product", "text")) is None
    with pytest.raises(KeyError, match="no feature 'text' of 'Product'"):
        features.get_tensor("Product", "text", None)
    for change in (lambda: features.put_tensor(expected, "Product", "x", None), lambda: _remove(features)):
        with pytest.raises(InputError, match="read only"):
            change()
    loaded.write("MATCH (p:Product {product_id: 'p07'}) SET p.embedding = null")
    with pytest.raises(InputError, match=r"\(Product 'p07'\)\.embedding: not 2 numbers"):
        features.get_tensor("Product", "embedding", torch.tensor([1, 7]))


def _remove(features):
    features.remove_tensor("Product", "embedding", None)


def test_a_cut_off_sees_its_own_window_and_no_later_fact(loaded):
    early, late = StoredGraph(loaded, 8), StoredGraph(loaded, 15)
    coupons = ("Coupon", "APPLIES_TO", "Product")
    assert early.edges(coupons)[0].tolist() == [3, 4]
    assert late.edges(coupons)[0].tolist() == [3, 3, 4]
    assert late.edges(coupons)[2].tolist() == [2.0, 1.0, 1.0]
    with_ = ("Type", "BOUGHT_WITH", "Type")
    assert not early.edges(with_)[2].equal(late.edges(with_)[2])


def test_what_has_vanished_and_only_carries_an_end_date_is_not_seen(loaded, dataset, make_dataset):
    tables = dataset.tables
    kept = {
        name: table[table["product_id"] != "p07"].reset_index(drop=True)
        for name in ("products", "memberships", "interactions")
        for table in [getattr(tables, name)]
    }
    sync_graph(loaded, make_dataset(**kept, relations=tables.relations.iloc[1:]), WINDOWS, CONFIG, vanished="end")
    assert loaded.read("MATCH (p:Product) RETURN count(p) AS n") == [{"n": 20}]
    stored, data = StoredGraph(loaded, 15), weighted(read_graph(loaded, 15))
    assert stored.num_nodes["Product"] == 19
    _same_structure(stored, data)
    _same_sample(stored, data)


def test_no_graph_and_an_unknown_cut_off_are_refused(store_any, dataset):
    with pytest.raises(InputError, match="no completely loaded graph"):
        StoredGraph(store_any, 8)
    load_graph(store_any, dataset, [8], CONFIG)
    with pytest.raises(InputError, match=r"no co-purchases for cut-off 9; it has \[8\]"):
        StoredGraph(store_any, 9)


def test_every_query_is_served_by_an_index(empty_neo4j, dataset):
    """Neo4j's own plans of all queries that a sampler sends: nothing is scanned."""
    load_graph(empty_neo4j, dataset, WINDOWS, CONFIG)
    empty_neo4j.read("CALL db.awaitIndexes()")
    stored = StoredGraph(empty_neo4j, 15)
    rows = [{"id": "x", "at": 0, "places": [0]}]
    asked = []
    for relation in stored._relations.values():
        asked += [relation.degrees(), relation.all(), relation.chosen()]
    with empty_neo4j.reading(100) as session:
        for query in asked:
            plan = session.run(f"EXPLAIN {query}", rows=rows, end=15).consume().plan
            operators = _operators(plan)
            assert not [name for name in operators if "Scan" in name], (query, operators)
            assert any("Seek" in name for name in operators), (query, operators)


def _operators(plan):
    return [plan["operatorType"], *(name for child in plan.get("children", []) for name in _operators(child))]
