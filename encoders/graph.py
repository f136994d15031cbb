"""The catalogue's graph in vectors: a heterogeneous message-passing network (PyG)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import HeteroConv, MessagePassing

from encoders.config import GraphConfig

EdgeType = tuple[str, str, str]


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
    spokes = {t: incidence(graph, t) for t in graph.edge_types if t[0] == leaf and t[2] != leaf}
    for first, left in spokes.items():
        for second, right in spokes.items():
            if first[2] != second[2]:
                _add_contracted(out, (first[2], f"via_{leaf}", second[2]), left, right)
    return out


def incidence(graph: HeteroData, edge_type: EdgeType) -> sp.csr_array:
    """A relation as a 0/1 matrix, CSR of shape (sources, targets), float32."""
    shape = (graph[edge_type[0]].num_nodes, graph[edge_type[2]].num_nodes)
    row, column = graph[edge_type].edge_index.numpy()
    return sp.csr_array((np.ones(len(row), dtype=np.float32), (row, column)), shape=shape)


def _add_contracted(out: HeteroData, edge_type: EdgeType, left: sp.csr_array, right: sp.csr_array) -> None:
    joined = sp.coo_array(left.T @ right)
    out[edge_type].edge_index = torch.from_numpy(np.stack([joined.row, joined.col]).astype(np.int64))
    out[edge_type].edge_weight = torch.from_numpy(np.log1p(joined.data).astype(np.float32))


@dataclass
class Adjacency:
    """A graph ready for message passing.

    Attributes:
        num_nodes: by node type.
        matrices: for each relation a sparse CSR tensor of shape (targets, sources), rows summing to 1.
        degrees: log(1 + incoming relations) of each node by node type, shape (nodes, 1).
    """

    num_nodes: dict[str, int]
    matrices: dict[EdgeType, Tensor]
    degrees: dict[str, Tensor]

    def to(self, device: torch.device | str) -> Adjacency:
        """The same on another device."""
        return Adjacency(
            self.num_nodes,
            {key: value.to(device) for key, value in self.matrices.items()},
            {key: value.to(device) for key, value in self.degrees.items()},
        )


def adjacency(graph: HeteroData) -> Adjacency:
    """Normalise a graph's relations for mean aggregation, weighted by ``edge_weight`` where there is one."""
    num_nodes = {node: int(graph[node].num_nodes) for node in graph.node_types}
    degrees = {node: np.zeros(n, dtype=np.float32) for node, n in num_nodes.items()}
    matrices = {}
    for edge_type in graph.edge_types:
        source, _, target = edge_type
        row, column = graph[edge_type].edge_index.numpy()
        weight = graph[edge_type].get("edge_weight")
        data = np.ones(len(row), dtype=np.float32) if weight is None else weight.numpy()
        matrix = sp.csr_array((data, (column, row)), shape=(num_nodes[target], num_nodes[source]))
        degrees[target] += np.diff(matrix.indptr)
        matrices[edge_type] = _mean_rows(matrix)
    return Adjacency(
        num_nodes, matrices, {node: torch.from_numpy(np.log1p(value))[:, None] for node, value in degrees.items()}
    )


def without_edges(graph: Adjacency, relation: str, label: str, nodes: npt.NDArray[np.int64]) -> Adjacency:
    """The graph without the edges of some nodes in a relation, in either direction; the given graph is left alone.

    Args:
        graph: from `adjacency`.
        relation: part of the relation's name, so that its reverse is meant too.
        label: of the nodes.
        nodes: their positions, shape (n,).
    """
    kept = np.ones(graph.num_nodes.get(label, 0), dtype=np.float32)
    kept[nodes[nodes < len(kept)]] = 0
    matrices, degrees = dict(graph.matrices), {node: value.expm1().numpy() for node, value in graph.degrees.items()}
    for edge_type, tensor in graph.matrices.items():
        if relation not in edge_type[1] or label not in (edge_type[0], edge_type[2]):
            continue
        matrix = _scipy(tensor).copy()
        before = np.diff(matrix.indptr)
        rows = np.repeat(kept if edge_type[2] == label else np.ones(matrix.shape[0], np.float32), before)
        columns = kept[matrix.indices] if edge_type[0] == label else np.float32(1)
        matrix.data = matrix.data * rows * columns
        matrix.eliminate_zeros()
        degrees[edge_type[2]] = degrees[edge_type[2]] - (before - np.diff(matrix.indptr))[:, None]
        matrices[edge_type] = _mean_rows(matrix)
    logs = {node: torch.from_numpy(np.log1p(value).astype(np.float32)) for node, value in degrees.items()}
    return Adjacency(graph.num_nodes, matrices, logs)


def _mean_rows(matrix: sp.csr_array) -> Tensor:
    totals = np.maximum(np.abs(matrix).sum(axis=1), 1e-6)
    data = (matrix.data / np.repeat(totals, np.diff(matrix.indptr))).astype(np.float32)
    return to_torch(sp.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape))


