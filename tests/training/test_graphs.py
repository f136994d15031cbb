from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric.data import HeteroData

from encoders.config import GraphConfig
from kg.readback import GraphData
from training.graphs import model_graph, shuffled

IN, WITH, BY = ("Product", "IN", "Category"), ("Category", "BOUGHT_WITH", "Category"), ("Product", "BY", "Brand")
NEVER = ("Category", "NEVER", "Brand")


def read_back():
    """What `kg.readback` gives: every relation with its reverse, co-purchases with support, confidence, lift."""
    data = HeteroData()
    for label, n in (("Category", 3), ("Brand", 2), ("Product", 5)):
        data[label].num_nodes = n
    pairs = {
        IN: [(0, 0), (1, 0), (2, 1), (3, 2), (3, 1)],
        BY: [(0, 0), (1, 1), (2, 0)],
        WITH: [(0, 1), (2, 1), (1, 0)],
        NEVER: [],
    }
    for triple, found in pairs.items():
        index = torch.tensor(found, dtype=torch.long).reshape(-1, 2).T.contiguous()
        data[triple].edge_index = index
        data[triple[2], f"rev_{triple[1]}", triple[0]].edge_index = index.flip(0)
    attributes = torch.tensor([[9.0, 0.5, 2.0], [9.0, 0.25, 1.0], [9.0, 1.0, 3.0]])
    for triple in (WITH, ("Category", "rev_BOUGHT_WITH", "Category")):
        data[triple].edge_attr = attributes.clone()
    return GraphData(data, {}, 10)


def test_co_purchases_weigh_by_confidence_and_lift():
    matrix = model_graph(read_back()).contracted.matrices[WITH].to_dense()
    first, second = 0.5 * np.log1p(2.0), 0.25 * np.log1p(1.0)
    expected = torch.zeros(3, 3)
    expected[1, 0], expected[1, 2] = first / (first + second), second / (first + second)
    expected[0, 1] = 1
    torch.testing.assert_close(matrix, expected)


def test_products_are_contracted_and_empty_relations_left_out():
    graph = model_graph(read_back())
    assert graph.leaf == "Product"
    assert set(graph.contracted.num_nodes) == {"Category", "Brand"}
    assert not [t for t in graph.contracted.matrices if "NEVER" in t[1] or "Product" in (t[0], t[2])]
    between = graph.contracted.matrices["Category", "via_Product", "Brand"].to_dense()
    torch.testing.assert_close(between.sum(dim=1), torch.ones(2))


def test_neighbours_of_products():
    graph = model_graph(read_back())
    assert set(graph.neighbours) == {("Category", "rev_IN", "Product"), ("Brand", "rev_BY", "Product")}
    products = np.array([3, 4, 0])
    rows = graph.rows(products)
    category = rows["Category", "rev_IN", "Product"].to_dense()
    torch.testing.assert_close(category, torch.tensor([[0, 0.5, 0.5], [0, 0, 0], [1, 0, 0]]))
    brand = rows["Brand", "rev_BY", "Product"].to_dense()
    torch.testing.assert_close(brand, torch.tensor([[0.0, 0], [0, 0], [1, 0]]))


def test_the_tensors_read_back_are_left_alone():
    given = read_back()
    before = {t: given.data[t].edge_index.clone() for t in given.data.edge_types}
    attributes = given.data[WITH].edge_attr.clone()
    model_graph(given)
    assert all(torch.equal(given.data[t].edge_index, index) for t, index in before.items())
    assert torch.equal(given.data[WITH].edge_attr, attributes)


def test_without_co_purchases():
    given = read_back()
    graph = model_graph(given, GraphConfig(co_purchases=False))
    assert not [t for t in graph.contracted.matrices if "BOUGHT_WITH" in t[1]]
    assert WITH in given.data.edge_types
    left_out = set(model_graph(read_back()).contracted.matrices) - set(graph.contracted.matrices)
    assert left_out == {WITH, ("Category", "rev_BOUGHT_WITH", "Category")}


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_edges_keep_their_counts(seed):
    given, plain = read_back(), read_back()
    data = shuffled(given.data, seed)
    assert data.edge_types == plain.data.edge_types
    for triple in plain.data.edge_types:
        before, after = plain.data[triple].edge_index, data[triple].edge_index
        for end in (0, 1):
            assert sorted(after[end].tolist()) == sorted(before[end].tolist())
        assert torch.equal(given.data[triple].edge_index, before)
        if not triple[1].startswith("rev_"):
            assert torch.equal(after[0], before[0])
            assert torch.equal(data[triple[2], f"rev_{triple[1]}", triple[0]].edge_index, after.flip(0))
    assert torch.equal(data[WITH].edge_attr, plain.data[WITH].edge_attr)


def test_shuffling_is_seeded():
    drawn = [shuffled(read_back().data, seed)[IN].edge_index for seed in (1, 1, *range(2, 8))]
    assert torch.equal(drawn[0], drawn[1])
    assert any(not torch.equal(drawn[0], other) for other in drawn[2:])
    graphs = [model_graph(read_back(), GraphConfig(shuffled=flag), seed=1) for flag in (True, False)]
    assert any((a != b).nnz for a, b in zip(*(g.neighbours.values() for g in graphs), strict=True))
