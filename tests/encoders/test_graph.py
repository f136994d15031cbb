from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch_geometric.data import HeteroData

from encoders.config import GraphConfig
from encoders.graph import GraphEncoder, SparseProduct, adjacency, contract, incidence, to_torch, without_edges

SIZES = {"Category": 4, "Brand": 3, "Product": 7}
IN, BY, WITH = ("Product", "IN", "Category"), ("Product", "BY", "Brand"), ("Category", "BOUGHT_WITH", "Category")
DIM = 5


def back(edge_type):
    return edge_type[2], f"rev_{edge_type[1]}", edge_type[0]


def put(graph, edge_type, pairs, weight=None):
    index = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T.contiguous()
    for key, found in ((edge_type, index), (back(edge_type), index.flip(0))):
        graph[key].edge_index = found
        if weight is not None:
            graph[key].edge_weight = torch.tensor(weight)


def shop_graph():
    """Product 6 has no brand, product 5 sits in two categories, category 3 is empty."""
    graph = HeteroData()
    for label, n in SIZES.items():
        graph[label].num_nodes = n
    put(graph, IN, [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 1), (5, 2), (6, 2)])
    put(graph, BY, [(0, 0), (1, 0), (2, 1), (3, 0), (4, 2), (5, 1)])
    put(graph, WITH, [(0, 1), (1, 2), (2, 1), (3, 0)], [0.5, 2.0, 1.0, 3.0])
    return graph


def contracted():
    return adjacency(contract(shop_graph(), "Product"))


def encoder(**settings):
    torch.manual_seed(0)
    graph = contract(shop_graph(), "Product")
    return GraphEncoder(graph.node_types, graph.edge_types, DIM, GraphConfig(**settings))


def features(seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {label: torch.randn(SIZES[label], DIM, generator=generator) for label in ("Category", "Brand")}


def test_contract_by_brute_force():
    graph = shop_graph()
    found = contract(graph, "Product")
    assert set(found.node_types) == {"Category", "Brand"}
    assert not [t for t in found.edge_types if "Product" in (t[0], t[2])]
    category = incidence(graph, IN).toarray()
    brand = incidence(graph, BY).toarray()
    common = np.zeros((4, 3))
    for product in range(7):
        for c in np.flatnonzero(category[product]):
            for b in np.flatnonzero(brand[product]):
                common[c, b] += 1
    assert common.max() == 2
    for triple, expected in (
        (("Category", "via_Product", "Brand"), common),
        (("Brand", "via_Product", "Category"), common.T),
    ):
        row, column = found[triple].edge_index.numpy()
        dense = np.zeros(expected.shape)
        dense[row, column] = found[triple].edge_weight
        np.testing.assert_allclose(dense, np.log1p(expected), rtol=1e-6)
        assert len(row) == (expected > 0).sum()


def test_contract_keeps_the_rest_and_the_original():
    graph = shop_graph()
    found = contract(graph, "Product")
    for edge_type in (WITH, back(WITH)):
        assert torch.equal(found[edge_type].edge_index, graph[edge_type].edge_index)
        assert torch.equal(found[edge_type].edge_weight, graph[edge_type].edge_weight)
    assert set(graph.node_types) == set(SIZES)
    assert IN in graph.edge_types


def test_incidence():
    expected = np.zeros((7, 3))
    expected[[0, 1, 2, 3, 4, 5], [0, 0, 1, 0, 2, 1]] = 1
    np.testing.assert_array_equal(incidence(shop_graph(), BY).toarray(), expected)


def test_rows_of_the_adjacency_sum_to_one_or_are_empty():
    for (source, _, target), matrix in contracted().matrices.items():
        dense = matrix.to_dense()
        assert dense.shape == (SIZES[target], SIZES[source])
        total = dense.sum(dim=1)
        filled = (dense != 0).any(dim=1)
        torch.testing.assert_close(total, filled.float())
        assert filled.any()


def test_adjacency_weighs_by_edge_weight():
    matrix = contracted().matrices[WITH].to_dense()  # targets × sources
    expected = torch.zeros(4, 4)
    expected[1, 0], expected[1, 2], expected[2, 1], expected[0, 3] = 0.5 / 1.5, 1 / 1.5, 1, 1
    torch.testing.assert_close(matrix, expected)


def test_degrees_count_incoming_relations():
    degrees = contracted().degrees["Category"].squeeze(1)
    by_hand = torch.tensor([1 + 1 + 1, 2 + 1 + 2, 1 + 1 + 2, 0 + 1 + 0])  # BOUGHT_WITH, its reverse, brands
    torch.testing.assert_close(degrees, torch.log1p(by_hand.float()))


def test_sparse_product_is_the_dense_one():
    rng = np.random.default_rng(0)
    matrix = sp.random_array((6, 4), density=0.4, rng=rng, format="csr", dtype=np.float32)
    dense = torch.randn(4, 3, requires_grad=True)
    again = dense.detach().clone().requires_grad_()
    weight = torch.randn(6, 3)
    found = SparseProduct.apply(to_torch(matrix), dense)
    expected = torch.from_numpy(matrix.toarray()) @ again
    torch.testing.assert_close(found, expected)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(dense.grad, again.grad)


def test_sparse_product_gradcheck():
    sparse = torch.tensor([[0.0, 2.0, 0.0], [1.5, 0.0, -1.0]], dtype=torch.float64).to_sparse_csr()
    dense = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: SparseProduct.apply(sparse, x), dense)


