"""A trained run put to use: lists of categories and products, changes of history, diversity, reasons."""

from recommend.filters import Filters
from recommend.recommender import Recommender

__all__ = ["Filters", "Recommender"]
