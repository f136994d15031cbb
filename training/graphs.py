"""From the graph that was read back from the store to what the model passes messages over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from encoders.graph import Adjacency, EdgeType, adjacency, contract, incidence, to_torch
from kg.readback import GraphData


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


def model_graph(graph: GraphData, leaf: str = "Product") -> ModelGraph:
    """Prepare a read-back graph: co-purchase edges weigh log(1 + lift) · confidence, products are contracted."""
    data = graph.data
    for edge_type in data.edge_types:
        if "BOUGHT_WITH" in edge_type[1]:
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


def _connected(graph: HeteroData) -> HeteroData:
    """Without relations that have no edge: their weights could learn nothing."""
    for edge_type in graph.edge_types:
        if graph[edge_type].edge_index.shape[1] == 0:
            del graph[edge_type]
    return graph
