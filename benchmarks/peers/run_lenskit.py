"""One of LensKit's implicit-feedback models on pairs that were made for it; runs in LensKit's own environment.

    python run_lenskit.py INPUT OUT '{"model": "ImplicitMFScorer", "embedding_size": 50}' --seed 0

INPUT holds ``pairs.npz`` (``user``, ``item``, ``n_users``, ``n_items``). ``scores.npy`` is written to OUT, shape
(users, items), float32, and ``cost.json``. Everything in INPUT is trained on; nothing is held back.
"""

from __future__ import annotations

import argparse
import json
import resource
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from lenskit.als import ImplicitMFScorer
from lenskit.data import ItemList, RecQuery, from_interactions_df
from lenskit.flexmf import FlexMFImplicitScorer
from lenskit.knn import EASEScorer, ItemKNNScorer, UserKNNScorer
from lenskit.training import TrainingOptions

MODELS = {
    one.__name__: one for one in (ImplicitMFScorer, FlexMFImplicitScorer, EASEScorer, ItemKNNScorer, UserKNNScorer)
}


def train(given: Path, out: Path, settings: dict, seed: int) -> None:
    """Train, and write every user's score of every item; users without history score all alike."""
    with np.load(given / "pairs.npz", allow_pickle=False) as pairs:
        frame = pd.DataFrame({"user_id": pairs["user"], "item_id": pairs["item"]})
        n_users, n_items = int(pairs["n_users"]), int(pairs["n_items"])
    data = from_interactions_df(frame)
    scorer = MODELS[settings.pop("model")](**settings)
    started = perf_counter()
    scorer.train(data, TrainingOptions(rng=seed))
    items, found = ItemList(item_ids=np.arange(n_items)), np.zeros((n_users, n_items), dtype=np.float32)
    for user in np.unique(frame["user_id"]):
        query = RecQuery(user_id=user, user_items=data.user_row(user))
        scores = np.asarray(scorer(query, items).scores(), dtype=np.float32)
        known = np.isfinite(scores)
        found[user] = np.where(known, scores, scores[known].min(initial=0) - 1)
    seconds = perf_counter() - started
    np.save(out / "scores.npy", found)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (out / "cost.json").write_text(json.dumps({"seconds": seconds, "peak_mb": peak}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser("run_lenskit.py", description=__doc__)
    parser.add_argument("given", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("settings", type=json.loads)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    train(asked.given, asked.out, asked.settings, asked.seed)
