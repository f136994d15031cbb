"""Settings of the graph and history encoders."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class GraphConfig:
    """The graph encoder.

    Attributes:
        layers: rounds of message passing.
        dropout: share of the messages' features dropped.
        copurchase_dropout: share of nodes that get no message over learnt-from-purchases relations in a training
            step, so that nodes without purchases are met in training too.
        co_purchases: False leaves out the co-purchase relations (`BOUGHT_WITH`); they stay in the store.
        shuffled: permute the targets of each relation among its edges, drawn by the run's seed: sources keep their
            number of edges and targets theirs, but who is joined with whom means nothing. A check on what the graph
            is worth; only the graph encoder sees it.
    """

    layers: int = 2
    dropout: float = 0.2
    copurchase_dropout: float = 0.4
    co_purchases: bool = True
    shuffled: bool = False


@dataclass
class HistoryConfig:
    """The history encoder.

    Attributes:
        pools: number of attention pools, each with a query of its own.
        dropout: share of purchases hidden from the pools in each training step, so that short histories
            are met in training too.
    """

    pools: int = 2
    dropout: float = 0.1
