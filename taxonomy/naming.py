"""Names for clusters of texts: their most typical words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import CountVectorizer

WORD = r"(?u)\b[^\W\d_]{2,}\b"  # letters of any script, no numbers
NAMELESS = "unnamed"


def typical_words(texts: Sequence[str], cluster: npt.NDArray[np.int64], words: int) -> list[str]:
    """A distinct name for each cluster: its words with the largest c-TF-IDF.

    c-TF-IDF (Grootendorst 2022, BERTopic, arXiv 2203.05794) takes a cluster for one document, W(t, c) = tf(t, c) ·
    log(1 + A / f(t)), with tf the word's share of the cluster's words, f its number in all clusters, and A the mean
    number of words of a cluster. A further word tells clusters with the same name apart, a number those that have no
    further one.

    Args:
        texts: shape (n,).
        cluster: number of each text's cluster, 0 … k − 1, each met at least once, shape (n,).
        words: in a name.

    Returns:
        Names by cluster, in lower case.
    """
    listed = _ranked_words(texts, cluster)
    found: list[str] = []
    for ranked in listed:
        longest = max(len(ranked), 1)
        names = [", ".join(ranked[:n]) or NAMELESS for n in range(min(words, longest), longest + 1)]
        free = next((name for name in names if name not in found), None)
        found.append(free or _numbered(names[0], found))
    return found


def _numbered(name: str, taken: Sequence[str]) -> str:
    number = 2
    while f"{name} {number}" in taken:
        number += 1
    return f"{name} {number}"


def _ranked_words(texts: Sequence[str], cluster: npt.NDArray[np.int64]) -> list[list[str]]:
    """Words of each cluster, the most typical first, equal ones by the alphabet."""
    joined = [" ".join(np.array(texts)[cluster == k]) for k in range(int(cluster.max()) + 1)]
    vectorizer = CountVectorizer(token_pattern=WORD)
    try:
        counts = vectorizer.fit_transform(joined).toarray().astype(np.float64)
    except ValueError:  # not a single word anywhere
        return [[] for _ in joined]
    length = counts.sum(axis=1, keepdims=True)
    weight = counts / np.maximum(length, 1) * np.log1p(length.mean() / counts.sum(axis=0))
    order = np.argsort(-weight, axis=1, kind="stable")
    vocabulary = vectorizer.get_feature_names_out()
    return [[str(vocabulary[w]) for w in row if weight[k, w] > 0] for k, row in enumerate(order)]
