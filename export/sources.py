"""The tables of an export, made from a run: one for each label of the graph, one for users."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from console import track
from data.splits import unseen_categories
from export.config import ExportConfig
from export.levels import ItemLevel
from export.people import People, everybody, from_histories, listed
from export.table import ROWS_AT_A_TIME, Array, Batch, Column, Table, table_of
from export.tower import Tower
from training.learnt import inner_vectors, leaf_vectors
from training.loaded import LoadedRun

FUSED = "embedding"
PARTS = {"graph": "embedding_graph", "text": "embedding_text"}
USER = "User"


def node_tables(
    run: LoadedRun, levels: Sequence[ItemLevel], towers: Mapping[str, Tower], config: ExportConfig
) -> Iterator[Table]:
    """A table for each label: vectors, and for items what the dot product of the retrieval tower needs.

    A label that the model does not fuse (brands, say) has its graph vectors alone, asked for or not.
    """
    module, cutoff = run.scorer.module, run.scorer.cutoff
    extra = {level.label: _figures(level, towers.get(level.label)) for level in levels}
    for label, vectors in inner_vectors(module, cutoff).items():
        kept = {name: values for name, values in vectors.items() if name in _wanted(vectors, config)}
        yield table_of(label, cutoff.graph.ids[label], kept | extra.get(label, {}))
    yield _products(run, extra[module.plan.leaf], config)


def _wanted(vectors: Mapping[str, Array], config: ExportConfig) -> set[str]:
    asked = {PARTS[part] for part in config.parts}
    return asked | ({FUSED} if FUSED in vectors else {PARTS["graph"]})


def _figures(level: ItemLevel, tower: Tower | None) -> dict[str, Array]:
    found: dict[str, Array] = {} if tower is None else {"retrieval": tower.vectors, "retrieval_bias": tower.bias}
    return found | {"popularity": level.popularity(), "category": level.category.astype(np.int32)}


def _products(run: LoadedRun, figures: Mapping[str, Array], config: ExportConfig) -> Table:
    """Products, whose vectors are made some at a time while they are written."""
    module, cutoff = run.scorer.module, run.scorer.cutoff
    dim, text = module.model.config.dim, module.bank.dim
    widths = {FUSED: dim, PARTS["graph"]: dim, PARTS["text"]: text}
    wanted = {FUSED} | {PARTS[part] for part in config.parts}
    columns = [Column(name, width, "float32") for name, width in widths.items() if name in wanted]
    columns += table_of("", cutoff.graph.ids[module.plan.leaf], figures).columns
    ids = cutoff.graph.ids[module.plan.leaf]

    def batches() -> Iterator[Batch]:
        made = leaf_vectors(module, cutoff, ROWS_AT_A_TIME)
        for number, vectors in enumerate(track(made, "Products", -(-len(ids) // ROWS_AT_A_TIME))):
            part = slice(number * ROWS_AT_A_TIME, (number + 1) * ROWS_AT_A_TIME)
            rest = {name: values[part] for name, values in figures.items()}
            yield {column.name: {**vectors, **rest}[column.name] for column in columns}

    return Table(module.plan.leaf, ids, tuple(columns), batches)


def people(run: LoadedRun, config: ExportConfig) -> People | None:
    """The users that are asked for; None for none.

    Raises:
        InputError: a file of users or histories is wrong.
    """
    time = run.scorer.cutoff.time
    if config.histories is not None:
        return from_histories(run.dataset, time, config.histories)
    if config.users == "none":
        return None
    return everybody(run.dataset, time) if config.users == "all" else listed(run.dataset, time, Path(config.users))


def user_table(
    run: LoadedRun, found: People, levels: Sequence[ItemLevel], towers: Mapping[str, Tower], config: ExportConfig
) -> Table:
    """A row for each user: their vector, their vectors for the retrieval of each level, and what they bought from.

    ``seen`` holds a bit for each category (`numpy.packbits`, the first category first): 1 where the user bought from
    it before the cut-off.
    """
    interest = run.dataset.catalogue.interest
    fitted = [level for level in levels if level.label in towers]
    columns = [Column(FUSED, run.scorer.module.model.config.dim, "float32")]
    for level in fitted:
        columns.append(Column(retrieval_column(level.label), towers[level.label].vectors.shape[1], "float32"))
    columns.append(Column("seen", -(-len(interest) // 8), "uint8"))

    def some(rows: slice) -> Batch:
        chosen = np.arange(len(found.ids))[rows]
        history, known = found.history.of_users(chosen), found.rows[rows]
        made: dict[str, Array] = {FUSED: run.scorer.parts(history, known)[1].float().cpu().numpy()}
        for level in fitted:
            made[retrieval_column(level.label)] = towers[level.label].users(level.scores(run, history, known))
        return made | {"seen": np.packbits(~unseen_categories(history, interest), axis=1)}

    def batches() -> Iterator[Batch]:
        size, waiting = config.tower.batch, []
        for start in track(range(0, len(found.ids), size), "Users"):
            waiting.append(some(slice(start, start + size)))
            if sum(len(batch["seen"]) for batch in waiting) >= ROWS_AT_A_TIME:
                whole = _joined(waiting)
                yield {name: values[:ROWS_AT_A_TIME] for name, values in whole.items()}
                waiting = [{name: values[ROWS_AT_A_TIME:] for name, values in whole.items()}]
        if sum(len(batch["seen"]) for batch in waiting):
            yield _joined(waiting)

    return Table(USER, found.ids, tuple(columns), batches)


def _joined(batches: Sequence[Batch]) -> Batch:
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def retrieval_column(label: str) -> str:
    """The users' column whose dot product with the label's ``retrieval``, plus its bias, ranks the label's items."""
    return f"retrieval_{label.lower()}"