def to_torch(matrix: sp.csr_array) -> Tensor:
    """A SciPy CSR matrix as a sparse CSR tensor, float32."""
    rows, columns = (torch.from_numpy(part.astype(np.int64)) for part in (matrix.indptr, matrix.indices))
    values = torch.from_numpy(matrix.data.astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "beta state"; the invariants hold by construction
        return torch.sparse_csr_tensor(rows, columns, values, matrix.shape)


class SparseProduct(torch.autograd.Function):
    """Constant sparse matrix × dense matrix, by SciPy on a CPU (about 20 times faster there than torch's CSR)."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, dense: Tensor) -> Tensor:  # noqa: ANN401
        """Matrix of shape (m, n) in CSR times dense of shape (n, d)."""
        ctx.matrix = matrix
        if dense.is_cuda:
            return torch.sparse.mm(matrix, dense)
        return torch.from_numpy(_scipy(matrix) @ dense.detach().numpy())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:  # noqa: ANN401
        """The transposed product; the matrix itself is constant."""
        if grad.is_cuda:
            return None, torch.sparse.mm(ctx.matrix.t(), grad)
        return None, torch.from_numpy(_scipy(ctx.matrix).T @ grad.contiguous().numpy())


def _scipy(matrix: Tensor) -> sp.csr_array:
    """A view of a CSR tensor; nothing is copied but the index types where SciPy wants others."""
    parts = (matrix.values().numpy(), matrix.col_indices().numpy(), matrix.crow_indices().numpy())
    return sp.csr_array(parts, shape=tuple(matrix.shape))


class MeanConv(MessagePassing):
    """m_i = W Σ_j Â_ij x_j with Â row-normalised: one relation of R-GCN (Schlichtkrull et al., ESWC 2018).

    Args:
        dim: width of the vectors, in and out.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(aggr="mean")
        self.weight = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor | tuple[Tensor, Tensor], edge_index: Tensor) -> Tensor:
        """Messages to the targets.

        Args:
            x: vectors of the sources, shape (sources, dim); of a pair (sources, targets) the first.
            edge_index: sparse CSR of shape (targets, sources), rows summing to 1.

        Returns:
            Shape (targets, dim).
        """
        aggregated: Tensor = SparseProduct.apply(edge_index, x[0] if isinstance(x, tuple) else x)
        out: Tensor = self.weight(aggregated)
        return out


class GraphEncoder(nn.Module):
    """Relational message passing with residual connections.

    Messages of all relations are summed: x_i ← LayerNorm(x_i + dropout(GELU(Σ_r m_i^r))), with m from `MeanConv`.
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
        bought = [t for t in edge_types if _from_purchases(t)]
        known = [t for t in edge_types if not _from_purchases(t)]
        self.known = nn.ModuleList(_relations(known, dim) for _ in range(config.layers))
        self.bought = nn.ModuleList(_relations(bought, dim) for _ in range(config.layers))
        self.norms = nn.ModuleList(
            nn.ModuleDict({_key(node): nn.LayerNorm(dim) for node in node_types}) for _ in range(config.layers)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, graph: Adjacency, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Encode every node.

        Args:
            graph: from `adjacency`.
            features: for some node types a tensor of shape (nodes, dim), such as projected text.

        Returns:
            For each node type a tensor of shape (nodes, dim).
        """
        x = {node: self._start(graph, node, features) for node in graph.num_nodes}
        hidden = {node: self._hidden(len(value), value) for node, value in x.items()}
        for known, bought, norm in zip(self.known, self.bought, self.norms, strict=True):
            messages = dict(known(x, graph.matrices))
            for node, message in bought(x, graph.matrices).items():
                shown = message.masked_fill(hidden[node], 0)
                messages[node] = messages[node] + shown if node in messages else shown
            x = {node: self._update(norm, node, value, messages.get(node)) for node, value in x.items()}
        return x

    def _start(self, graph: Adjacency, node: str, features: dict[str, Tensor]) -> Tensor:
        start = self.label[_key(node)] + self.degree(graph.degrees[node])
        return start + features[node] if node in features else start

    def _hidden(self, n: int, like: Tensor) -> Tensor:
        """Nodes whose co-purchase messages are left out in this step, shape (n, 1)."""
        share = self.config.copurchase_dropout if self.training else 0.0
        return torch.rand(n, 1, device=like.device) < share

    def _update(self, norm: nn.Module, node: str, value: Tensor, message: Tensor | None) -> Tensor:
        if message is None:
            return value
        assert isinstance(norm, nn.ModuleDict)
        out: Tensor = norm[_key(node)](value + self.dropout(nn.functional.gelu(message)))
        return out


def _from_purchases(edge_type: EdgeType) -> bool:
    return "BOUGHT_WITH" in edge_type[1]


def _relations(edge_types: list[EdgeType], dim: int) -> nn.Module:
    return HeteroConv({t: MeanConv(dim) for t in edge_types}, aggr="sum") if edge_types else _NoRelations()


class _NoRelations(nn.Module):
    """Stands where a graph has no relation of a kind."""

    def forward(self, x: dict[str, Tensor], matrices: dict[EdgeType, Tensor]) -> dict[str, Tensor]:
        return {}


def _key(node: str) -> str:
    """A module name for a label, which may be one that torch reserves (such as "type")."""
    return f"node_{node}"
