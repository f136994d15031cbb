"""One of RecBole's models on pairs and triples that were made for it; runs in RecBole's own environment.

    python run_recbole.py INPUT OUT '{"model": "LightGCN", "epochs": [10, 20]}' --seed 0

INPUT holds ``pairs.npz`` (``user``, ``item``, ``n_users``, ``n_items``) and ``triples.npz`` (``head``, ``relation``,
``tail``; entity i is item i for i < n_items). After each of the epochs ``scores-EPOCH.npy`` is written to OUT, shape
(users, items), float32, and at last ``cost.json``. Everything in INPUT is trained on; nothing is held back.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import torch
from recbole.config import Config
from recbole.data import create_dataset
from recbole.data.interaction import Interaction
from recbole.data.utils import create_samplers, get_dataloader
from recbole.sampler import KGSampler
from recbole.utils import get_model, get_trainer, init_seed

WITH_GRAPH = ("KGAT", "CKE")
BATCH = 256


def mend_dgl() -> None:
    """Give DGL two calls back as they were before DGL 1.0, where RecBole's KGAT still has them."""
    import dgl

    subgraph = dgl.edge_subgraph

    def edge_subgraph(graph: object, edges: object, preserve_nodes: bool = False) -> object:
        return subgraph(graph, edges, relabel_nodes=not preserve_nodes)

    def adjacency_matrix(graph: object, transpose: bool = False, scipy_fmt: str = "coo") -> object:
        return graph.adj_external(transpose=transpose, scipy_fmt=scipy_fmt)

    dgl.edge_subgraph, dgl.DGLGraph.adjacency_matrix = edge_subgraph, adjacency_matrix


def write_atomic_files(given: Path, folder: Path, with_graph: bool) -> dict[str, int]:
    """RecBole's own format: users u0 …, items i0 …, entities e0 …"""
    with np.load(given / "pairs.npz", allow_pickle=False) as pairs:
        sizes = {"users": int(pairs["n_users"]), "items": int(pairs["n_items"])}
        frame = pd.DataFrame({"user_id:token": pairs["user"], "item_id:token": pairs["item"]})
    shop = folder / "shop"
    shop.mkdir(parents=True)
    named = {"user_id:token": "u", "item_id:token": "i", "head_id:token": "e", "tail_id:token": "e"}

    def write(table: pd.DataFrame, ending: str) -> None:
        for column in table.columns:
            table[column] = named.get(column, "e" if "entity" in column else "r") + table[column].astype(str)
        table.to_csv(shop / f"shop.{ending}", sep="\t", index=False)

    write(frame, "inter")
    if with_graph:
        with np.load(given / "triples.npz", allow_pickle=False) as triples:
            columns = {"head_id:token": "head", "relation_id:token": "relation", "tail_id:token": "tail"}
            write(pd.DataFrame({column: triples[name] for column, name in columns.items()}), "kg")
        items = np.arange(sizes["items"])
        write(pd.DataFrame({"item_id:token": items, "entity_id:token": items}), "link")
    return sizes


def config_of(model: str, folder: Path, most: int, seed: int, settings: dict) -> Config:
    """RecBole's configuration: its defaults but for where the data are and that nothing is held back."""
    columns = {"inter": ["user_id", "item_id"]}
    if model in WITH_GRAPH:
        columns |= {"kg": ["head_id", "relation_id", "tail_id"], "link": ["item_id", "entity_id"]}
    return Config(
        model=model,
        dataset="shop",
        config_dict={
            "data_path": str(folder),
            "load_col": columns,
            "eval_args": {"split": {"RS": [1, 0, 0]}, "group_by": None, "order": "RO", "mode": "full"},
            "epochs": most,
            "seed": seed,
            "use_gpu": False,
            "show_progress": False,
            "state": "ERROR",
            "checkpoint_dir": str(folder / "saved"),
            "log_wandb": False,
            **settings,
        },
    )


def scores_of(model: torch.nn.Module, dataset: object, sizes: dict[str, int]) -> np.ndarray:
    """Every user's score of every item; what RecBole has not met is 0 for users, below everything for items."""
    users = dataset.id2token("user_id", np.arange(dataset.user_num))[1:]
    items = dataset.id2token("item_id", np.arange(dataset.item_num))[1:]
    rows, columns = (np.array([int(name[1:]) for name in names]) for names in (users, items))
    found = np.zeros((sizes["users"], sizes["items"]), dtype=np.float32)
    model.eval()
    with torch.no_grad():
        for start in range(1, dataset.user_num, BATCH):
            asked = torch.arange(start, min(start + BATCH, dataset.user_num))
            part = model.full_sort_predict(Interaction({"user_id": asked})).view(len(asked), -1)[
                :, 1 : dataset.item_num
            ]
            row = rows[asked.numpy() - 1]
            found[row] = part.min().item() - 1
            found[np.ix_(row, columns)] = part.numpy()
    return found


def train(given: Path, out: Path, settings: dict, seed: int) -> None:
    """Train to the last of the epochs, and write scores after each that is asked for."""
    model_name, epochs = settings.pop("model"), sorted(settings.pop("epochs"))
    if model_name == "KGAT":
        mend_dgl()
    # Config reads the program's own arguments too
    sys.argv = sys.argv[:1]
    with tempfile.TemporaryDirectory() as place:
        sizes = write_atomic_files(given, Path(place), model_name in WITH_GRAPH)
        config = config_of(model_name, Path(place), epochs[-1], seed, settings)
        init_seed(seed, True)
        dataset = create_dataset(config)
        built = dataset.build()
        sampler, *_ = create_samplers(config, dataset, built)
        samplers = [sampler, *([KGSampler(dataset, "uniform")] if model_name in WITH_GRAPH else [])]
        data = get_dataloader(config, "train")(config, built[0], *samplers, shuffle=True)
        init_seed(seed, True)
        model = get_model(model_name)(config, built[0])
        trainer = get_trainer(config["MODEL_TYPE"], model_name)(config, model)
        started = perf_counter()
        for epoch in range(epochs[-1]):
            model.train()
            trainer._train_epoch(data, epoch, show_progress=False)
            if epoch + 1 in epochs:
                np.save(out / f"scores-{epoch + 1}.npy", scores_of(model, built[0], sizes))
        seconds = perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (out / "cost.json").write_text(json.dumps({"seconds": seconds, "peak_mb": peak}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser("run_recbole.py", description=__doc__)
    parser.add_argument("given", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("settings", type=json.loads)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    train(asked.given, asked.out, asked.settings, asked.seed)
