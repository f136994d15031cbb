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
    """

    layers: int = 2
    dropout: float = 0.2
    copurchase_dropout: float = 0.4


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
