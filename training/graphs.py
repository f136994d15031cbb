"""From the graph that was read back from the store to what the model passes messages over."""

from __future__ import annotations

import copy
import zlib
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from encoders.config import GraphConfig
from encoders.graph import Adjacency, EdgeType, adjacency, contract, incidence, to_torch, without_edges
from kg.readback import GraphData
from kg.schema import BOUGHT_WITH


@dataclass(frozen=True)
class ModelGraph:
    """The graph at one cut-off, split in what is encoded in every step and the products, encoded on demand.

    Attributes:
        contracted: everything but the products.
        leaf: the products' label.
        neighbours: for each relation from products the reverse edge type's name and the row-normalised incidence,
            CSR of shape (products, neighbours).
        ids: ids of each label's nodes, shape (nodes,).
    """

    contracted: Adjacency
    leaf: str
    neighbours: dict[EdgeType, sp.csr_array]
    ids: dict[str, npt.NDArray[np.str_]]

    def rows(self, products: npt.NDArray[np.int64]) -> dict[EdgeType, Tensor]:
        """The neighbours of some products as sparse CSR tensors of shape (asked, neighbours)."""
        return {edge: to_torch(matrix[products]) for edge, matrix in self.neighbours.items()}

    def without_purchases(self, label: str, nodes: npt.NDArray[np.int64]) -> ModelGraph:
        """The same graph without the co-purchases of some nodes, as if nobody had bought them."""
        return replace(self, contracted=without_edges(self.contracted, BOUGHT_WITH, label, nodes))


def model_graph(
    graph: GraphData, config: GraphConfig | None = None, seed: int = 0, leaf: str = "Product"
) -> ModelGraph:
    """Prepare a read-back graph: co-purchase edges weigh log(1 + lift) · confidence, products are contracted.

    Args:
        graph: as read back; its tensors are left as they are.
        config: whether co-purchases are left out and edges shuffled; default neither.
        seed: of the shuffling.
        leaf: the products' label.
    """
    config = config or GraphConfig()
    data = graph.data if config.co_purchases else without_co_purchases(graph.data)
    data = shuffled(data, seed) if config.shuffled else data
    for edge_type in data.edge_types:
        if BOUGHT_WITH in edge_type[1]:
            confidence, lift = data[edge_type].edge_attr[:, 1], data[edge_type].edge_attr[:, 2]
            data[edge_type].edge_weight = confidence * torch.log1p(lift)
    neighbours = {}
    for edge_type in data.edge_types:
        if edge_type[0] == leaf and edge_type[2] != leaf:
            matrix = incidence(data, edge_type)
            scale = 1 / np.maximum(np.diff(matrix.indptr), 1).astype(np.float32)
            scaled = sp.csr_array(sp.dia_array((scale[None, :], [0]), shape=(len(scale), len(scale))) @ matrix)
            neighbours[(edge_type[2], f"rev_{edge_type[1]}", leaf)] = scaled
    return ModelGraph(adjacency(_connected(contract(data, leaf))), leaf, neighbours, graph.ids)


def without_co_purchases(graph: HeteroData) -> HeteroData:
    """The same nodes without `BOUGHT_WITH` and its reverse; the given graph is left alone."""
    out = copy.copy(graph)
    for edge_type in graph.edge_types:
        if BOUGHT_WITH in edge_type[1]:
            del out[edge_type]
    return out


def shuffled(graph: HeteroData, seed: int) -> HeteroData:
    """The same edges with the targets of each relation permuted; the given graph is left alone.

    Each node keeps its number of edges by relation, at either end, and each edge its attributes (a configuration
    model with fixed degrees, Newman, "Networks", 2010, chapter 13); the reverse relation is turned with it.

    Args:
        graph: with ``rev_`` relations for every relation.
        seed: same seed, relation and number of edges, same permutation: what does not change between two cut-offs is
            shuffled alike at both.
    """
    out = copy.copy(graph)
    for edge_type in graph.edge_types:
        source, name, target = edge_type
        if name.startswith("rev_"):
            continue
        index = graph[edge_type].edge_index
        rng = np.random.default_rng([seed, zlib.crc32("|".join(edge_type).encode())])
        index = torch.stack([index[0], index[1][torch.from_numpy(rng.permutation(index.shape[1]))]])
        out[edge_type].edge_index = index
        out[target, f"rev_{name}", source].edge_index = index.flip(0)
    return out


def _connected(graph: HeteroData) -> HeteroData:
    """Without relations that have no edge: their weights could learn nothing."""
    for edge_type in graph.edge_types:
        if graph[edge_type].edge_index.shape[1] == 0:
            del graph[edge_type]
    return graph
