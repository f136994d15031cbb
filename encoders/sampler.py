"""Subgraphs around some nodes, for graphs whose whole is too large for every step: a neighbour sampler in plain torch.

A node's vector after L rounds of message passing depends on what lies within L hops of it. The sampler collects, from
the seeds outwards, at most ``fanouts[hop]`` incoming edges per node and relation (GraphSAGE, Hamilton et al., NeurIPS
2017), and gives the `Adjacency` of what it met: `GraphEncoder` runs on it unchanged. With all neighbours taken, the
seeds' vectors and the gradients are those of the whole graph; with fewer, each mean over neighbours is a mean over a
uniform sample of them, drawn without replacement.

Where the edges lie is not the sampler's business: it asks `Neighbours`. `GraphInMemory` holds them in CSR here;
``kg.remote.StoredGraph`` asks the graph's database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.sampler import BaseSampler, EdgeSamplerInput, HeteroSamplerOutput, NodeSamplerInput

from encoders.graph import Adjacency, EdgeType, adjacency

ALL = -1
Links = tuple[Tensor, Tensor, Tensor]


class Neighbours(Protocol):
    """A graph that answers who points at a node. A node's incoming edges are numbered in the order of their sources."""

    @property
    def num_nodes(self) -> Mapping[str, int]:
        """Number of nodes by type."""

    @property
    def edge_types(self) -> Sequence[EdgeType]:
        """All relations, reverse ones included."""

    def degree(self, edge_type: EdgeType, targets: Tensor) -> Tensor:
        """Number of incoming edges of some targets, shape (n,), int64."""

    def links(self, edge_type: EdgeType, targets: Tensor, rows: Tensor, places: Tensor) -> Links:
        """Some incoming edges of some targets.

        Args:
            edge_type: (source, relation, target).
            targets: positions of the targets, distinct, shape (n,).
            rows: for each edge asked for its target, as a position in ``targets``, ascending, shape (m,).
            places: and which of that target's edges it is, from 0, shape (m,).

        Returns:
            rows (m,), positions of the sources (m,), both int64, and weights (m,), float32, in any order.
        """


