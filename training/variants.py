"""Variants of the model with one part left out, shuffled or replaced; each is a few settings of `TrainConfig`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from jsonargparse import Namespace

from errors import InputError

WHOLE = "whole"


@dataclass(frozen=True)
class Variant:
    """How a variant differs from the whole model.

    Attributes:
        told: what it is, in a few words.
        settings: settings that it changes, by dotted name.
        without: modality that it leaves out.
        needs: modality without which it would change nothing.
    """

    told: str
    settings: dict[str, Any] = field(default_factory=dict)
    without: str = ""
    needs: str = ""

    def changes(self, whole: Namespace) -> dict[str, Any]:
        """The settings that turn the whole model into the variant; none where there is nothing to change.

        Args:
            whole: resolved settings of the whole model.
        """
        modalities = list(whole.model.modalities)
        if self.needs and self.needs not in modalities:
            return {}
        wanted = dict(self.settings)
        if self.without:
            rest = [name for name in modalities if name != self.without]
            wanted |= {"model.modalities": rest} if rest else {}
        return {name: value for name, value in wanted.items() if whole[name] != value}


VARIANTS = {
    "no_graph": Variant("without the graph encoder's output in the fusion", without="graph", needs="graph"),
    "shuffled_graph": Variant(
        "the targets of each relation permuted among its edges", {"model.graph.shuffled": True}, needs="graph"
    ),
    "no_co_purchase": Variant("without BOUGHT_WITH in the graph", {"model.graph.co_purchases": False}, needs="graph"),
    "no_text": Variant("without texts, in the graph encoder too", without="text", needs="text"),
    "shuffled_texts": Variant("texts permuted among the nodes of a label", {"text.shuffled": True}, needs="text"),
    "frozen_text": Variant("the language model is not tuned", {"text.strategy": "frozen"}, needs="text"),
    "concatenation": Variant("modalities side by side, not attended to", {"model.fusion.kind": "concatenation"}),
    "gating": Variant("modalities joined by gates, not by attention", {"model.fusion.kind": "gating"}),
    "no_pair_evidence": Variant("heads without the per-pair evidence", {"model.pair_evidence": False}),
    "no_reranking": Variant("types and products are not ranked again", {"model.rerank.candidates": 0}),
    "ids_only": Variant("a node is a learnt vector of its own, no graph, no text", {"model.modalities": ["id"]}),
}


def chosen(names: Sequence[str], whole: Namespace) -> dict[str, dict[str, Any]]:
    """What each variant changes, the whole model (which changes nothing) first.

    Args:
        names: of variants; none: all that change something.
        whole: resolved settings of the whole model.

    Raises:
        InputError: there is no such variant, or it would be the whole model itself.
    """
    unknown = [name for name in names if name not in VARIANTS and name != WHOLE]
    if unknown:
        remedy = f"Give some of {', '.join(VARIANTS)}."
        raise InputError(f"there is no variant {unknown[0]!r}", where="--variants", remedy=remedy)
    asked = [name for name in names if name != WHOLE] or ([] if names else list(VARIANTS))
    found = {name: VARIANTS[name].changes(whole) for name in asked}
    same = [name for name, changes in found.items() if not changes]
    if same and names:
        remedy = "Leave it out, or change the settings of the whole model."
        raise InputError(f"{same[0]} changes nothing in these settings", where="--variants", remedy=remedy)
    return {WHOLE: {}} | {name: changes for name, changes in found.items() if changes}
