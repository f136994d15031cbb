"""The whole model: encoders, attention fusion, heads. Every score is one expression of one gradient."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from encoders.graph import Adjacency, EdgeType, GraphEncoder, SparseProduct
from encoders.history import HistoryEncoder
from fusion.attention import ModalityFusion
from fusion.config import ModelConfig
from fusion.heads import InterestHead
from fusion.joining import modality_fusion
from fusion.rerank import RerankHead
from fusion.standard import Standardise
from fusion.within import WithinHead


@dataclass(frozen=True)
class Step:
    """One step down from the interest level.

    Attributes:
        label: the children's node label.
        item_features: width of the per-child evidence.
        pair_features: number of kinds of per-pair evidence.
        rerank_features: width of the evidence on candidates; 0: they get no re-ranking.
    """

    label: str
    item_features: int
    pair_features: int
    rerank_features: int = 0


@dataclass(frozen=True)
class ModelShape:
    """What the data fixes of the model's sizes; written beside the weights.

    Attributes:
        node_types: labels of the contracted graph.
        edge_types: relations of the contracted graph.
        interest: label of the interest level.
        n_interest: number of categories.
        leaf: label of the products.
        leaf_edges: relations from which a product's graph vector is made, (neighbour, relation, leaf).
        text_labels: labels of the contracted graph that have texts.
        text_dim: width of the text vectors.
        pair_features: width of the interest level's per-pair evidence.
        item_features: width of its per-category evidence.
        user_features: width of its per-user evidence.
        purchase_features: width of a bought category's features.
        steps: the levels below, top first; the last one is the products'.
        nodes: number of nodes of the interest level and of the levels below, by label; for vectors of their own.
        features: names of the evidence's features, in order: ``pairs``, ``items``, ``users``, ``purchases``, and
            ``LABEL.items`` and ``LABEL.pairs`` of each step; what another shop's model can take over by.
    """

    node_types: list[str]
    edge_types: list[EdgeType]
    interest: str
    n_interest: int
    leaf: str
    leaf_edges: list[EdgeType]
    text_labels: list[str]
    text_dim: int
    pair_features: int
    item_features: int
    user_features: int
    purchase_features: int
    steps: list[Step]
    nodes: dict[str, int] = field(default_factory=dict)
    features: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Evidence:
    """What the interest head is given for a batch of users, before standardisation.

    Attributes:
        pairs: shape (b, categories, pair_features).
        items: shape (categories, item_features).
        figures: shape (b, user_features).
        bought: bought categories, padded, shape (b, length).
        purchases: their features, shape (b, length, purchase_features).
        mask: True where there is a purchase, shape (b, length).
    """

    pairs: Tensor
    items: Tensor
    figures: Tensor
    bought: Tensor
    purchases: Tensor
    mask: Tensor


@dataclass
class Nodes:
    """Encoded nodes at one cut-off.

    Attributes:
        hidden: the graph encoder's output by label, shape (nodes, dim).
        vectors: fused vectors by label (interest level and levels below, products apart), shape (nodes, dim).
        attention: weights of the modalities by label, shape (nodes, modalities).
    """

    hidden: dict[str, Tensor]
    vectors: dict[str, Tensor]
    attention: dict[str, Tensor]


class CrossAisle(nn.Module):
    """Graph, text and history, fused, with the evidence of simple models, in one network.

    Args:
        shape: sizes that the data fixes.
        config: sizes that the user chooses.
    """

    def __init__(self, shape: ModelShape, config: ModelConfig) -> None:
        super().__init__()
        self.shape, self.config = shape, config
        dim = config.dim
        self.text = nn.ModuleDict({f"text_{label}": nn.Linear(shape.text_dim, dim) for label in shape.text_labels})
        self.graph = GraphEncoder(shape.node_types, shape.edge_types, dim, config.graph)
        labels = [shape.interest, *(step.label for step in shape.steps)]
        self.fusion = nn.ModuleDict(
            {f"fuse_{label}": modality_fusion(self._modalities(label), dim, config.fusion) for label in labels}
        )
        with_id = labels if "id" in config.modalities else []
        self.id = nn.ModuleDict({f"id_{label}": nn.Embedding(shape.nodes[label], dim) for label in with_id})
        self.leaf = nn.ModuleDict({"_".join(edge): nn.Linear(dim, dim, bias=False) for edge in shape.leaf_edges})
        self.history = HistoryEncoder(dim, shape.purchase_features, shape.user_features, config.history)
        self.pair_scale = Standardise(shape.pair_features, config.pair_evidence)
        self.item_scale, self.user_scale = Standardise(shape.item_features), Standardise(shape.user_features)
        self.head = InterestHead(shape.pair_features, shape.item_features, shape.user_features, dim, config.head)
        self.within = nn.ModuleDict(
            {
                f"within_{step.label}": WithinHead(
                    step.item_features, step.pair_features, dim, pair_evidence=config.pair_evidence
                )
                for step in shape.steps
            }
        )
        self.dropout = nn.Dropout(config.dropout)
        self.rerank = nn.ModuleDict(
            {
                f"rerank_{step.label}": RerankHead(step.rerank_features, config.rerank.hidden)
                for step in shape.steps
                if step.rerank_features
            }
        )

    def _modalities(self, label: str) -> dict[str, int]:
        widths = {"graph": self.config.dim, "text": self.shape.text_dim, "id": self.config.dim}
        widths["collaborative"] = self.shape.n_interest
        chosen: dict[str, int] = {name: widths[name] for name in self.config.modalities}
        if label != self.shape.interest:
            chosen.pop("collaborative", None)
        return chosen or {"graph": self.config.dim}

    # -- nodes -------------------------------------------------------------------------------------------

    def nodes(self, graph: Adjacency, texts: dict[str, Tensor], profiles: Tensor) -> Nodes:
        """Encode and fuse every node but the products.

        Args:
            graph: the contracted graph at a cut-off.
            texts: text vectors by label, shape (nodes, text_dim).
            profiles: co-occurrence of each category with all, shape (categories, categories).

        Returns:
            Hidden and fused vectors and attention weights.
        """
        use_text = "text" in self.config.modalities
        features = {label: self.text[f"text_{label}"](texts[label]) for label in self.shape.text_labels if use_text}
        hidden = self.graph(graph, features)
        out = Nodes(hidden, {}, {})
        for label in [self.shape.interest, *(step.label for step in self.shape.steps[:-1])]:
            inputs = {"graph": hidden[label], "text": texts[label]}
            if label == self.shape.interest:
                inputs["collaborative"] = self.dropout(profiles)
            if "id" in self.config.modalities:
                inputs["id"] = self._ids(label)
            out.vectors[label], out.attention[label] = self.fusion[f"fuse_{label}"](inputs)
        return out

    def _ids(self, label: str, rows: Tensor | None = None) -> Tensor:
        """The nodes' own vectors, shape (nodes, dim); of some nodes only where their positions are given."""
        table = self.id[f"id_{label}"].weight
        assert isinstance(table, Tensor)
        return table if rows is None else table[rows.to(table.device)]

    def leaves(
        self, nodes: Nodes, neighbours: dict[EdgeType, Tensor], texts: Tensor, products: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Encode some products from their neighbours in the graph and their own texts.

        Args:
            nodes: from `nodes`.
            neighbours: for each leaf relation the products' neighbours' mean as a sparse CSR matrix of shape
                (asked products, neighbours), rows summing to 1 (or to 0 for none).
            texts: text vectors, shape (asked products, text_dim); all-zero for a product without a text.
            products: positions of the asked products, shape (asked products,); for vectors of their own.

        Returns:
            Vectors of shape (asked products, dim), attention weights.
        """
        graph = self.leaf_hidden(nodes, neighbours)
        fuse = self.fusion[f"fuse_{self.shape.leaf}"]
        assert isinstance(fuse, ModalityFusion)
        present = torch.ones(len(texts), len(fuse.names), dtype=torch.bool, device=texts.device)
        if "text" in fuse.names:
            present[:, fuse.names.index("text")] = texts.abs().sum(dim=1) > 0
        inputs = {"graph": graph, "text": texts}
        if "id" in fuse.names:
            inputs["id"] = self._ids(self.shape.leaf, products)
        out: tuple[Tensor, Tensor] = fuse(inputs, present)
        return out

    def leaf_hidden(self, nodes: Nodes, neighbours: dict[EdgeType, Tensor]) -> Tensor:
        """What the graph says of some products, shape (asked products, dim); arguments as of `leaves`."""
        parts = [
            self.leaf["_".join(edge)](SparseProduct.apply(matrix, nodes.hidden[edge[0]]))
            for edge, matrix in neighbours.items()
        ]
        return torch.stack(parts).sum(dim=0)

    # -- users and scores --------------------------------------------------------------------------------

    def users(self, nodes: Nodes, evidence: Evidence) -> tuple[Tensor, Tensor]:
        """User vectors, shape (b, dim), and attention over what they bought, shape (b, length, pools)."""
        out: tuple[Tensor, Tensor] = self.history(
            self.dropout(nodes.vectors[self.shape.interest]),
            evidence.bought,
            evidence.purchases,
            evidence.mask,
            self.user_scale(evidence.figures),
        )
        return out

    def interest(self, nodes: Nodes, users: Tensor, evidence: Evidence) -> dict[str, Tensor]:
        """Parts of the score of each (user, category) pair, each of shape (b, categories); their sum is the score."""
        out: dict[str, Tensor] = self.head(
            self.pair_scale(evidence.pairs),
            self.item_scale(evidence.items),
            self.user_scale(evidence.figures),
            users,
            self.dropout(nodes.vectors[self.shape.interest]),
        )
        return out
