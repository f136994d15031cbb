"""The catalogue's graph in vectors: a heterogeneous message-passing network (PyG)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import GraphConv, HeteroConv

EdgeType = tuple[str, str, str]


@dataclass
class GraphConfig:
    """The graph encoder.

    Attributes:
        layers: rounds of message passing.
        dropout: share of node features dropped between rounds.
        edge_dropout: share of co-purchase edges dropped in each training step.
    """

    layers: int = 2
    dropout: float = 0.2
    edge_dropout: float = 0.1


def contract(graph: HeteroData, leaf: str) -> HeteroData:
    """The graph without its leaves: what met in a leaf is joined directly, weighted by log(1 + leaves).

    Products are the bulk of a catalogue, and each only passes messages between its taxonomy node, its
    manufacturer, its brand. The contracted graph carries these messages at a cost that does not grow with the
    number of products; products themselves are encoded on demand from their neighbours.

    Args:
        graph: with ``rev_`` relations for every relation.
        leaf: node type to take out.

    Returns:
        A graph of the other node types with their own relations and ``(a, "via_LEAF", b)`` relations with
        ``edge_weight``, for every two node types that leaves point at.
    """
    out = HeteroData()
    for node in graph.node_types:
        if node != leaf:
            out[node].num_nodes = graph[node].num_nodes
    for edge_type in graph.edge_types:
        if leaf not in (edge_type[0], edge_type[2]):
            for key, value in graph[edge_type].items():
                out[edge_type][key] = value
    spokes = {t: _incidence(graph, t) for t in graph.edge_types if t[0] == leaf and t[2] != leaf}
    for first, left in spokes.items():
        for second, right in spokes.items():
            if first[2] != second[2]:
                _add_contracted(out, (first[2], f"via_{leaf}", second[2]), left, right)
    return out


def _incidence(graph: HeteroData, edge_type: EdgeType) -> sp.csr_matrix:
    n = (graph[edge_type[0]].num_nodes, graph[edge_type[2]].num_nodes)
    row, column = graph[edge_type].edge_index.numpy()
    return sp.csr_matrix((np.ones(len(row), dtype=np.float32), (row, column)), shape=n)


def _add_contracted(out: HeteroData, edge_type: EdgeType, left: sp.csr_matrix, right: sp.csr_matrix) -> None:
    joined = sp.coo_matrix(left.T @ right)
    out[edge_type].edge_index = torch.from_numpy(np.stack([joined.row, joined.col]).astype(np.int64))
    out[edge_type].edge_weight = torch.from_numpy(np.log1p(joined.data).astype(np.float32))


def _key(node: str) -> str:
    """A module name for a label, which may be one that torch reserves (such as "type")."""
    return f"node_{node}"


class GraphEncoder(nn.Module):
    """Relational message passing with residual connections.

    For each relation r: m_i = W_r · (Σ_j w_ij x_j / Σ_j w_ij) over i's neighbours j (GraphConv, Morris et al.,
    "Weisfeiler and Leman Go Neural", AAAI 2019, with mean aggregation as in Schlichtkrull et al., "Modeling
    Relational Data with Graph Convolutional Networks", ESWC 2018); messages of all relations are summed,
    x_i ← LayerNorm(x_i + dropout(GELU(Σ_r m_i))).

    Nothing is learnt per node: a node is what its features and its neighbours say, so new nodes can be encoded.

    Args:
        node_types: labels of the nodes.
        edge_types: (source, relation, target) triples; must contain reverse relations.
        dim: width of all vectors.
        config: depth and dropout.
    """

    def __init__(self, node_types: list[str], edge_types: list[EdgeType], dim: int, config: GraphConfig) -> None:
        super().__init__()
        self.config = config
        self.label = nn.ParameterDict({_key(node): nn.Parameter(torch.randn(dim) * 0.1) for node in node_types})
        self.degree = nn.Linear(1, dim)
        self.layers = nn.ModuleList(
            HeteroConv({t: GraphConv(dim, dim, aggr="add", bias=False) for t in edge_types}, aggr="sum")
            for _ in range(config.layers)
        )
        self.norms = nn.ModuleList(
            nn.ModuleDict({_key(node): nn.LayerNorm(dim) for node in node_types}) for _ in range(config.layers)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, graph: HeteroData, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Encode every node.

        Args:
            graph: relations with ``edge_index`` and, where there is one, ``edge_weight``.
            features: for some node types a tensor of shape (nodes, dim), such as projected text.

        Returns:
            For each node type a tensor of shape (nodes, dim).
        """
        x = {node: self._start(graph, node, features) for node in graph.node_types}
        weights = {t: self._weights(graph, t) for t in graph.edge_types}
        for layer, norm in zip(self.layers, self.norms, strict=True):
            messages = layer(x, graph.edge_index_dict, edge_weight_dict=weights)
            x = {
                node: norm[_key(node)](x[node] + self.dropout(nn.functional.gelu(messages[node])))
                if node in messages
                else x[node]
                for node in x
            }
        return x

    def _start(self, graph: HeteroData, node: str, features: dict[str, Tensor]) -> Tensor:
        degree = torch.zeros(graph[node].num_nodes, device=self.degree.weight.device)
        for edge_type in graph.edge_types:
            if edge_type[2] == node:
                index = graph[edge_type].edge_index[1]
                degree.index_add_(0, index, torch.ones_like(index, dtype=degree.dtype))
        start = self.label[_key(node)] + self.degree(torch.log1p(degree)[:, None])
        return start + features[node] if node in features else start

    def _weights(self, graph: HeteroData, edge_type: EdgeType) -> Tensor:
        """Edge weights that sum to 1 over each node's incoming edges of the relation."""
        index = graph[edge_type].edge_index[1]
        weight = graph[edge_type].get("edge_weight")
        weight = torch.ones(len(index), device=index.device) if weight is None else weight
        if self.training and "BOUGHT_WITH" in edge_type[1] and self.config.edge_dropout:
            weight = weight * (torch.rand_like(weight) >= self.config.edge_dropout)
        total = torch.zeros(graph[edge_type[2]].num_nodes, device=index.device).index_add_(0, index, weight)
        return weight / total[index].clamp_min(1e-6)
