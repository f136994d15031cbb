"""What a trained model has learnt, in the form that the graph keeps: vectors of nodes, interest between categories."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from data.log import Log
from data.splits import unseen_categories
from fusion.attention import ModalityFusion
from fusion.model import Nodes
from kg.writeback import Learnt
from training.cutoffs import CutOff
from training.module import InterestModule
from training.scorer import CrossAisleScorer

FloatArray = npt.NDArray[np.float32]
USERS_AT_A_TIME = 512
PRODUCTS_AT_A_TIME = 20_000


def learnt(run: str, scorer: CrossAisleScorer, min_support: int = 20, top_k: int = 15) -> Learnt:
    """Everything that a write-back needs.

    Args:
        run: the run's name.
        scorer: the trained model at the cut-off that it is used for.
        min_support: fewest users behind a learnt interest.
        top_k: strongest learnt interests kept for each category.
    """
    module, cutoff = scorer.module, scorer.cutoff
    vectors = node_vectors(module, cutoff)
    labels = {name: cutoff.graph.ids[name] for name in vectors}
    found = bridges(scorer, min_support, top_k)
    return Learnt(run, cutoff.time, labels, vectors, module.model.shape.interest, found)


def node_vectors(module: InterestModule, cutoff: CutOff) -> dict[str, dict[str, FloatArray]]:
    """Vectors by label and part, each of shape (nodes, width).

    ``embedding``: what the fusion made of graph and text (interest level and below); ``embedding_graph``: the
    graph encoder's output; ``embedding_text``: the language model's, zeros for a blank text.
    """
    found = inner_vectors(module, cutoff)
    parts = list(leaf_vectors(module, cutoff))
    found[module.plan.leaf] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return found


@torch.inference_mode()
def inner_vectors(module: InterestModule, cutoff: CutOff) -> dict[str, dict[str, FloatArray]]:
    """As `node_vectors`, of all labels but the products'."""
    module.eval()
    nodes = module.nodes(cutoff)
    found: dict[str, dict[str, FloatArray]] = {}
    for label, hidden in nodes.hidden.items():
        parts = {"embedding_graph": hidden}
        if label in nodes.vectors:
            parts["embedding"] = nodes.vectors[label]
        if label in module.plan.spans:
            parts["embedding_text"] = module.bank.embed(module.plan.positions(label))
        found[label] = {name: _array(part) for name, part in parts.items()}
    return found


def leaf_vectors(
    module: InterestModule, cutoff: CutOff, size: int = PRODUCTS_AT_A_TIME
) -> Iterator[dict[str, FloatArray]]:
    """Products' vectors by part, in the order of the catalogue, ``size`` products at a time."""
    module.eval()
    with torch.inference_mode():
        nodes = module.nodes(cutoff)
    first, last = module.plan.spans[module.plan.leaf]
    for start in range(first, last, size):
        yield _some_leaves(module, cutoff, nodes, torch.arange(start, min(start + size, last)))


@torch.inference_mode()
def modality_shares(module: InterestModule, cutoff: CutOff, label: str) -> tuple[list[str], FloatArray]:
    """How much each modality counts in the fused vectors of a label: names, and shares of shape (nodes, modalities).

    They sum to 1 for each node; a way of joining that weighs nothing (`fusion.config.FusionConfig`) gives equal ones.
    """
    module.eval()
    nodes = module.nodes(cutoff)
    fuse = module.model.fusion[f"fuse_{label}"]
    assert isinstance(fuse, ModalityFusion)
    if label != module.plan.leaf:
        return fuse.names, _array(nodes.attention[label])
    first, last = module.plan.spans[label]
    starts = range(0, last - first, PRODUCTS_AT_A_TIME)
    parts = [torch.arange(start, min(start + PRODUCTS_AT_A_TIME, last - first)) for start in starts]
    return fuse.names, np.concatenate([_array(_fused_leaves(module, cutoff, nodes, part)[1]) for part in parts])


def _fused_leaves(
    module: InterestModule, cutoff: CutOff, nodes: Nodes, products: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    neighbours = {edge: matrix.to(module.device) for edge, matrix in cutoff.graph.rows(products.numpy()).items()}
    texts = module.bank.embed(products + module.plan.spans[module.plan.leaf][0])
    return module.model.leaves(nodes, neighbours, texts, products)


@torch.inference_mode()
def _some_leaves(
    module: InterestModule, cutoff: CutOff, nodes: Nodes, positions: torch.Tensor
) -> dict[str, FloatArray]:
    products = positions - module.plan.spans[module.plan.leaf][0]
    neighbours = {edge: matrix.to(module.device) for edge, matrix in cutoff.graph.rows(products.numpy()).items()}
    texts = module.bank.embed(positions)
    parts = {
        "embedding": module.model.leaves(nodes, neighbours, texts, products)[0],
        "embedding_graph": module.model.leaf_hidden(nodes, neighbours),
        "embedding_text": texts,
    }
    return {name: _array(part) for name, part in parts.items()}


def bridges(scorer: CrossAisleScorer, min_support: int = 20, top_k: int = 15) -> pd.DataFrame:
    """Where customers of a category go next, as the model sees it.

    With p(c | u) the model's distribution over the categories that user u has not bought from, and U(a, c) the users
    with a in their history and c not in it:

    - probability = mean of p(c | u) over U(a, c);
    - lift = probability / mean of p(c | u) over all users without c in their history;
    - support = |U(a, c)|.

    Args:
        scorer: the trained model.
        min_support: fewest users in U(a, c).
        top_k: pairs kept for each a, by lift; only those above 1.

    Returns:
        ``source``, ``target`` (category ids), ``probability``, ``lift`` (float64), ``support`` (int64), sorted by
        source and then from strong to weak.
    """
    mass, support, total, users = _sums(scorer)
    with np.errstate(divide="ignore", invalid="ignore"):
        probability = mass / support
        lift = probability / (total / users)
    allowed = (support >= min_support) & (lift > 1)
    np.fill_diagonal(allowed, False)
    ids = scorer.cutoff.interest.level.ids
    source, target = np.nonzero(allowed)
    found = pd.DataFrame(
        {
            "source": ids[source].astype(object),
            "target": ids[target].astype(object),
            "probability": probability[source, target],
            "lift": lift[source, target],
            "support": support[source, target].astype(np.int64),
        }
    )
    found = found.sort_values(["source", "lift", "target"], ascending=[True, False, True], kind="stable")
    return found.groupby("source", sort=False).head(top_k).reset_index(drop=True)


def _sums(scorer: CrossAisleScorer) -> tuple[npt.NDArray[np.float64], ...]:
    """Over all users with a history: Σ p and users by (bought, unseen) pair, and the same by unseen category."""
    scorer.at_interest()
    history, level = scorer.cutoff.history, scorer.cutoff.interest.level
    rows = np.unique(history.user).astype(np.int64)
    size = len(level)
    mass, support = np.zeros((size, size)), np.zeros((size, size))
    total, users = np.zeros(size), np.zeros(size)
    for start in range(0, len(rows), USERS_AT_A_TIME):
        some = rows[start : start + USERS_AT_A_TIME]
        log: Log = history.of_users(some)
        shares = np.exp(scorer.score(log, some).astype(np.float64))
        unseen = unseen_categories(log, level).astype(np.float64)
        bought = 1 - unseen
        mass += bought.T @ shares
        support += bought.T @ unseen
        total += shares.sum(axis=0)
        users += unseen.sum(axis=0)
    return mass, support, total, users


def _array(tensor: torch.Tensor) -> FloatArray:
    return tensor.float().cpu().numpy()
