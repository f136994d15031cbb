"""Settings of the evidence."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class EvidenceConfig:
    """What evidence is counted, and in which windows.

    Attributes:
        horizon: length of the target window in periods; windows are multiples of a seventh of it, so that
            a horizon of 7 weeks and one of 70 days look at comparable stretches of the past.
        popularity_windows: windows of the popularity counts, in sevenths of the horizon.
        adopter_windows: windows of the new-adopter counts, in sevenths of the horizon.
        recent_window: what "recently" means for histories and affinities, in sevenths of the horizon.
        half_life: half-life of the recency weights, in sevenths of the horizon.
        store_windows: windows of the store-relative popularity, in sevenths of the horizon.
        ease_regularisation: λ of EASE; every λ is used with every weighting of the history.
        neighbours: number of nearest users.
    """

    horizon: int = 7
    popularity_windows: list[int] = field(default_factory=lambda: [1, 2, 4, 12, 60])
    adopter_windows: list[int] = field(default_factory=lambda: [2, 4, 7, 12])
    recent_window: int = 12
    half_life: int = 8
    store_windows: list[int] = field(default_factory=lambda: [8, 52])
    ease_regularisation: list[float] = field(default_factory=lambda: [500.0, 2000.0])
    neighbours: int = 100

    def periods(self, sevenths: int) -> int:
        """A window in periods, at least 1."""
        return max(1, round(sevenths * self.horizon / 7))


@dataclass
class WithinConfig:
    """What evidence is counted for the choice within a parent.

    Attributes:
        popularity_windows: windows of the shares among siblings, in sevenths of the horizon.
        adopter_windows: windows of the shares among first purchases, in sevenths of the horizon.
        smoothing: pseudo-count (in buyers) that draws a window's share towards the next longer window's.
        store_window: window of sales in the user's stores, in sevenths of the horizon.
        ease_regularisation: λ of EASE, used where there are at most ``ease_max_items`` nodes.
        ease_max_items: largest number of nodes for EASE.
    """

    popularity_windows: list[int] = field(default_factory=lambda: [60, 12, 4, 2])
    adopter_windows: list[int] = field(default_factory=lambda: [60, 7])
    smoothing: float = 5.0
    store_window: int = 8
    ease_regularisation: float = 500.0
    ease_max_items: int = 6000


@dataclass
class CandidateConfig:
    """What evidence is counted for the candidates of a re-ranking.

    Attributes:
        neighbours: numbers of nearest users; what the first so many bought lately counts apart.
        recent_windows: what "lately" means, in sevenths of the horizon.
        ease_regularisation: λ of EASE, used where there are at most ``ease_max_items`` nodes.
        ease_max_items: largest number of nodes for EASE.
    """

    neighbours: list[int] = field(default_factory=lambda: [100, 30])
    recent_windows: list[int] = field(default_factory=lambda: [4])
    ease_regularisation: float = 500.0
    ease_max_items: int = 6000


@dataclass
class ColdConfig:
    """What is counted around items that nobody has bought.

    Attributes:
        windows: of the counts, in sevenths of the horizon.
        neighbours: number of sold items with the most similar texts that an item is likened to.
        temperature: τ of their weights.
        ease_regularisation: λ of EASE, used where there are at most ``ease_max_items`` items.
        ease_max_items: largest number of items for EASE.
    """

    windows: list[int] = field(default_factory=lambda: [60, 12, 4])
    neighbours: int = 20
    temperature: float = 0.1
    ease_regularisation: float = 500.0
    ease_max_items: int = 6000