@dataclass
class Subgraph:
    """What was met around some seeds.

    Attributes:
        adjacency: the sampled edges, ready for `GraphEncoder`, over the nodes below in their order. The degrees are
            those of the whole graph.
        nodes: by node type the positions in the whole graph, seeds first in the order given, shape (n,).
        seeds: number of seeds by node type.
        index: sampled edges by relation, shape (2, edges), in positions of ``nodes``.
    """

    adjacency: Adjacency
    nodes: dict[str, Tensor]
    seeds: dict[str, int]
    index: dict[EdgeType, Tensor]

    def take(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rows of the whole graph's features, by node type, for the nodes that were met."""
        return {node: values[self.nodes[node]] for node, values in features.items()}

    def of_seeds(self, vectors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The seeds' rows of the encoder's output, in the order in which the seeds were given."""
        return {node: vectors[node][:n] for node, n in self.seeds.items()}


class GraphInMemory:
    """A graph's edges in memory, by target (CSR): 12 bytes an edge.

    Args:
        graph: with reverse relations, and with ``edge_weight`` where a relation is weighted.
    """

    def __init__(self, graph: HeteroData) -> None:
        self.num_nodes = {node: int(graph[node].num_nodes) for node in graph.node_types}
        self.edge_types: list[EdgeType] = list(graph.edge_types)
        self._edges = {edge_type: _by_target(graph, edge_type) for edge_type in self.edge_types}

    def degree(self, edge_type: EdgeType, targets: Tensor) -> Tensor:
        """See `Neighbours`."""
        starts = self._edges[edge_type][0]
        return starts[targets + 1] - starts[targets]

    def links(self, edge_type: EdgeType, targets: Tensor, rows: Tensor, places: Tensor) -> Links:
        """See `Neighbours`; edges are in the order of their sources."""
        starts, sources, weights = self._edges[edge_type]
        at = starts[targets][rows] + places
        return rows, sources[at].long(), weights[at]


def _by_target(graph: HeteroData, edge_type: EdgeType) -> tuple[Tensor, Tensor, Tensor]:
    """Starts of the targets' edges, sources, weights; several edges between two nodes become one, as in `adjacency`."""
    source, _, target = edge_type
    row, column = graph[edge_type].edge_index.numpy()
    weight = graph[edge_type].get("edge_weight")
    data = np.ones(len(row), dtype=np.float32) if weight is None else weight.numpy()
    shape = (int(graph[target].num_nodes), int(graph[source].num_nodes))
    matrix = sp.csr_array((data, (column, row)), shape=shape)
    matrix.sort_indices()
    parts = (matrix.indptr.astype(np.int64), matrix.indices, matrix.data.astype(np.float32))
    starts, sources, weights = (torch.from_numpy(part) for part in parts)
    return starts, sources, weights


class NeighbourSampler:
    """Collects subgraphs around seeds. The same seed, draw and seeds give the same subgraph.

    Args:
        graph: where the edges lie.
        fanouts: for each round of message passing, from the seeds outwards, the largest number of incoming edges
            taken per node and relation; -1 takes all.
        seed: of the random numbers.

    Raises:
        ValueError: no fanout, or one that is neither -1 nor positive.
    """

    def __init__(self, graph: Neighbours, fanouts: Sequence[int], seed: int = 0) -> None:
        if not fanouts or any(k < 1 and k != ALL for k in fanouts):
            raise ValueError(f"fanouts are {list(fanouts)}: give one per round, each -1 or positive")
        self.graph, self.fanouts, self.seed = graph, list(fanouts), seed

    def sample(self, seeds: Mapping[str, Tensor], draw: int = 0) -> Subgraph:
        """The subgraph around some nodes.

        Args:
            seeds: distinct positions by node type, int64.
            draw: number of the draw, such as a step: another one gives another sample.

        Raises:
            ValueError: a seed is named twice, or is no node.
        """
        self._check(seeds)
        generator = torch.Generator().manual_seed(_mixed(self.seed, draw))
        met, found, frontier = _Met(self.graph.num_nodes, seeds), _Found(), dict(seeds)
        for fanout in self.fanouts:
            reached = self._hop(frontier, fanout, generator, found)
            frontier = {node: met.add(node, sources) for node, sources in reached.items()}
        index = {edge_type: met.local(edge_type, found) for edge_type in self.graph.edge_types}
        return self._subgraph(met.nodes, index, found, {node: len(values) for node, values in seeds.items()})

    def batches(self, node: str, positions: Tensor, size: int, epoch: int = 0) -> Iterator[Subgraph]:
        """Subgraphs around all given nodes of a type, a batch at a time, in an order drawn for the epoch."""
        order = torch.randperm(len(positions), generator=torch.Generator().manual_seed(_mixed(self.seed, epoch, 1)))
        for step, chosen in enumerate(positions[order].split(size)):
            yield self.sample({node: chosen}, _mixed(epoch, step))

    def _check(self, seeds: Mapping[str, Tensor]) -> None:
        for node, values in seeds.items():
            if len(values.unique()) != len(values):
                raise ValueError(f"a seed of {node!r} is named twice")
            if len(values) and not 0 <= int(values.min()) <= int(values.max()) < self.graph.num_nodes[node]:
                raise ValueError(f"a seed of {node!r} is none of its {self.graph.num_nodes[node]} nodes")

    def _hop(
        self, frontier: Mapping[str, Tensor], fanout: int, generator: torch.Generator, found: _Found
    ) -> dict[str, Tensor]:
        """Edges into the frontier; the sources that they come from, by node type."""
        reached: dict[str, list[Tensor]] = {}
        for edge_type in self.graph.edge_types:
            targets = frontier.get(edge_type[2])
            if targets is None or not len(targets):
                continue
            rows, places = choose(self.graph.degree(edge_type, targets), fanout, generator)
            if len(rows):
                rows, sources, weights = self.graph.links(edge_type, targets, rows, places)
                found.add(edge_type, sources, targets[rows], weights)
                reached.setdefault(edge_type[0], []).append(sources)
        return {node: torch.cat(parts) for node, parts in reached.items()}

    def _subgraph(
        self, nodes: dict[str, Tensor], index: dict[EdgeType, Tensor], found: _Found, seeds: dict[str, int]
    ) -> Subgraph:
        graph = HeteroData()
        for node, values in nodes.items():
            graph[node].num_nodes = len(values)
        for edge_type, of_type in index.items():
            graph[edge_type].edge_index, graph[edge_type].edge_weight = of_type, found.weights(edge_type)
        ready = adjacency(graph)
        ready.degrees = {node: self._degrees(node, values) for node, values in nodes.items()}
        return Subgraph(ready, nodes, seeds, index)

    def _degrees(self, node: str, positions: Tensor) -> Tensor:
        """log(1 + incoming edges) in the whole graph, shape (n, 1)."""
        total = torch.zeros(len(positions), dtype=torch.float32)
        for edge_type in self.graph.edge_types:
            if edge_type[2] == node:
                total += self.graph.degree(edge_type, positions)
        return total.log1p()[:, None]


def choose(degrees: Tensor, fanout: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw edges of each node, uniformly and without replacement, at a cost that does not grow with the degrees.

    Args:
        degrees: number of edges of each node, shape (n,), int64.
        fanout: edges wanted of each; nodes with no more, and -1, give all.
        generator: source of the random numbers.

    Returns:
        node (ascending) and place (from 0) of each drawn edge, both of shape (m,).
    """
    counts = degrees if fanout == ALL else degrees.clamp(max=fanout)
    rows = torch.repeat_interleave(torch.arange(len(degrees)), counts)
    places = torch.arange(len(rows)) - torch.repeat_interleave(counts.cumsum(0) - counts, counts)
    if fanout != ALL:
        large = degrees > fanout
        places[large[rows]] = _distinct(degrees[large], fanout, generator).flatten()
    return rows, places


def _distinct(sizes: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """k distinct numbers below each size (all > k), shape (n, k): Floyd's algorithm (Bentley and Floyd, CACM 1987)."""
    picked = torch.full((len(sizes), k), -1, dtype=torch.int64)
    for i in range(k):
        last = sizes - k + i
        drawn = (torch.rand(len(sizes), generator=generator, dtype=torch.float64) * (last + 1)).long()
        taken = (picked[:, :i] == drawn[:, None]).any(dim=1)
        picked[:, i] = torch.where(taken, last, drawn)
    return picked


class _Met:
    """The nodes met so far, by type, in the order of meeting."""

    def __init__(self, node_types: Mapping[str, int], seeds: Mapping[str, Tensor]) -> None:
        nothing = torch.empty(0, dtype=torch.int64)
        self.nodes = {node: seeds.get(node, nothing) for node in node_types}

    def add(self, node: str, positions: Tensor) -> Tensor:
        """Take up nodes; those that were not met before, sorted."""
        distinct = positions.unique()
        new = distinct[~torch.isin(distinct, self.nodes[node])]
        self.nodes[node] = torch.cat([self.nodes[node], new])
        return new

    def local(self, edge_type: EdgeType, found: _Found) -> Tensor:
        """The edges found of a relation, shape (2, edges), in the order of meeting."""
        ends = zip((edge_type[0], edge_type[2]), found.ends(edge_type), strict=True)
        return torch.stack([self._places(node, positions) for node, positions in ends])

    def _places(self, node: str, positions: Tensor) -> Tensor:
        ordered, order = self.nodes[node].sort()
        return order[torch.searchsorted(ordered, positions)] if len(positions) else positions


class _Found:
    """The edges found so far, by relation: sources, targets, weights."""

    def __init__(self) -> None:
        self._parts: dict[EdgeType, list[Links]] = {}

    def add(self, edge_type: EdgeType, sources: Tensor, targets: Tensor, weights: Tensor) -> None:
        self._parts.setdefault(edge_type, []).append((sources, targets, weights))

    def ends(self, edge_type: EdgeType) -> tuple[Tensor, Tensor]:
        parts = self._parts.get(edge_type, [])
        sources, targets = (torch.cat([torch.empty(0, dtype=torch.int64), *(p[i] for p in parts)]) for i in (0, 1))
        return sources, targets

    def weights(self, edge_type: EdgeType) -> Tensor:
        return torch.cat([torch.empty(0), *(part[2] for part in self._parts.get(edge_type, []))])


def _mixed(*numbers: int) -> int:
    """One seed out of several numbers, so that neighbouring ones have nothing in common."""
    return int(np.random.SeedSequence([number % 2**63 for number in numbers]).generate_state(1, np.uint64)[0] >> 1)


class LoaderSampler(BaseSampler):
    """The sampler under PyG's interface, for its ``NodeLoader`` over a feature store and a graph store.

    Args:
        sampler: does the work.

    Attributes:
        draw: number of the draw; raise it with every epoch. Batches differ by their seeds as well.
    """

    def __init__(self, sampler: NeighbourSampler) -> None:
        self.sampler, self.draw = sampler, 0

    def sample_from_nodes(self, index: NodeSamplerInput, **_: object) -> HeteroSamplerOutput:
        """The subgraph around the loader's nodes; edge numbers are not given."""
        first = int(index.node[0]) if len(index.node) else 0
        found = self.sampler.sample({str(index.input_type): index.node}, _mixed(self.draw, first))
        return HeteroSamplerOutput(
            node=found.nodes,
            row={edge_type: ends[0] for edge_type, ends in found.index.items()},
            col={edge_type: ends[1] for edge_type, ends in found.index.items()},
            edge=None,
            metadata=(index.input_id, index.time),
        )

    def sample_from_edges(self, index: EdgeSamplerInput, **_: object) -> HeteroSamplerOutput:
        """Refused: PyG's ``LinkLoader`` asks this; sample around both ends of the edges instead."""
        raise TypeError("this sampler starts from nodes; use NodeLoader")
