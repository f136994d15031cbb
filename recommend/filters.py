"""What may be recommended: stock, price band, brand, categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.catalogue import Catalogue, Level
from data.log import Log
from data.lookup import among, positions
from errors import InputError

BRAND = "brand"
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Filters:
    """What may be recommended. At the levels above products a node passes that holds a product which passes.

    Attributes:
        stock: ids of the products that there are; None: all.
        price_from: lowest unit price; None: any.
        price_to: highest unit price; None: any. The price of a product is the median of what a unit of it cost
            before the run's cut-off; with a price band, products that were never sold by then are left out.
        brands: values of the catalogue's attribute ``brand``; none: all.
        categories: ids at the interest level that are allowed; none: all.
        forbidden: ids at the interest level that are not.
        owned: whether categories that the user has bought from, and products that they have, may stand in the
            list. The model is trained on unseen categories, so that its scores for others are an extrapolation.
    """

    stock: Sequence[str] | None = None
    price_from: float | None = None
    price_to: float | None = None
    brands: Sequence[str] = ()
    categories: Sequence[str] = ()
    forbidden: Sequence[str] = ()
    owned: bool = False

    @property
    def has_price(self) -> bool:
        """Whether there is a price band."""
        return self.price_from is not None or self.price_to is not None

    def products(self, catalogue: Catalogue, history: Log) -> Mask:
        """Which products pass, shape (products,).

        Args:
            catalogue: of the run.
            history: before the run's cut-off, for prices.

        Raises:
            InputError: an unknown brand or category, an unknown stock altogether, a price band without prices,
                or nothing passes.
        """
        passed = np.ones(len(catalogue.product_ids), dtype=np.bool_)
        if self.stock is not None:
            passed &= _stocked(catalogue, self.stock)
        if self.has_price:
            passed &= self._in_band(unit_prices(history, len(passed)))
        if len(self.brands):
            passed &= _branded(catalogue, self.brands)
        if len(self.categories):
            passed &= _within(catalogue, self.categories)
        if len(self.forbidden):
            passed &= ~_within(catalogue, self.forbidden)
        if not passed.any():
            raise InputError("the filters leave no product", where="filters", remedy="Leave one out or widen it.")
        return passed

    def items(self, level: Level | None, catalogue: Catalogue, history: Log) -> Mask:
        """Which items of a level pass, shape (items,); arguments and errors as of `products`, None: the products."""
        passed = self.products(catalogue, history)
        if level is None:
            return passed
        holds = level.of_product.T @ passed.astype(np.float32) > 0
        if level is catalogue.interest:
            holds &= self._named(level)
        return np.asarray(holds)

    def _named(self, interest: Level) -> Mask:
        """Categories that the lists of categories let pass; a product in two of them does not bring the other in."""
        passed = (
            np.isin(interest.ids, _texts(self.categories)) if len(self.categories) else np.ones(len(interest), bool)
        )
        return np.asarray(passed & ~np.isin(interest.ids, _texts(self.forbidden)))

    def unknown_stock(self, catalogue: Catalogue) -> list[str]:
        """Products of the stock list that the catalogue lacks."""
        if self.stock is None:
            return []
        stock = _texts(self.stock)
        return [str(name) for name in stock[~among(stock, catalogue.product_ids)]]

    def _in_band(self, prices: npt.NDArray[np.float64]) -> Mask:
        low = -np.inf if self.price_from is None else self.price_from
        high = np.inf if self.price_to is None else self.price_to
        if not low <= high:
            raise InputError(f"no price lies from {low:g} to {high:g}", where="price", remedy="Swap the two.")
        return np.asarray((prices >= low) & (prices <= high))


def unit_prices(history: Log, n_products: int) -> npt.NDArray[np.float64]:
    """Median of value / quantity of each product, shape (n_products,); NaN for one that was never sold at a price.

    Raises:
        InputError: nothing was sold at a price: the data have no spend.
    """
    sold = np.flatnonzero((history.value > 0) & (history.quantity > 0))
    if not len(sold):
        remedy = "Leave the price band out, or train on data with money spent (`value` in the mapping)."
        raise InputError("the data tell no spend, so that products have no price", where="price", remedy=remedy)
    price = pd.Series((history.value[sold] / history.quantity[sold]).astype(np.float64))
    median = price.groupby(history.product[sold]).median()
    found = np.full(n_products, np.nan)
    found[median.index.to_numpy()] = median.to_numpy()
    return found


def _texts(values: Sequence[str]) -> npt.NDArray[np.str_]:
    return np.array([str(value) for value in values], dtype=str)


def _stocked(catalogue: Catalogue, stock: Sequence[str]) -> Mask:
    listed = _texts(stock)
    if not among(listed, catalogue.product_ids).any():
        remedy = "Give product ids as they stand in the run's data."
        raise InputError(f"the catalogue holds none of the {len(listed)} products", where="stock", remedy=remedy)
    return among(catalogue.product_ids, listed)


def _branded(catalogue: Catalogue, brands: Sequence[str]) -> Mask:
    if BRAND not in catalogue.attributes:
        there = ", ".join(catalogue.attributes) or "none"
        remedy = f"Name it so in the mapping. Attributes of these data: {there}."
        raise InputError("products have no attribute 'brand'", where="brands", remedy=remedy)
    values, codes = catalogue.attributes[BRAND]
    return np.isin(codes, _known(brands, values, "brands", "brand"))


def _within(catalogue: Catalogue, categories: Sequence[str]) -> Mask:
    level = catalogue.interest
    chosen = _known(categories, level.ids, "categories", level.name)
    return np.asarray(level.of_product[:, chosen].sum(axis=1)).ravel() > 0


def _known(names: Sequence[str], ids: npt.NDArray[np.str_], where: str, what: str) -> npt.NDArray[np.int64]:
    """Positions of names, all of which must be known."""
    found = positions(_texts(names), ids)
    if (found < 0).any():
        lost = str(names[int(np.argmin(found))])
        raise InputError(f"there is no {what} {lost!r}", where=where, remedy=_like(lost, ids))
    return found


def _like(name: str, ids: npt.NDArray[np.str_]) -> str:
    from difflib import get_close_matches

    folded = {str(known).casefold(): str(known) for known in ids}
    close = [folded[found] for found in get_close_matches(name.casefold(), folded, n=3)]
    return f"Did you mean {' or '.join(map(repr, close))}?" if close else "Give ids as in the run's data."
