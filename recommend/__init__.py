"""A trained run put to use: lists of categories and products, changes of history, diversity, reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recommend.filters import Filters
    from recommend.recommender import Recommender

__all__ = ["Filters", "Recommender"]


def __getattr__(name: str) -> object:
    """The room's classes, imported when first asked for, so that the command line's help does not wait for torch."""
    if name == "Filters":
        from recommend.filters import Filters

        return Filters
    if name == "Recommender":
        from recommend.recommender import Recommender

        return Recommender
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
