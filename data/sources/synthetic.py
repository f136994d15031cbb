"""A made-up shop of any size with a planted structure that a right model recovers.

Users belong to latent segments; a segment likes some categories. Categories have complements: some of the
users of a category begin with its complement a few periods later. So who begins with what next can be told
from what they bought, far better than from popularity.

Everything is made in chunks, each from a generator of its own, so that any chunk can be made again alone
and the memory needed depends on ``chunk`` only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from data.config import DataConfig, SyntheticConfig
from data.rejects import Rejects
from data.sources.taxonomy import from_levels, joined_ids
from data.sources.triples import join_relations
from data.tables import Tables
from errors import InputError
from files import atomic

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
LEVELS = ["department", "category", "type"]
PLANT, PRODUCTS, USERS = 0, 1, 2
COLOURS = ["red", "blue", "green", "black", "white", "yellow", "brown", "grey"]
MAPPING = {
    "products": {
        "file": "products.parquet",
        "id": "product_id",
        "text": ["text"],
        "attributes": {"brand": "Brand"},
    },
    "taxonomy": {"levels": LEVELS},
    "interactions": {
        "file": "interactions.parquet",
        "user": "user_id",
        "product": "product_id",
        "time": "time",
        "time_unit": "integer",
        "quantity": "quantity",
        "value": "value",
        "basket": "basket_id",
        "store": "store_id",
    },
    "interest_level": "category",
    "name": "synthetic",
}


@dataclass(frozen=True)
class Planted:
    """The structure that the data is made from.

    Attributes:
        popularity: how likely a category is without any taste, sums to 1, shape (categories,).
        affinity: how many times likelier it is to a segment, shape (segments, categories).
        complement: the category that follows each category, shape (categories,).
    """

    popularity: Floats
    affinity: Floats
    complement: Ints

    @property
    def complements(self) -> list[tuple[int, int]]:
        """Pairs (category, the one that follows)."""
        return list(enumerate(self.complement.tolist()))


@dataclass(frozen=True)
class Adoption:
    """Which categories the users of a chunk buy from, and since when.

    Attributes:
        segment: each user's segment, shape (n,).
        category: categories of each user, −1 where fewer, shape (n, k).
        begin: period from which on, shape (n, k).
        weight: how much of the user's purchases, shape (n, k).
    """

    segment: Ints
    category: Ints
    begin: Ints
    weight: Floats


def check(config: SyntheticConfig) -> None:
    """Refuse sizes that make no shop.

    Raises:
        InputError: naming the field and its value.
    """
    for name, value in asdict(config).items():
        least = 0 if name in ("seed", "later_categories", "complement_lag", "complement_share") else 1e-9
        if value < least:
            raise InputError(f"{value} is too small", where=f"data.synthetic.{name}", remedy="Give more.")
    limits = [
        ("departments", config.departments, config.categories, "categories"),
        ("categories", config.categories, config.products, "products"),
        (
            "start_categories",
            config.start_categories + config.later_categories,
            config.categories,
            "categories",
        ),
    ]
    for name, value, most, of in limits:
        if value > most:
            remedy = f"Give at most as many as there are {of} (start and later categories together)."
            raise InputError(f"{value} is more than the {most} {of}", where=f"data.synthetic.{name}", remedy=remedy)


def planted(config: SyntheticConfig) -> Planted:
    """The truth behind the data."""
    rng = _rng(config, PLANT, 0)
    n = config.categories
    popularity = rng.permutation(1.0 / np.arange(3, n + 3) ** 0.7)
    liked = rng.random((config.segments, n)).argsort(axis=1) < max(1, round(config.liked_share * n))
    cycle = rng.permutation(n)
    complement = np.empty(n, dtype=np.int64)
    complement[cycle] = np.roll(cycle, 1)
    return Planted(popularity / popularity.sum(), np.where(liked, config.liking, 1.0), complement)


def product_chunks(config: SyntheticConfig) -> Iterator[pd.DataFrame]:
    """Products in chunks: ``product_id``, ``text``, ``brand`` and a column for each level."""
    check(config)
    for i, start in enumerate(range(0, config.products, config.chunk)):
        yield _products(config, _rng(config, PRODUCTS, i), np.arange(start, _end(config, start, config.products)))


def interaction_chunks(config: SyntheticConfig) -> Iterator[pd.DataFrame]:
    """Interactions in chunks of users, in the canonical columns."""
    check(config)
    truth = planted(config)
    for i in range(-(-config.users // config.chunk)):
        yield interaction_chunk(config, truth, i)


def interaction_chunk(config: SyntheticConfig, truth: Planted, number: int) -> pd.DataFrame:
    """Interactions of the users of one chunk."""
    rng = _rng(config, USERS, number)
    start = number * config.chunk
    users = np.arange(start, _end(config, start, config.users))
    return _lines(config, rng, users, adoption(config, truth, rng, len(users)))


def adoption(config: SyntheticConfig, truth: Planted, rng: np.random.Generator, n: int) -> Adoption:
    """Draw what n users buy: some categories from the beginning, some later by taste, then complements."""
    segment = rng.integers(config.segments, size=n)
    weights = truth.popularity * truth.affinity[segment]
    k = config.start_categories + config.later_categories
    noise = rng.gumbel(size=weights.shape)
    chosen = np.argsort(-(np.log(weights) + noise), axis=1)[:, :k]
    begin = np.zeros(chosen.shape, dtype=np.int64)
    begin[:, config.start_categories :] = rng.integers(1, max(2, config.periods), size=(n, config.later_categories))
    follows, follow_begin = _complements(config, truth, rng, chosen, begin)
    category = np.concatenate([chosen, follows], axis=1)
    weight = np.where(category >= 0, truth.popularity[category] ** 0.5, 0.0)
    return Adoption(segment, category, np.concatenate([begin, follow_begin], axis=1), weight)


def _complements(
    config: SyntheticConfig, truth: Planted, rng: np.random.Generator, chosen: Ints, begin: Ints
) -> tuple[Ints, Ints]:
    """Complements that users begin with, at a random time after the lag; −1 where they do not."""
    follows = truth.complement[chosen]
    known = (follows[:, :, None] == chosen[:, None, :]).any(axis=2)
    wanted = (rng.random(chosen.shape) < config.complement_share) & ~known
    wait = rng.integers(0, max(1, config.periods - config.complement_lag), size=chosen.shape)
    return np.where(wanted, follows, -1), begin + config.complement_lag + wait


def _lines(config: SyntheticConfig, rng: np.random.Generator, users: Ints, who: Adoption) -> pd.DataFrame:
    """Purchase lines: baskets at random periods, each line from a category that the user has begun with."""
    baskets = 1 + rng.poisson(max(config.baskets_per_user - 1, 0), size=len(users))
    of_user = np.repeat(np.arange(len(users)), baskets)
    period = rng.integers(config.periods, size=len(of_user))
    store = (of_user * 7 + rng.integers(2, size=len(of_user))) % config.stores
    number = np.arange(len(of_user)) - np.repeat(np.cumsum(baskets) - baskets, baskets)
    line = np.repeat(np.arange(len(of_user)), 1 + rng.poisson(max(config.lines_per_basket - 1, 0), len(of_user)))
    user = of_user[line]
    product = _product_of(config, rng, _draw(rng, who, user, period[line]))
    quantity = 1.0 + rng.poisson(0.3, size=len(line))
    frame = pd.DataFrame({"user_id": _names("u", users)[user], "product_id": _names("p", product)})
    frame["time"], frame["quantity"] = period[line], quantity
    frame["value"] = (quantity * (1 + product % 17) * 0.99).round(2)
    frame["basket_id"] = frame["user_id"] + "-" + pd.Series(number[line]).astype("str")
    frame["store_id"] = _names("s", store)[line]
    return frame.sort_values("time", kind="stable", ignore_index=True)


def _draw(rng: np.random.Generator, who: Adoption, user: Ints, period: Ints) -> Ints:
    """A category for each line, by weight, among those that its user has begun with; shape (lines,)."""
    begun = np.where(who.begin[user] <= period[:, None], who.weight[user], 0.0)
    steps = begun.cumsum(axis=1)
    aim = rng.random(len(user)) * steps[:, -1]
    return who.category[user, (steps <= aim[:, None]).sum(axis=1)]


def _product_of(config: SyntheticConfig, rng: np.random.Generator, category: Ints) -> Ints:
    """A product of each line's category, the first ones likelier."""
    size = (config.products - 1 - category) // config.categories + 1
    rank = (size * rng.random(len(category)) ** 2.5).astype(np.int64)
    return category + rank * config.categories


