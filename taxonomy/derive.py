"""`crossaisle taxonomy`: from what describes the products to a file with each product's group and category."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from console import say
from data.sources.files import PARQUET
from data.sources.mapping import read_mapping
from data.sources.tabular import read_texts
from encoders.text import TextEncoder
from encoders.text_bank import TextBank
from encoders.text_cache import FrozenCache
from encoders.text_config import TextConfig
from errors import InputError
from files import atomic
from taxonomy.clusters import two_levels
from taxonomy.config import TaxonomyConfig
from taxonomy.naming import typical_words

LEVELS = ["group", "category"]
SHOWN = 5


def derive(products: pd.DataFrame, config: TaxonomyConfig) -> pd.DataFrame:
    """Two levels of nodes for products, from their texts alone.

    Each distinct text counts once, however many products or purchases it has: nothing but the catalogue is seen. The
    texts are sorted, so the order of the file does not matter either.

    Args:
        products: ``product_id``, ``text``.
        config: how.

    Returns:
        ``product_id``, ``group``, ``category``, sorted by product; products without a text are not in it.

    Raises:
        InputError: fewer than two distinct texts.
    """
    described = products[products["text"].str.strip() != ""].sort_values("product_id").reset_index(drop=True)
    numbers, texts = pd.factorize(described["text"].str.strip(), sort=True)
    if len(texts) < 2:
        remedy = "Name columns that describe the products in the mapping's products.text."
        raise InputError(f"{len(texts)} distinct texts leave nothing to group", where="--mapping", remedy=remedy)
    vectors = _encoded(texts.tolist(), config)
    weights = np.bincount(numbers)
    sizes = (config.groups, config.categories, config.min_products)
    category, group = two_levels(vectors, weights, *sizes, config.seed)
    names = typical_words(texts.tolist(), category, config.words)
    group_names = typical_words(texts.tolist(), group[category], config.words)
    of_product = category[numbers]
    found = pd.DataFrame({"product_id": described["product_id"]})
    found["group"] = [group_names[group[k]] for k in of_product]
    found["category"] = [names[k] for k in of_product]
    return found


def _encoded(texts: list[str], config: TaxonomyConfig) -> npt.NDArray[np.float32]:
    encoder = TextEncoder(TextConfig(model=config.model, strategy="frozen"))
    bank = TextBank(encoder, texts, FrozenCache(config.text_cache or None))
    vectors: npt.NDArray[np.float32] = bank.cache[bank.inverse].numpy()
    return vectors


def run(mapping: Path, root: Path | None, to: Path | None, overwrite: bool, config: TaxonomyConfig) -> None:
    """Derive a taxonomy and write it where the mapping looks for it.

    Args:
        mapping: YAML file; its products section is read, the interactions are not.
        root: folder of its files; None: its own.
        to: file to write; None: the file that the mapping names under taxonomy.table.
        overwrite: whether one that is there is replaced.
        config: how.

    Raises:
        InputError: anything wrong with the mapping or the products file, no place to write, a file that is there.
    """
    products = read_texts(mapping, root)
    to = to or _place(mapping, root)
    if to.exists() and not overwrite:
        raise InputError("this exists already", where=str(to), remedy="Give --overwrite, or another --to.")
    if not to.parent.is_dir():
        raise InputError("no such folder", where=str(to.parent), remedy="Make it, or give another --to.")
    found = derive(products, config)
    try:
        _write(found, to)
    except PermissionError as error:
        remedy = "Give a --to that can be written, and name it in the mapping."
        raise InputError(f"cannot be written: {error.strerror}", where=str(to), remedy=remedy) from error
    _tell(found, len(products), to)


def _write(found: pd.DataFrame, to: Path) -> None:
    with atomic(to) as temporary:
        if to.suffix in PARQUET:
            found.to_parquet(temporary, index=False)
        else:
            found.to_csv(temporary, index=False, lineterminator="\n")


def _place(mapping: Path, root: Path | None) -> Path:
    """Where the mapping looks for the taxonomy."""
    read = read_mapping(mapping)
    if read.taxonomy.table is None:
        remedy = "Give --to FILE, or name the file there: {file: …, product: product_id, levels: [group, category]}."
        raise InputError("names no file", where=f"{mapping}, taxonomy, table", remedy=remedy)
    return (root or mapping.parent / read.root) / read.taxonomy.table.file


def _tell(found: pd.DataFrame, products: int, to: Path) -> None:
    sizes = found["category"].value_counts()
    said = f"{len(found):,} products in {len(sizes):,} categories of {found['group'].nunique():,} groups"
    say("taxonomy", f"{said}: {to}")
    if len(found) < products:
        say("", f"{products - len(found):,} products without a text are left out: they have no category")
    say("", f"products in a category: {sizes.min():,} to {sizes.max():,}, median {sizes.median():,.0f}")
    for name, part in list(found.groupby("group", sort=False))[:SHOWN]:
        largest = part["category"].value_counts().index[:SHOWN]
        say("", f"{name}: {'; '.join(largest)}{' …' if part['category'].nunique() > SHOWN else ''}")
