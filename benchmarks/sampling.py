"""What a training step costs as the catalogue grows: on samples, from memory or the store, and on the whole graph.

    python benchmarks/sampling.py                           10,000 and 100,000 products; the store for the first
    python benchmarks/sampling.py --sizes 1000000           another size
    python benchmarks/sampling.py --database-up-to 100000   largest catalogue that is loaded into an embedded store

The synthetic graph has a type for every 25 products, a category for every 10 types, a brand for every 50 products, and
3 ALSO_BOUGHT relations from each product to others. The task is made up: a number for each product, from the graph
alone. Four ways to train on it:

- whole graph: message passing over all nodes; a step sees all products;
- contracted: what ``train.py`` does: message passing without the products, then the products of a batch from their
  neighbours. Relations between products are not used;
- sampled, memory: the neighbour sampler on edges in memory (``encoders.sampler.GraphInMemory``);
- sampled, store: the same sampler asking an embedded store for every batch (``kg.remote.StoredGraph``).

Each way and size runs in a process of its own. ``ready`` is the time until the first step could begin (reading edges,
or opening the stored graph; loading the store is shown apart); ``nodes/s`` and ``batches/s`` tell how fast the sampler
alone is; ``step`` is a whole training step, sampling included, of --batch products (whole graph: of all); ``epoch`` is
the steps that pass over all products, at that speed; ``peak`` is the process's largest resident memory, the store's
own not counted, less what it held before it began.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from files import check_folder
from train import explained

if TYPE_CHECKING:
    from torch import Tensor
    from torch_geometric.data import HeteroData

    from data.dataset import Dataset
    from encoders.sampler import Neighbours
    from kg.store import GraphStore

WAYS = ("whole graph", "contracted", "sampled, memory", "sampled, store")
DIM, WINDOW_END = 48, 2
IN, OF, BY, ALSO = "IN_TYPE", "IN_CATEGORY", "HAS_BRAND", "ALSO_BOUGHT"


@dataclass(frozen=True)
class Figures:
    """What one way costs at one size; None where it does not apply.

    Attributes:
        products: number of products.
        way: one of ``WAYS``.
        ready: seconds until the first step could begin.
        nodes: nodes per second, sampling alone.
        batches: batches per second, sampling alone.
        step: seconds of a training step.
        epoch: seconds to pass over all products.
        peak_mb: largest resident memory over what the process began with, in MiB.
    """

    products: int
    way: str
    ready: float
    nodes: float | None
    batches: float | None
    step: float
    epoch: float
    peak_mb: float


@dataclass(frozen=True)
class Settings:
    """How it is measured.

    Attributes:
        batch: products of a step.
        fanouts: neighbours taken per relation, hop by hop.
        seconds: about how long each measurement may go on.
        heap: largest Java heap of the store.
    """

    batch: int
    fanouts: list[int]
    seconds: float
    heap: str


def ends(products: int) -> dict[str, np.ndarray]:
    """The synthetic graph's edges by relation, shape (2, edges), int64."""
    rng, all_ = np.random.default_rng(0), np.arange(products)
    types = max(1, products // 25)
    also = rng.integers(0, products, 3 * products)
    return {
        IN: np.stack([all_, rng.integers(0, types, products)]),
        BY: np.stack([all_, rng.integers(0, max(1, products // 50), products)]),
        OF: np.stack([np.arange(types), rng.integers(0, max(1, types // 10), types)]),
        ALSO: np.unique(np.stack([np.repeat(all_, 3), also]), axis=1),
    }


def graph_of(products: int) -> HeteroData:
    """The synthetic graph for PyG."""
    import torch
    from torch_geometric.data import HeteroData

    graph, places = HeteroData(), {
        IN: ("Product", "Type"), BY: ("Product", "Brand"), OF: ("Type", "Category"), ALSO: ("Product", "Product")
    }  # fmt: skip
    types = max(1, products // 25)
    sizes = {"Product": products, "Type": types, "Category": max(1, types // 10), "Brand": max(1, products // 50)}
    for label, n in sizes.items():
        graph[label].num_nodes = n
    for name, index in ends(products).items():
        source, target = places[name]
        graph[source, name, target].edge_index = torch.from_numpy(index)
        graph[target, f"rev_{name}", source].edge_index = torch.from_numpy(index).flip(0)
    return graph


def dataset_of(products: int) -> Dataset:
    """The synthetic graph as a shop's tables: one purchase of each product, so no co-purchases."""
    from data.dataset import Dataset
    from data.tables import Tables

    found, ids = ends(products), pd.Series([f"p{i:08}" for i in range(products)])
    types = "t" + pd.Series(found[OF][0]).astype("str")
    above = pd.DataFrame({"level": "type", "node_id": types, "parent_id": "c" + pd.Series(found[OF][1]).astype("str")})
    top = pd.DataFrame({"level": "category", "node_id": above["parent_id"].unique(), "parent_id": None})
    taxonomy = pd.concat([top, above.assign(parent_level="category")], ignore_index=True)
    taxonomy = taxonomy.assign(name=taxonomy["node_id"], text=taxonomy["node_id"])
    node = "t" + pd.Series(found[IN][1]).astype("str")
    source, target = found[ALSO]
    facts = {"source_id": ids[source].to_numpy(), "relation": ALSO, "target_id": ids[target].to_numpy(), "weight": 1.0}
    relations = pd.DataFrame(facts).assign(source_label="Product", target_label="Product", time=None)
    bought = {"user_id": ids, "product_id": ids, "time": 1, "quantity": 1.0, "value": 1.0, "basket_id": ids}
    tables = Tables(
        products=pd.DataFrame({"product_id": ids, "text": "", "brand": "b" + pd.Series(found[BY][1]).astype("str")}),
        taxonomy=taxonomy,
        memberships=pd.DataFrame({"product_id": ids, "level": "type", "node_id": node}),
        interactions=pd.DataFrame(bought).assign(store_id=None),
        users=pd.DataFrame({"user_id": ids}),
        relations=relations.astype({"time": "Int64"}),
        levels=("category", "type"),
        interest_level="category",
        attributes={"brand": "Brand"},
        rejects=pd.DataFrame(),
        name="sampling",
    )
    return Dataset.from_tables(tables)


class Task:
    """A number for each product, learnt by a two-round network; one call is one training step.

    Args:
        graph: labels and relations of the network.
        products: number of products.
    """

    def __init__(self, node_types: list[str], edge_types: list[tuple[str, str, str]], products: int) -> None:
        import torch

        from encoders.graph import GraphConfig, GraphEncoder

        torch.manual_seed(0)
        self.encoder = GraphEncoder(node_types, edge_types, DIM, GraphConfig())
        self.head = torch.nn.Linear(DIM, 1)
        self.wanted = torch.randn(products, 1)
        self.optimiser = torch.optim.AdamW([*self.encoder.parameters(), *self.head.parameters()])

    def learn(self, vectors: Tensor, products: Tensor) -> None:
        """One backward pass and update for the vectors of some products, shape (n, DIM)."""
        self.optimiser.zero_grad()
        (self.head(vectors) - self.wanted[products]).square().mean().backward()
        self.optimiser.step()


def whole(products: int, settings: Settings) -> Figures:
    """Message passing over all nodes."""
    import torch

    from encoders.graph import adjacency

    before, began = peak_mb(), perf_counter()
    graph = graph_of(products)
    task, ready, everyone = Task(graph.node_types, graph.edge_types, products), adjacency(graph), torch.arange(products)
    del graph
    seconds = perf_counter() - began
    step = rate(lambda _: task.learn(task.encoder(ready, {})["Product"], everyone), settings.seconds)
    return Figures(products, WAYS[0], seconds, None, None, step, step, peak_mb() - before)


def contracted(products: int, settings: Settings) -> Figures:
    """Message passing without the products; a batch of products from their neighbours."""
    import torch

    from encoders.graph import SparseProduct, adjacency, contract, incidence, to_torch

    before, began = peak_mb(), perf_counter()
    graph = graph_of(products)
    small = contract(graph, "Product")
    task, ready = Task(small.node_types, small.edge_types, products), adjacency(small)
    spokes = {name: incidence(graph, ("Product", name, of)) for name, of in ((IN, "Type"), (BY, "Brand"))}
    del graph
    seconds, batches = perf_counter() - began, shuffled(products, settings.batch)

    def step(_: int) -> None:
        at, hidden = next(batches), task.encoder(ready, {})
        parts = [
            SparseProduct.apply(to_torch(spokes[name][at.numpy()]), hidden[of])
            for name, of in ((IN, "Type"), (BY, "Brand"))
        ]
        task.learn(torch.stack(parts).sum(dim=0), at)

    each = rate(step, settings.seconds)
    return Figures(products, WAYS[1], seconds, None, None, each, epoch(each, products, settings), peak_mb() - before)


def in_memory(products: int, settings: Settings) -> Figures:
    """The sampler on edges in memory."""
    from encoders.sampler import GraphInMemory

    before, began = peak_mb(), perf_counter()
    graph = GraphInMemory(graph_of(products))
    return sampled(graph, WAYS[2], products, settings, perf_counter() - began, before)


def in_store(products: int, settings: Settings, store: GraphStore) -> Figures:
    """The sampler on a loaded store."""
    from kg.remote import StoredGraph

    before, began = peak_mb(), perf_counter()
    graph = StoredGraph(store, WINDOW_END)
    return sampled(graph, WAYS[3], products, settings, perf_counter() - began, before)


def sampled(graph: Neighbours, way: str, products: int, settings: Settings, ready: float, before: float) -> Figures:
    """Speed of the sampler alone, then of training steps on its samples."""
    from encoders.sampler import NeighbourSampler

    task = Task(list(graph.num_nodes), list(graph.edge_types), products)
    sampler, batches = NeighbourSampler(graph, settings.fanouts), shuffled(products, settings.batch)
    met: list[int] = []

    def sample(draw: int) -> None:
        sub = sampler.sample({"Product": next(batches)}, draw)
        met.append(sum(len(nodes) for nodes in sub.nodes.values()))

    def step(draw: int) -> None:
        at = next(batches)
        sub = sampler.sample({"Product": at}, draw)
        task.learn(sub.of_seeds(task.encoder(sub.adjacency, {}))["Product"], at)

    each = rate(sample, settings.seconds)
    nodes, whole_step = float(np.mean(met)) / each, rate(step, settings.seconds)
    lasts = epoch(whole_step, products, settings)
    return Figures(products, way, ready, nodes, 1 / each, whole_step, lasts, peak_mb() - before)


def shuffled(products: int, size: int) -> Iterator[Tensor]:
    """Batches of products for ever, each pass in another order."""
    import torch

    for seed in count():
        order = torch.randperm(products, generator=torch.Generator().manual_seed(seed))
        yield from order.split(size)


def rate(work: Callable[[int], object], seconds: float) -> float:
    """Seconds per call: a first one that is not counted, then calls until the time is up, at least two."""
    work(0)
    began = perf_counter()
    for done in count(1):
        work(done)
        passed = perf_counter() - began
        if done >= 2 and passed > seconds:
            return passed / done
    raise AssertionError


def epoch(step: float, products: int, settings: Settings) -> float:
    """Seconds of the steps that pass over all products."""
    return step * -(-products // settings.batch)


def peak_mb() -> float:
    """Largest resident memory of this process so far, in MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measure(way: str, products: int, settings: Settings, folder: Path) -> dict[str, Any]:
    """One way at one size, in this process; for the store, loading is measured as well."""
    plain = {WAYS[0]: whole, WAYS[1]: contracted, WAYS[2]: in_memory}
    if way in plain:
        return asdict(plain[way](products, settings))
    from kg.config import CoPurchaseConfig, StoreConfig
    from kg.load import load_graph
    from kg.store import GraphStore

    with GraphStore.open(StoreConfig(uri="embedded", home=folder / "graph", heap=settings.heap)) as store:
        if not (folder / "loaded.json").exists():
            report = load_graph(store, dataset_of(products), [WINDOW_END], CoPurchaseConfig())
            told = {"rows": report.rows, "seconds": round(report.seconds, 1)}
            (folder / "loaded.json").write_text(json.dumps(told), encoding="utf-8")
            return {}
        return asdict(in_store(products, settings, store))


def run(way: str, products: int, given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The same in a process of its own; empty where it failed. One process loads the store, another one reads it."""
    out = folder / "figures.json"
    command = [sys.executable, __file__, "--one", str(out), "--way", way, "--sizes", str(products)]
    command += ["--batch", str(given.batch), "--seconds", str(given.seconds), "--heap", given.heap]
    command += ["--fanouts", *map(str, given.fanouts)]
    for _ in range(2 if way == WAYS[3] else 1):
        done = subprocess.run(command, check=False)
        if done.returncode:
            print(f"ended with exit code {done.returncode}: {way}, {products:,} products", file=sys.stderr)
            return {}
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


def show(figures: list[dict[str, Any]], loads: dict[int, dict[str, float]]) -> None:
    """Print a row for each way and size."""
    table = Table("products", "way", title="Training on samples and on the whole")
    for heading in ("ready (s)", "nodes/s", "batches/s", "step (s)", "epoch (s)", "peak (MiB)"):
        table.add_column(heading, justify="right")
    for row in figures:
        speeds = ["–" if row[name] is None else f"{row[name]:,.{digits}f}" for name, digits in _SPEEDS]
        cells = [f"{row['ready']:.1f}", *speeds, f"{row['step']:.3f}", f"{row['epoch']:,.1f}", f"{row['peak_mb']:,.0f}"]
        table.add_row(f"{row['products']:,}", row["way"], *cells)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(table)
    for products, load in loads.items():
        console.print(f"loading {products:,} products into the store: {load['rows']:,} rows in {load['seconds']:.1f} s")


_SPEEDS = (("nodes", 0), ("batches", 1))


def build_arguments() -> argparse.ArgumentParser:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks/sampling.py", description=__doc__, formatter_class=form)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], help="numbers of products")
    parser.add_argument("--database-up-to", type=int, default=10_000, help="largest that is loaded; default 10000")
    parser.add_argument("--batch", type=int, default=512, help="products of a step; default 512")
    parser.add_argument("--fanouts", type=int, nargs="+", default=[10, 5], help="neighbours per hop; default 10 5")
    parser.add_argument("--seconds", type=float, default=8.0, help="about how long to measure each thing; default 8")
    parser.add_argument("--heap", default="1g", help="largest Java heap of the store; default 1g")
    parser.add_argument("--json", type=Path, help="file for the same figures as JSON")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Measure and print.

    Returns:
        0, 1 where something could not be measured, or 2 when something given is wrong.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    given = build_arguments().parse_args(arguments)
    return explained(lambda: _run(given), "--help lists all options.")


def _run(given: argparse.Namespace) -> int:
    if given.json:
        check_folder(given.json.parent)
    if given.one:
        settings = Settings(given.batch, given.fanouts, given.seconds, given.heap)
        found = measure(given.way, given.sizes[0], settings, given.one.parent)
        given.one.write_text(json.dumps(found), encoding="utf-8")
        return 0
    figures, loads = [], {}
    for products in sorted(given.sizes):
        with tempfile.TemporaryDirectory() as temporary:
            ways = WAYS if products <= given.database_up_to else WAYS[:3]
            figures += [run(way, products, given, Path(temporary)) for way in ways]
            loaded = Path(temporary) / "loaded.json"
            if loaded.exists():
                loads[products] = json.loads(loaded.read_text(encoding="utf-8"))
    show([row for row in figures if row], loads)
    if given.json:
        given.json.write_text(json.dumps({"figures": figures, "loads": loads}, indent=1), encoding="utf-8")
    return 0 if all(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
