"""The model card of an export: ``README.md`` in the form that Hugging Face reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from export.manifest import Manifest

METRICS = ("ndcg@20", "recall@20")

TEXT = """# Embeddings of the run "{run}"

What CrossAisle learnt from purchases and a product graph, as vectors for other programs: nodes of the catalogue,
users, and a retrieval tower whose dot product ranks what a user may buy from new categories. `manifest.json` tells
each file's checksum.

## Data

| | |
|---|---|
| source | {source} |
| fingerprint | `{fingerprint}` |
| window | {unit}s {first} to {last}: histories end before {unit} {cut_off}; nothing later was seen |

## What is in it

Files: {format}, vectors as {dtype}.

| table | rows | columns (width) |
|---|---|---|
{tables}

{meanings}

## How good it is

On purchases in the {horizon} {unit}s from {unit} {cut_off}, by ranking all unseen candidates with the full model. The
difference is to the strongest simple model of the same run, with its 95% interval (paired bootstrap over users).

| level | NDCG@20 | recall@20 | difference in NDCG@20 |
|---|---|---|---|
{metrics}

{retrieval}
## Intended use

Candidates for a ranker, features of a ranker, similar products, grouping of products or customers. The retrieval
vectors are for categories that a user has not bought from: leave out those in `seen`.

## Limits

- Vectors of two runs lie in different spaces: never mix them.
- A user is a history up to the window's end. Newer purchases need a new export (`--histories`).
- A node with few purchases is known by its text and its place in the graph alone.
- Users' vectors are made from purchases and are as personal as these.
"""

COSINE, DOT = "cosine", "inner product"
TOWER = "the retrieval tower's side of the user, for items of that label"
MEANINGS: dict[str, tuple[str | None, str]] = {
    "embedding": (COSINE, "what the fusion made of graph and text; of users: what the model made of the history"),
    "embedding_graph": (COSINE, "the graph encoder's output"),
    "embedding_text": (COSINE, "the language model's output; zeros for a blank text"),
    "retrieval": (DOT, "the retrieval tower's side of the item: the user's `retrieval_LABEL` · this + the bias ranks"),
    "retrieval_bias": (None, "the part of the retrieval tower's score that is the same for all users"),
    "popularity": (None, "distinct users who bought it in the window"),
    "category": (None, "row of its category in that label's table, −1 for none"),
    "seen": (None, "one bit for each category (`numpy.unpackbits`): 1 where the user bought from it in the window"),
}


def model_card(manifest: Manifest, metrics: Mapping[str, Any]) -> str:
    """The card's text, with its header.

    Args:
        manifest: of the export, without its files.
        metrics: the run's ``metrics.json``.
    """
    window = manifest["window"]
    header = ModelCardData(library_name="crossaisle", tags=["recommender-system", "embeddings", "knowledge-graph"])
    filled = TEXT.format(
        run=manifest["run"],
        source=manifest["source"],
        fingerprint=manifest["data_fingerprint"],
        format=manifest["storage"],
        dtype=manifest["dtype"],
        tables="\n".join(map(_table_row, manifest["tables"])),
        meanings="\n".join(_meaning_line(*item) for item in manifest["columns"].items()),
        metrics="\n".join(_metrics_row(level, metrics) for level in metrics["test"]),
        retrieval=_retrieval(manifest["retrieval"]),
        **window,
    )
    return str(ModelCard(f"---\n{header.to_yaml()}\n---\n\n{filled}"))


def meanings_of(columns: set[str], features: Mapping[str, str] | None = None) -> dict[str, Manifest]:
    """What the columns of an export mean: ``meaning``, and for vectors ``metric`` and ``normalised`` (to length 1).

    Args:
        columns: their names.
        features: what the features among them mean, by name.
    """
    known = MEANINGS | {name: (None, meaning) for name, meaning in (features or {}).items()}
    known |= dict.fromkeys(sorted(columns - set(known)), (DOT, TOWER))
    found: dict[str, Manifest] = {}
    for name, (metric, meaning) in known.items():
        if name in columns:
            found[name] = {"meaning": meaning} | ({} if metric is None else {"metric": metric, "normalised": False})
    return found


def _meaning_line(name: str, facts: Manifest) -> str:
    metric = f" ({facts['metric']}; not normalised)" if "metric" in facts else ""
    return f"- `{name}`{metric}: {facts['meaning']}."


def _table_row(table: Mapping[str, Any]) -> str:
    columns = (f"{column['name']} ({column['width']})" if column["width"] else column["name"]
               for column in table["columns"])  # fmt: skip
    return f"| {table['name']} | {table['rows']:,} | {', '.join(columns)} |"


def _metrics_row(level: str, metrics: Mapping[str, Any]) -> str:
    ours = metrics["test"][level]["crossaisle"]
    others = {name: found for name, found in metrics["test"][level].items() if name != "crossaisle"}
    cells = [level, *(f"{ours[name]:.4f}" for name in METRICS)]
    if not others:
        return f"| {' | '.join(cells)} | no simple model was run |"
    best = max(others, key=lambda name: others[name]["ndcg@20"])
    gap = metrics["difference"][level][best]["ndcg@20"]
    return f"| {' | '.join(cells)} | {gap['mean']:+.4f} ({gap['low']:+.4f} to {gap['high']:+.4f}) to {best} |"


def _retrieval(facts: Mapping[str, Mapping[str, float]]) -> str:
    if not facts:
        return ""
    rows = [
        f"| {label} | {fact['rank']} | {fact['users']:,} | {fact['held_out']:,} | {fact['k']} | {fact['overlap']:.3f} |"
        for label, fact in facts.items()
    ]
    head = "| label | width | fitted on users | measured on others | k | overlap@k |\n|---|---|---|---|---|---|"
    return (
        "The retrieval tower only comes near the full model: overlap@k is the share of the full model's k best items "
        "that are among the tower's.\n\n" + "\n".join([head, *rows, ""])
    )
