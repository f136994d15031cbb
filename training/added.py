"""A loaded run whose catalogue got further products: nothing is trained, nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from data.catalogue import Level
from data.dataset import Dataset
from data.lookup import positions
from encoders.text_bank import TextBank
from errors import InputError
from kg.schema import PRODUCT, Schema, level_labels
from training import build
from training.cold import ColdScorer, ColdView
from training.config import TrainConfig
from training.cutoffs import Chain
from training.graphs import ModelGraph
from training.loaded import LoadedRun
from training.module import InterestModule
from training.scorer import CrossAisleScorer

IntArray = npt.NDArray[np.int64]


def products_level(dataset: Dataset) -> Level:
    """The level that new products sit in: the deepest that is ranked, right above the products."""
    return dataset.catalogue.below or dataset.catalogue.interest


def with_products(run: LoadedRun, rows: pd.DataFrame) -> LoadedRun:
    """The run with further products, known by their text, their node and their attributes' values.

    The model's weights, its encodings of known texts and all that was bought stay as they are; the evidence is counted
    anew at the run's test cut-off. In the graph a new product has its relations to its node and to known values of its
    attributes; a brand that the graph lacks says nothing.

    Args:
        run: loaded.
        rows: ``product_id`` (new, each once), ``text``, a column with the name of `products_level` (ids of its nodes),
            and the attributes' columns that are known.

    Raises:
        InputError: the run's model has a vector of its own for each product, and so none for new ones.
    """
    config, module = run.config, run.scorer.module
    if "id" in module.model.config.modalities:
        remedy = "Use a run without the modality id."
        raise InputError("this run knows a product by a vector of its own", where=run.name, remedy=remedy)
    dataset = _extended(run.dataset, rows)
    config = _with_ease(config, *(len(one.catalogue.product_ids) for one in (run.dataset, dataset)))
    graph = _graph(run.scorer.cutoff.graph, run.dataset, dataset, run.schema, rows)
    plan, texts = build.text_plan(dataset, config)
    bank = TextBank(module.bank.encoder, texts, module.bank.known(), progress=False)
    cutoff = build.cutoff(config, dataset, Chain.of(dataset), run.scorer.cutoff.time, graph)
    ready = InterestModule(module.model, bank, plan, [], config.optimiser, False, None).eval()
    return replace(run, config=config, dataset=dataset, scorer=CrossAisleScorer(ready, cutoff))


def _with_ease(config: TrainConfig, before: int, after: int) -> TrainConfig:
    """Settings by which EASE of so many products is counted where it was when the heads were trained."""

    def most(given: int) -> int:
        return max(given, after) if before <= given else given

    within = replace(config.within, ease_max_items=most(config.within.ease_max_items))
    candidates = replace(config.candidates, ease_max_items=most(config.candidates.ease_max_items))
    counts = replace(config.cold.counts, ease_max_items=most(config.cold.counts.ease_max_items))
    return replace(config, within=within, candidates=candidates, cold=replace(config.cold, counts=counts))


def cold_scorer(run: LoadedRun, product_ids: npt.NDArray[np.str_]) -> ColdScorer:
    """What scores some products of the run's catalogue that nobody has bought.

    Raises:
        InputError: the run has no head for them.
    """
    chain, label = Chain.of(run.dataset), PRODUCT
    if label not in run.cold:
        remedy = "Train again with --cold.cutoffs 1 or more, on data in which new products are bought."
        raise InputError("this run has no head for products never sold", where=run.name, remedy=remedy)
    items = np.sort(positions(product_ids, run.dataset.catalogue.product_ids))
    step = len(chain.levels) - 1
    view = ColdView(run.scorer.module, run.scorer.cutoff, chain, step, items, run.config)
    return ColdScorer(view, run.cold[label])


def _extended(dataset: Dataset, rows: pd.DataFrame) -> Dataset:
    """The data with further products."""
    tables, level = dataset.tables, products_level(dataset).name
    products = pd.concat([tables.products, rows.reindex(columns=tables.products.columns)], ignore_index=True)
    products["text"] = products["text"].fillna("")
    members = pd.DataFrame({"product_id": rows["product_id"], "level": level, "node_id": rows[level]})
    memberships = pd.concat([tables.memberships, members], ignore_index=True)
    return Dataset.from_tables(replace(tables, products=products, memberships=memberships))


def _graph(graph: ModelGraph, old: Dataset, new: Dataset, schema: Schema, rows: pd.DataFrame) -> ModelGraph:
    """The graph with the new products' relations; what other nodes are told does not change."""
    level = products_level(old)
    columns = {schema_label: name for name, schema_label in old.tables.attributes.items()}
    columns |= {level_labels(old)[level.name]: level.name}
    structure = {(kind.target, f"rev_{kind.type}", PRODUCT): columns.get(kind.target)
                 for kind in schema.edges if kind.source == PRODUCT and kind.role == "structure"}  # fmt: skip
    ids = new.catalogue.product_ids
    listed = np.concatenate([old.catalogue.product_ids, rows["product_id"].to_numpy(dtype=str)])
    order = positions(ids, listed)
    found = {}
    for edge, matrix in graph.neighbours.items():
        more = _rows(rows, structure.get(edge), graph.ids[edge[0]])
        found[edge] = sp.csr_array(sp.vstack([matrix, more], format="csr")[order])
    known: Mapping[str, npt.NDArray[np.str_]] = graph.ids | {PRODUCT: ids}
    return replace(graph, neighbours=found, ids=dict(known))


def _rows(rows: pd.DataFrame, column: str | None, ids: npt.NDArray[np.str_]) -> sp.csr_array:
    """1 where a new product has a neighbour, CSR of shape (rows, neighbours)."""
    shape = (len(rows), len(ids))
    if column is None or column not in rows:
        return sp.csr_array(shape, dtype=np.float32)
    place = positions(rows[column], ids)
    there = np.flatnonzero(place >= 0)
    return sp.csr_array((np.ones(len(there), dtype=np.float32), (there, place[there])), shape=shape)
