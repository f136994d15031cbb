"""A trained run put to use: lists of categories and products, changes of history, diversity, reasons."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recommend.emphasis import Emphasis
    from recommend.filters import Filters
    from recommend.recommender import Recommender

__all__ = ["Emphasis", "Filters", "Recommender"]


def __getattr__(name: str) -> object:
    """The room's classes, imported when first asked for, so that the command line's help does not wait for torch."""
    if name in __all__:
        return getattr(import_module(f"recommend.{name.lower()}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
