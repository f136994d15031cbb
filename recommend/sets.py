"""What goes with a set of products: evidence on every product, however the set is ordered, and its learnt weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch.nn import functional

from evidence.cooccurrence import ease_weights
from evidence.histories import map_values, row_shares

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
PRIOR = 20.0
NEGATIVES = 400
SETS_AT_A_TIME = 32
FEW_NODES = 10_000  # of fewer, what is together is counted once; of more, for each set
PENALTY = 1e-3
MOST_EASE = 4000
EASE_PENALTY = 0.005  # λ for each basket


@dataclass(frozen=True)
class Texts:
    """Texts of products, each distinct one once.

    Attributes:
        vectors: of length 1, shape (texts, d).
        of_product: the text of each product, −1 for none, shape (products,).
    """

    vectors: FloatArray
    of_product: IntArray


@dataclass(frozen=True)
class Goods:
    """What is known of products, apart from baskets.

    Attributes:
        groups: by name (type, category) the group of each product, −1 for none, shape (products,).
        texts: by name (product, type) their texts.
        vectors: learnt vectors of length 1, shape (products, d); None where there are none.
    """

    groups: dict[str, IntArray]
    texts: dict[str, Texts] = field(default_factory=dict)
    vectors: FloatArray | None = None

    def __len__(self) -> int:
        return len(next(iter(self.groups.values())))


class Together:
    """How much more often nodes share a basket with those of a set than baskets alone would have it.

    log( mean_{b ∈ B} P(i | b) / p(i) ), P(i | b) = (n_bi + κ p_i) / (n_b + κ), with n_b baskets of b, n_bi of both
    (n_bb: baskets with two different products of b), p_i the share of baskets with i, κ a prior of Dirichlet.

    Args:
        baskets: products in each basket, by node, CSR of shape (baskets, nodes).
        prior: κ.
    """

    def __init__(self, baskets: sp.csr_array, prior: float = PRIOR) -> None:
        self.held = map_values(sp.csr_array(baskets), np.sign)
        self.number = np.asarray(self.held.sum(axis=0), dtype=np.float32).ravel()
        twice = sp.csr_array(baskets)
        self.twice = np.bincount(twice.indices[twice.data > 1], minlength=len(self.number)).astype(np.float32)
        self.share = (self.number + 0.5) / (self.held.shape[0] + 1)
        self.prior = prior
        self._nodes = sp.csr_array(self.held.T)
        self._both = sp.csr_array(self._nodes @ self.held) if len(self.number) <= FEW_NODES else None

    def of(self, sets: sp.csr_array, nodes: IntArray | None = None) -> FloatArray:
        """Shape (b, nodes), of sets as shares of nodes, CSR of shape (b, all nodes), rows summing to 1.

        Args:
            sets: the sets.
            nodes: which nodes are asked about; None: all.
        """
        scaled = sp.csr_array(sets @ sp.diags_array(1 / (self.number + self.prior)))
        both = sp.csr_array(scaled @ self._nodes) @ self.held if self._both is None else scaled @ self._both
        both = sp.csr_array(both + sp.csr_array(scaled @ sp.diags_array(self.twice - self.number)))
        some = slice(None) if nodes is None else nodes
        rest = self.prior * np.asarray(scaled.sum(axis=1)).reshape(-1, 1)
        found = np.maximum(both[:, some].toarray(), 0) / self.share[some]
        there = rest > 0  # a set of which nothing has a node says nothing
        return np.asarray(np.where(there, np.log(np.where(there, found + rest, 1)), 0), dtype=np.float32)


class Regressed:
    """EASE of baskets (Steck 2019), of the nodes in most of them; of a set the mean over its nodes; 0 for other nodes.

    Args:
        baskets: products in each basket, by node, CSR of shape (baskets, nodes).
        most: number of nodes at most: time grows with its cube.
    """

    def __init__(self, baskets: sp.csr_array, most: int = MOST_EASE) -> None:
        held = map_values(sp.csr_array(baskets), np.sign)
        number = np.asarray(held.sum(axis=0)).ravel()
        self.kept = np.sort(np.argsort(-number, kind="stable")[:most])
        self.weights = ease_weights(sp.csr_array(held[:, self.kept]), max(1.0, EASE_PENALTY * held.shape[0]))

    def of(self, sets: sp.csr_array, nodes: IntArray | None = None) -> FloatArray:
        """Shape (b, nodes), of sets as shares of nodes, as `Together.of`."""
        found = np.zeros(sets.shape, dtype=np.float32)
        found[:, self.kept] = sets[:, self.kept] @ self.weights
        return found if nodes is None else found[:, nodes]


class SetEvidence:
    """Evidence on all products for sets of products; each of it is a mean over the set, so that order is nothing to it.

    ``popular``: log share of baskets; ``lately``: log of the share of late baskets over that of all (``season``: of a
    season's, `seasonal`); ``with_product``, ``with_type``, …: `Together` at each level; ``ease_product``, …:
    `Regressed` at each level; ``text_…``: cosine with the mean of the set's texts; ``learnt``: with the mean of its
    vectors (DeepSets, Zaheer et al. 2017: ρ of a mean of φ).

    Args:
        goods: the products.
        baskets: CSR of shape (baskets, products), binary.
        late: the late ones of them; None: ``lately`` is left out.
        prior: κ of `Together`.
        without: names of evidence to leave out.
    """

    def __init__(
        self,
        goods: Goods,
        baskets: sp.csr_array,
        late: sp.csr_array | None = None,
        prior: float = PRIOR,
        without: Sequence[str] = (),
    ) -> None:
        self.goods = goods
        self._products = Together(baskets, prior)
        self._of_group = {name: _one_hot(codes) for name, codes in goods.groups.items()}
        by_group = {name: sp.csr_array(baskets @ matrix) for name, matrix in self._of_group.items()}
        self._groups = {name: Together(held, prior) for name, held in by_group.items()}
        self._of_text = {name: _one_hot(some.of_product, len(some.vectors)) for name, some in goods.texts.items()}
        self.popular = np.log(self._products.share)
        self._lately = np.empty(0, np.float32) if late is None else _trend(late, self._products)
        lately = ["lately"] * (late is not None)
        together = [f"{kind}_{name}" for kind in ("with", "ease") for name in ("product", *goods.groups)]
        texts = [f"text_{name}" for name in goods.texts]
        names = ["popular", *lately, *together, *texts, *["learnt"] * (goods.vectors is not None)]
        self.names = [name for name in names if name not in without]
        levels = {"ease_product": baskets} | {f"ease_{name}": held for name, held in by_group.items()}
        self._ease = {name: Regressed(held) for name, held in levels.items() if name in self.names}

    def seasonal(self, baskets: sp.csr_array) -> SetEvidence:
        """The same with ``season``, from a season's baskets, and without ``lately``; all else is shared."""
        found = copy.copy(self)
        found._lately = _trend(baskets, self._products)
        found.names = [name for name in self.names if name not in ("lately", "season")] + ["season"]
        return found

    def of(self, sets: sp.csr_array, products: IntArray | None = None) -> FloatArray:
        """Shape (b, products, names).

        Args:
            sets: CSR of shape (b, all products), binary.
            products: which products are asked about; None: all.
        """
        shares = row_shares(sets)
        return np.stack([self.one(name, shares, products) for name in self.names], axis=2)

    def one(self, name: str, shares: sp.csr_array, products: IntArray | None = None) -> FloatArray:
        """One of the evidence, shape (b, products), of sets whose rows sum to 1."""
        some = slice(None) if products is None else products
        if name in ("popular", "lately", "season"):
            found = (self.popular if name == "popular" else self._lately)[some]
            return np.broadcast_to(found, (shares.shape[0], len(found)))
        if name in ("with_product", "ease_product"):
            return (self._products if name == "with_product" else self._ease[name]).of(shares, products)
        if name == "learnt":
            assert self.goods.vectors is not None
            return np.asarray(_unit(shares @ self.goods.vectors) @ self.goods.vectors[some].T, dtype=np.float32)
        kind, _, what = name.partition("_")
        if kind in ("with", "ease"):
            groups = self._groups[what] if kind == "with" else self._ease[name]
            of_group = groups.of(row_shares(shares @ self._of_group[what]))
            return _spread(of_group, self.goods.groups[what][some])
        texts = self.goods.texts[what]
        mean = _unit(sp.csr_array(shares @ self._of_text[what]) @ texts.vectors)
        return _spread(np.asarray(mean @ texts.vectors.T, dtype=np.float32), texts.of_product[some])


@dataclass(frozen=True)
class SetModel:
    """A log-linear model of what completes a set: p(i | B) ∝ exp(Σ_f w_f x_f(B, i)) (McFadden 1974).

    Attributes:
        evidence: x.
        weights: w, shape (names,).
    """

    evidence: SetEvidence
    weights: FloatArray

    def scores(self, sets: sp.csr_array) -> FloatArray:
        """Shape (b, products), up to a constant of each set; sets as CSR of shape (b, products), binary."""
        shares = row_shares(sets)
        return np.concatenate([self._scores(shares[rows]) for rows in _few(sets.shape[0])])

    def _scores(self, shares: sp.csr_array) -> FloatArray:
        total = np.zeros(shares.shape, dtype=np.float32)
        for name, weight in zip(self.evidence.names, self.weights, strict=True):
            total += weight * self.evidence.one(name, shares)
        return total

    def less_popular(self, share: float) -> SetModel:
        """With so much of the weight of what is popular."""
        scale = np.where(np.array(self.evidence.names) == "popular", np.float32(share), np.float32(1))
        return replace(self, weights=self.weights * scale)

    def at(self, evidence: SetEvidence) -> SetModel:
        """The same weights on evidence of another moment."""
        return replace(self, evidence=evidence)


@dataclass(frozen=True)
class Lesson:
    """Sets with a product taken out, and what is known when they are asked about.

    Attributes:
        evidence: counted without these sets.
        sets: what is left of each, CSR of shape (n, products), binary.
        hidden: what was taken out, shape (n,).
    """

    evidence: SetEvidence
    sets: sp.csr_array
    hidden: IntArray


def fit(lessons: Sequence[Lesson], apart: str | None = None, seed: int = 0, penalty: float = PENALTY) -> SetModel:
    """Learn the weights from sets and the product that was hidden from each.

    Maximum likelihood over the hidden product and others drawn for a batch of sets, half of them uniformly, half by
    popularity, corrected for their chances (Bengio and Senécal 2008), with a ridge penalty on the weights of
    standardised evidence; L-BFGS.

    Args:
        lessons: apart where other evidence is known of the sets; the evidence of all has the same names.
        apart: a group (category) of which a set's completion brings a new one; None: any product may complete it.
        seed: of the draws.
        penalty: of the squared weights.

    Returns:
        With the evidence of the last ones.
    """
    rng = np.random.default_rng(seed)
    drawn = [_drawn(lesson, rows, apart, rng) for lesson in lessons for rows in _few(len(lesson.hidden))]
    inputs, offsets = (np.concatenate(column) for column in zip(*drawn, strict=True))
    return SetModel(lessons[-1].evidence, _maximised(inputs, offsets, penalty))


def _few(n: int) -> list[IntArray]:
    """Rows 0 … n − 1, some at a time."""
    return [np.arange(at, min(at + SETS_AT_A_TIME, n)) for at in range(0, n, SETS_AT_A_TIME)]


def _drawn(
    lesson: Lesson, rows: IntArray, apart: str | None, rng: np.random.Generator
) -> tuple[FloatArray, npt.NDArray[np.float64]]:
    """Evidence on the hidden product of some sets, then on others, and what corrects for their chances."""
    evidence, sets, hidden = lesson.evidence, lesson.sets, lesson.hidden[rows]
    popular = np.exp(evidence.popular)
    chance = 0.5 / len(popular) + 0.5 * popular / popular.sum()
    others = rng.choice(len(popular), NEGATIVES, p=chance)
    found = evidence.of(sets[rows], np.concatenate([hidden, others]))
    own = found[np.arange(len(rows)), np.arange(len(rows))][:, None]
    out = others == hidden[:, None]
    if apart is not None:
        groups = evidence.goods.groups[apart]
        out |= np.stack([taken(groups, sets, row)[others] for row in rows])
    offset = np.where(out, -np.inf, -np.log(NEGATIVES * chance[others]))
    inputs = np.concatenate([own, found[:, len(rows) :]], axis=1)
    return inputs, np.column_stack([np.zeros(len(rows)), offset])


def taken(groups: IntArray, sets: sp.csr_array, row: int) -> Mask:
    """Products of groups that a set holds one of, shape (products,)."""
    held = np.zeros(int(groups.max(initial=-1)) + 2, dtype=np.bool_)  # the last one is for products without a group
    held[groups[sets.indices[sets.indptr[row] : sets.indptr[row + 1]]]] = True
    held[-1] = False
    return held[groups]


def _maximised(inputs: FloatArray, offsets: npt.NDArray[np.float64], penalty: float) -> FloatArray:
    """Weights with the largest penalised likelihood of the first of each row; inputs of shape (n, m, names)."""
    flat = inputs.reshape(-1, inputs.shape[2])
    scale = 1 / np.maximum(flat.std(axis=0), 1e-6)
    x = torch.from_numpy(((inputs - flat.mean(axis=0)) * scale).astype(np.float32))
    offset = torch.from_numpy(offsets.astype(np.float32))
    weights = torch.zeros(x.shape[2], requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")
    first = torch.zeros(len(x), dtype=torch.long)

    def closure() -> float:
        optimiser.zero_grad()
        loss = functional.cross_entropy(x @ weights + offset, first) + penalty * weights.square().sum()
        loss.backward()
        return float(loss.detach())

    optimiser.step(closure)
    return np.asarray(weights.detach().numpy() * scale, dtype=np.float32)


def _one_hot(codes: IntArray, width: int | None = None) -> sp.csr_array:
    """CSR of shape (products, codes), binary; products with −1 have none."""
    rows = np.flatnonzero(codes >= 0)
    shape = (len(codes), width if width is not None else int(codes.max(initial=-1)) + 1)
    return sp.csr_array((np.ones(len(rows), dtype=np.float32), (rows, codes[rows])), shape=shape)


def _spread(values: FloatArray, codes: IntArray) -> FloatArray:
    """Values of nodes, shape (b, nodes), given to their products, shape (b, products); 0 without a node."""
    return np.where(codes >= 0, values[:, np.maximum(codes, 0)], np.float32(0))


def _unit(rows: FloatArray) -> FloatArray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def _trend(late: sp.csr_array, products: Together) -> FloatArray:
    """log of the share of late baskets with each product over that of all, smoothed towards 1."""
    number = np.asarray(map_values(sp.csr_array(late), np.sign).sum(axis=0)).ravel()
    expected = products.share * (late.shape[0] + 1)
    return np.asarray(np.log((number + PRIOR) / (expected + PRIOR)), dtype=np.float32)