def test_to_torch_keeps_the_numbers():
    matrix = sp.csr_array(np.array([[0, 1.5], [0, 0], [2, 0]], dtype=np.float32))
    np.testing.assert_array_equal(to_torch(matrix).to_dense().numpy(), matrix.toarray())


def test_shapes_of_the_encoder():
    found = encoder().eval()(contracted(), features())
    assert {label: tuple(x.shape) for label, x in found.items()} == {"Category": (4, DIM), "Brand": (3, DIM)}
    assert all(x.isfinite().all() for x in found.values())


def test_features_are_optional():
    assert encoder().eval()(contracted(), {})["Category"].isfinite().all()


def test_the_order_of_nodes_does_not_matter():
    order = torch.tensor([2, 0, 3, 1])
    graph, shuffled = contract(shop_graph(), "Product"), contract(shop_graph(), "Product")
    place = torch.argsort(order)
    for edge_type in graph.edge_types:
        index = graph[edge_type].edge_index.clone()
        for end in (0, 1):
            if edge_type[2 * end] == "Category":
                index[end] = place[index[end]]
        shuffled[edge_type].edge_index = index
    model, x = encoder().eval(), features()
    plain = model(adjacency(graph), x)
    other = model(adjacency(shuffled), {**x, "Category": x["Category"][order]})
    torch.testing.assert_close(other["Category"], plain["Category"][order])
    torch.testing.assert_close(other["Brand"], plain["Brand"])


def test_gradient_reaches_features_and_every_weight():
    model, x = encoder(dropout=0.0, copurchase_dropout=0.0), features()
    x = {label: value.requires_grad_() for label, value in x.items()}
    found = model(contracted(), x)
    (found["Category"] * torch.randn(4, DIM)).sum().backward()
    assert all(value.grad.abs().sum() > 0 for value in x.values())
    last = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # The last round's messages to brands go nowhere, as only categories are looked at.
    assert all("Brand" in name for name in last), last


def test_a_neighbour_moves_a_node_and_a_stranger_does_not():
    """One round: category 0 hears of brand 0 and categories 1 and 3, and of nothing else."""
    model, x = encoder(layers=1).eval(), features()
    base = model(contracted(), x)["Category"][0]
    moved = {}
    for label, n in (("Brand", 3), ("Category", 4)):
        for node in range(n):
            other = {key: value.clone() for key, value in x.items()}
            other[label][node] += 1
            moved[label, node] = not torch.equal(model(contracted(), other)["Category"][0], base)
    heard = {("Brand", 0), ("Category", 0), ("Category", 1), ("Category", 3)}
    assert {key for key, value in moved.items() if value} == heard


@pytest.mark.parametrize("training", [True, False])
def test_co_purchases_are_hidden_in_training_only(training):
    model = encoder(layers=1, dropout=0.0, copurchase_dropout=1.0).train(training)
    graph = shop_graph()
    for edge_type in (WITH, back(WITH)):
        graph[edge_type].edge_weight = graph[edge_type].edge_weight.flip(0)
    other = adjacency(contract(graph, "Product"))
    other.degrees = contracted().degrees
    same = torch.equal(model(contracted(), features())["Category"], model(other, features())["Category"])
    assert same == training


def test_co_purchases_are_hidden_from_a_share_of_nodes():
    model = encoder(layers=1, dropout=0.0, copurchase_dropout=0.5).train()
    torch.manual_seed(0)
    outs = torch.stack([model(contracted(), features())["Category"] for _ in range(200)])
    open_, hidden = model.eval()(contracted(), features())["Category"], encoder(layers=1, copurchase_dropout=1.0)
    hidden.dropout.p = 0.0
    closed = hidden.train()(contracted(), features())["Category"]
    share = torch.isclose(outs, open_).all(dim=2).float().mean(dim=0)
    assert (torch.isclose(outs, open_).all(dim=2) | torch.isclose(outs, closed).all(dim=2)).all()
    assert ((share > 0.35) & (share < 0.65)).all()


def test_evaluation_repeats_itself_and_training_does_not():
    model = encoder()
    assert torch.equal(model.eval()(contracted(), {})["Brand"], model(contracted(), {})["Brand"])
    model.train()
    assert not torch.equal(model(contracted(), {})["Brand"], model(contracted(), {})["Brand"])


def test_a_new_node_is_encoded_without_a_new_weight():
    """Inductive: the same weights encode a graph with one more category."""
    graph = shop_graph()
    graph["Category"].num_nodes = 5
    found = encoder().eval()(adjacency(contract(graph, "Product")), {})
    assert found["Category"].shape == (5, DIM)
    torch.testing.assert_close(found["Category"][:4], encoder().eval()(contracted(), {})["Category"])


def test_without_edges_is_the_graph_that_never_had_them():
    data, less = shop_graph(), shop_graph()
    before = adjacency(data)
    put(less, WITH, [(0, 1), (1, 2), (2, 1)], [0.5, 2.0, 1.0])
    asked, never = without_edges(before, "BOUGHT_WITH", "Category", np.array([3])), adjacency(less)
    for edge_type, matrix in never.matrices.items():
        torch.testing.assert_close(asked.matrices[edge_type].to_dense(), matrix.to_dense())
    for label, degrees in never.degrees.items():
        torch.testing.assert_close(asked.degrees[label], degrees)
    assert before.matrices[WITH].to_dense()[0, 3] > 0