def _products(config: SyntheticConfig, rng: np.random.Generator, number: Ints) -> pd.DataFrame:
    """Product i sits in category i mod categories, there in a type."""
    category = number % config.categories
    kind = (number // config.categories) % config.types_per_category
    names = {
        "department": _names("department ", category % config.departments),
        "category": _names("category ", category),
        "type": _names("type ", category * config.types_per_category + kind),
    }
    brand = _names("brand ", rng.integers(config.brands, size=len(number)))
    colour = pd.Series(rng.choice(COLOURS, size=len(number)), dtype="str")
    grams = pd.Series(50 * (1 + rng.integers(20, size=len(number)))).astype("str")
    frame = pd.DataFrame({"product_id": _names("p", number), "text": colour + ", " + grams + " g"})
    return frame.assign(brand=brand, **names)


def read(config: DataConfig) -> Tables:
    """The whole shop as tables, for sizes that fit into memory."""
    raw = pd.concat(product_chunks(config.synthetic), ignore_index=True)
    names = raw[LEVELS]
    taxonomy, memberships = from_levels(raw["product_id"], joined_ids(names), names)
    return Tables(
        products=raw[["product_id", "text", "brand"]],
        taxonomy=taxonomy,
        memberships=memberships,
        interactions=pd.concat(interaction_chunks(config.synthetic), ignore_index=True),
        users=pd.DataFrame({"user_id": _names("u", np.arange(config.synthetic.users))}),
        relations=join_relations([]),
        levels=tuple(LEVELS),
        interest_level="category",
        attributes={"brand": "Brand"},
        rejects=Rejects().frame(),
        name="synthetic",
        time_unit="period",
    )


def write(config: SyntheticConfig, folder: Path) -> Path:
    """Write the shop chunk by chunk as Parquet files for the source ``tabular``.

    Args:
        config: size and structure.
        folder: made if need be; gets ``products.parquet``, ``interactions.parquet``, ``planted.json`` and
            ``mapping.yaml``, the mapping last.

    Returns:
        The mapping.
    """
    check(config)
    folder.mkdir(parents=True, exist_ok=True)
    _stream(product_chunks(config), folder / "products.parquet")
    _stream(interaction_chunks(config), folder / "interactions.parquet")
    truth = planted(config)
    told = {
        "affinity": truth.affinity.tolist(),
        "popularity": truth.popularity.tolist(),
        "complement": truth.complement.tolist(),
    }
    _write_text(folder / "planted.json", json.dumps({"config": asdict(config), **told}))
    mapping = folder / "mapping.yaml"
    _write_text(mapping, yaml.safe_dump(MAPPING, sort_keys=False))
    return mapping


def _stream(chunks: Iterator[pd.DataFrame], file: Path) -> None:
    first = pa.Table.from_pandas(next(chunks), preserve_index=False)
    with atomic(file) as temporary, pq.ParquetWriter(temporary, first.schema) as writer:
        writer.write_table(first)
        for chunk in chunks:
            writer.write_table(pa.Table.from_pandas(chunk, schema=first.schema, preserve_index=False))


def _write_text(file: Path, text: str) -> None:
    with atomic(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _rng(config: SyntheticConfig, purpose: int, chunk: int) -> np.random.Generator:
    return np.random.default_rng([config.seed, purpose, chunk])


def _end(config: SyntheticConfig, start: int, total: int) -> int:
    return min(start + config.chunk, total)


def _names(prefix: str, numbers: Ints) -> npt.NDArray[np.object_]:
    """Numbers with a prefix, as in "p12"."""
    text = pd.Series(np.asarray(numbers)).astype("str")
    return (prefix + text).to_numpy(dtype=object)
