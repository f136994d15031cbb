"""The sampler: with every neighbour it is the whole graph, with fewer a fair draw that repeats itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import HeteroData
from torch_geometric.loader import NodeLoader
from torch_geometric.nn import HeteroConv, SAGEConv

from encoders.graph import GraphConfig, GraphEncoder, adjacency, contract
from encoders.sampler import GraphInMemory, LoaderSampler, NeighbourSampler, choose

SIZES = {"Product": 60, "Type": 9, "Brand": 5, "Lonely": 2}
DIM = 6
EVERY = [-1, -1]


def _put(graph, edge_type, pairs, weight=None):
    source, name, target = edge_type
    for key, index in ((edge_type, pairs), ((target, f"rev_{name}", source), pairs.flip(0))):
        graph[key].edge_index = index
        if weight is not None:
            graph[key].edge_weight = weight


def random_graph(seed=0, products=60):
    """Products in types and with brands, types bought together; several edges between two nodes, nodes without any."""
    generator = torch.Generator().manual_seed(seed)
    graph = HeteroData()
    for label, n in (SIZES | {"Product": products}).items():
        graph[label].num_nodes = n

    def pairs(m, sources, targets):
        ends = [torch.randint(n, (m,), generator=generator) for n in (sources, targets)]
        return torch.stack(ends)

    _put(graph, ("Product", "IN", "Type"), pairs(2 * products, products, 9))
    _put(graph, ("Product", "BY", "Brand"), pairs(products // 2, products, 4))
    _put(graph, ("Type", "BOUGHT_WITH", "Type"), pairs(20, 9, 9), torch.rand(20, generator=generator) + 0.1)
    return graph


def make_encoder(graph, layers=2):
    torch.manual_seed(0)
    config = GraphConfig(layers=layers, dropout=0.0, copurchase_dropout=0.0)
    return GraphEncoder(graph.node_types, graph.edge_types, DIM, config)


def make_features(graph, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {
        label: torch.randn(int(graph[label].num_nodes), DIM, generator=generator, requires_grad=True)
        for label in graph.node_types
        if label != "Lonely"
    }


def gradients(model, features, out, weight):
    model.zero_grad()
    for value in features.values():
        value.grad = None
    sum((out[label] * weight[label]).sum() for label in out).backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return found | {label: value.grad for label, value in features.items() if value.grad is not None}


@pytest.mark.parametrize("contracted", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_every_neighbour_gives_what_the_whole_graph_gives(contracted, layers):
    graph = contract(random_graph(), "Product") if contracted else random_graph()
    model, features = make_encoder(graph, layers), make_features(graph)
    seeds = {"Type": torch.tensor([7, 2, 5]), "Lonely": torch.tensor([1])}
    seeds |= {} if contracted else {"Product": torch.tensor([59, 0, 13])}
    sub = NeighbourSampler(GraphInMemory(graph), [-1] * layers).sample(seeds)
    whole = model(adjacency(graph), features)
    expected = {label: whole[label][at] for label, at in seeds.items()}
    weight = {label: torch.randn_like(value) for label, value in expected.items()}
    expected_gradients = gradients(model, features, expected, weight)
    found = sub.of_seeds(model(sub.adjacency, sub.take(features)))
    for label, value in expected.items():
        torch.testing.assert_close(found[label], value)
    found_gradients = gradients(model, features, found, weight)
    for name, value in expected_gradients.items():
        torch.testing.assert_close(found_gradients.get(name, torch.zeros_like(value)), value, atol=1e-5, rtol=1e-4)
    assert expected_gradients["Type"].abs().sum() > 0


def test_what_is_too_far_away_is_not_met():
    graph = HeteroData()
    graph["N"].num_nodes = 6
    _put(graph, ("N", "TO", "N"), torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]]))
    for hops in (1, 2, 3):
        met = NeighbourSampler(GraphInMemory(graph), [-1] * hops).sample({"N": torch.tensor([0])}).nodes["N"]
        assert sorted(met.tolist()) == list(range(hops + 1))


def test_degrees_are_those_of_the_whole_graph():
    graph = random_graph()
    whole = adjacency(graph).degrees
    sub = NeighbourSampler(GraphInMemory(graph), [2, 1]).sample({"Type": torch.tensor([3, 1])})
    for label, nodes in sub.nodes.items():
        torch.testing.assert_close(sub.adjacency.degrees[label], whole[label][nodes])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**9),
    fanouts=st.lists(st.sampled_from([-1, 1, 2, 5]), min_size=1, max_size=3),
    seeds=st.sets(st.integers(0, 59), min_size=1, max_size=8),
)
def test_a_sample_is_a_part_of_the_graph(seed, fanouts, seeds):
    graph = random_graph(seed % 7)
    at = torch.tensor(sorted(seeds))
    sub = NeighbourSampler(GraphInMemory(graph), fanouts, seed).sample({"Product": at})
    assert sub.nodes["Product"][: len(at)].equal(at)
    for label, nodes in sub.nodes.items():
        assert len(nodes.unique()) == len(nodes), label
    limit = max(10**6 if k == -1 else k for k in fanouts)
    for edge_type, (source, target) in sub.index.items():
        ends = sub.nodes[edge_type[0]][source], sub.nodes[edge_type[2]][target]
        pairs = set(zip(*(end.tolist() for end in ends), strict=True))
        assert len(pairs) == len(source)
        assert pairs <= set(zip(*graph[edge_type].edge_index.tolist(), strict=True))
        assert not len(target) or int(target.bincount().max()) <= limit


def test_the_same_seed_draws_the_same_and_another_does_not():
    graph, seeds = GraphInMemory(random_graph()), {"Type": torch.arange(9)}

    def drawn(seed, draw):
        index = NeighbourSampler(graph, [3, 2], seed).sample(seeds, draw).index
        return torch.cat([index[t].flatten() for t in graph.edge_types]).tolist()

    assert drawn(5, 1) == drawn(5, 1)
    assert drawn(5, 1) != drawn(6, 1)
    assert drawn(5, 1) != drawn(5, 2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=12), st.sampled_from([-1, 1, 3, 10]), st.integers(0, 10**6))
def test_places_are_distinct_and_as_many_as_asked(degrees, fanout, seed):
    rows, places = choose(torch.tensor(degrees, dtype=torch.int64), fanout, torch.Generator().manual_seed(seed))
    assert rows.tolist() == sorted(rows.tolist())
    for row, degree in enumerate(degrees):
        mine = places[rows == row].tolist()
        assert len(mine) == len(set(mine)) == (degree if fanout == -1 else min(degree, fanout))
        assert all(0 <= place < degree for place in mine)


def test_every_place_is_as_likely_as_another():
    degrees = torch.full((20_000,), 7)
    _, places = choose(degrees, 3, torch.Generator().manual_seed(0))
    share = places.bincount(minlength=7) / len(degrees)
    np.testing.assert_allclose(share.numpy(), 3 / 7, atol=0.02)


def test_batches_pass_over_every_node_once_in_an_order_of_the_epoch():
    sampler = NeighbourSampler(GraphInMemory(random_graph()), [2], seed=3)
    positions = torch.arange(5, 42)
    orders = [
        [sub.nodes["Product"][: sub.seeds["Product"]] for sub in sampler.batches("Product", positions, 10, epoch)]
        for epoch in (0, 0, 1)
    ]
    assert [len(part) for part in orders[0]] == [10, 10, 10, 7]
    first, again, other = (torch.cat(order).tolist() for order in orders)
    assert sorted(first) == positions.tolist()
    assert first == again != other


def test_training_on_samples_learns():
    """A number per type: trained on samples only, the loss on the whole graph falls to below a third."""
    graph = random_graph()
    model, features = make_encoder(graph), {"Product": torch.randn(60, DIM)}
    head, wanted = torch.nn.Linear(DIM, 1), torch.randn(9, 1)

    def loss_of(vectors, types):
        return (head(vectors["Type"]) - wanted[types]).square().mean()

    optimiser = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=0.02)
    sampler, whole = NeighbourSampler(GraphInMemory(graph), [10, 5]), adjacency(graph)
    before = loss_of(model(whole, features), torch.arange(9)).item()
    for epoch in range(60):
        for sub in sampler.batches("Type", torch.arange(9), 3, epoch):
            optimiser.zero_grad()
            found = sub.of_seeds(model(sub.adjacency, sub.take(features)))
            loss_of(found, sub.nodes["Type"][:3]).backward()
            optimiser.step()
    assert loss_of(model(whole, features), torch.arange(9)).item() < before / 3


def test_pyg_loader_with_this_sampler():
    """PyG's ``NodeLoader`` needs no compiled library with it; its own layers give what they give on the whole graph."""
    graph = random_graph()
    for label in graph.node_types:
        graph[label].x = torch.randn(int(graph[label].num_nodes), DIM)
    torch.manual_seed(0)
    layer = HeteroConv({t: SAGEConv((DIM, DIM), DIM) for t in graph.edge_types})
    whole = layer(graph.x_dict, {t: graph[t].edge_index.unique(dim=1) for t in graph.edge_types})
    sampler = LoaderSampler(NeighbourSampler(GraphInMemory(graph), [-1]))
    asked = torch.tensor([8, 0, 4, 1])
    seen = []
    for batch in NodeLoader((graph, graph), sampler, input_nodes=("Type", asked), batch_size=3):
        size = batch["Type"].batch_size
        found = layer(batch.x_dict, batch.edge_index_dict)["Type"][:size]
        nodes = batch["Type"].n_id[:size]
        torch.testing.assert_close(found, whole["Type"][nodes])
        seen += nodes.tolist()
    assert seen == asked.tolist()
    with pytest.raises(TypeError, match="starts from nodes"):
        sampler.sample_from_edges(None)


@pytest.mark.parametrize("fanouts", [[], [0], [3, -2]])
def test_fanouts_that_are_none(fanouts):
    with pytest.raises(ValueError, match="each -1 or positive"):
        NeighbourSampler(GraphInMemory(random_graph()), fanouts)


@pytest.mark.parametrize(("seeds", "told"), [([1, 1], "named twice"), ([9], "none of its 9"), ([-1], "none of its 9")])
def test_seeds_that_are_none(seeds, told):
    with pytest.raises(ValueError, match=told):
        NeighbourSampler(GraphInMemory(random_graph()), EVERY).sample({"Type": torch.tensor(seeds)})
