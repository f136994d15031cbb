"""The Lightning module: one loss, one backward pass through language model, graph, history, fusion and heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from encoders.text_bank import TextBank
from fusion.losses import unseen_softmax
from fusion.model import CrossAisle, Nodes
from fusion.within import WithinHead, choice_loss
from training.config import OptimiserConfig
from training.cutoffs import CutOff
from training.datamodule import Batch, StepBatch


@dataclass(frozen=True)
class TextPlan:
    """Where each label's texts are in the bank.

    Attributes:
        spans: first and one-past-last position by label.
        leaf: label of the products.
    """

    spans: dict[str, tuple[int, int]]
    leaf: str

    def positions(self, label: str) -> Tensor:
        """Positions of a label's texts, shape (nodes,)."""
        return torch.arange(*self.spans[label])


class InterestModule(pl.LightningModule):
    """Trains `fusion.CrossAisle` with its text bank.

    Args:
        model: the model.
        bank: the texts.
        plan: where each label's texts are in the bank.
        cutoffs: the training cut-offs, in the order of the batches' numbers.
        config: optimiser.
        tune_text: whether the language model's tuned weights move.
        validate: gives validation figures; called at the end of each epoch.
    """

    def __init__(
        self,
        model: CrossAisle,
        bank: TextBank,
        plan: TextPlan,
        cutoffs: list[CutOff],
        config: OptimiserConfig,
        tune_text: bool,
        validate: Callable[[], dict[str, float]] | None,
    ) -> None:
        super().__init__()
        self.model, self.bank = model, bank
        self.plan, self.cutoffs, self.config = plan, cutoffs, config
        self.tune_text, self.validate_with = tune_text, validate
        self.figures: list[dict[str, float]] = []

    # -- one step ----------------------------------------------------------------------------------------

    def nodes(self, cutoff: CutOff) -> Nodes:
        """Encode the graph's nodes at a cut-off, with gradient through the drawn texts."""
        texts = {label: self.bank.embed(self.plan.positions(label)) for label in self.model.shape.text_labels}
        profiles = cutoff.profiles.to(self.device)
        return self.model.nodes(cutoff.graph.contracted.to(self.device), texts, profiles)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The loss of a batch of users: interest level, levels below, drift of the language model."""
        interest = self.plan.positions(self.model.shape.interest)
        if self.tune_text:
            self.bank.draw(interest)
        nodes = self.nodes(self.cutoffs[batch.cutoff])
        users, _attention = self.model.users(nodes, batch.evidence)
        parts = self.model.interest(nodes, users, batch.evidence)
        losses = {"interest": unseen_softmax(torch.stack(list(parts.values())).sum(0), batch.unseen, batch.targets)}
        for step, choices in zip(self.model.shape.steps, batch.steps, strict=True):
            losses[step.label.lower()] = self.model.config.within_weight * self._choice_loss(
                step.label, choices, nodes, users
            )
        if self.tune_text:
            losses["drift"] = self.config.text_drift * self.bank.drift()
        loss = torch.stack(list(losses.values())).sum()
        self.log_dict({f"loss/{name}": value.detach() for name, value in losses.items()}, batch_size=len(users))
        self.log("loss/all", loss.detach(), prog_bar=True, batch_size=len(users))
        return loss

    def _choice_loss(self, label: str, choices: StepBatch, nodes: Nodes, users: Tensor) -> Tensor:
        head = self.model.within[f"within_{label}"]
        assert isinstance(head, WithinHead)
        if choices.neighbours is None:
            vectors = nodes.vectors[label][choices.children]
        else:
            first = self.plan.spans[label][0]
            texts = self.bank.embed(choices.children.cpu() + first)
            vectors, _ = self.model.leaves(nodes, choices.neighbours, texts, choices.children)
        match = (head.of_user(users)[choices.user] * vectors[choices.child]).sum(dim=1)
        scores = head.of_item(choices.items)[choices.child] + head.of_pair(choices.pairs) + match + choices.offset
        segments = int(choices.segment.max()) + 1 if len(choices.segment) else 0
        return choice_loss(scores, choices.segment, segments, choices.chosen)

    # -- Lightning's hooks -------------------------------------------------------------------------------

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move every tensor of a batch."""
        moved: Batch = to_device(batch, device)
        return moved

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:  # noqa: ANN401
        """Forget the draw; every so many steps encode the loss's candidates anew, all together."""
        if self.tune_text:
            self.bank.after_step(self.plan.positions(self.model.shape.interest))

    def on_train_epoch_end(self) -> None:
        """Validate and log the figures; the callbacks choose by them."""
        if self.tune_text:
            self.refresh_nodes()
        if self.validate_with is not None:
            was_training = self.training
            self.eval()
            figures = self.validate_with()
            self.train(was_training)
            self.figures.append({"epoch": float(self.current_epoch + 1), **figures})
            self.log_dict({f"validation/{name}": value for name, value in figures.items()}, prog_bar=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the validation figures so far."""
        checkpoint["figures"] = self.figures

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the validation figures of the interrupted training."""
        self.figures = list(checkpoint["figures"])

    def refresh_nodes(self) -> None:
        """Encode anew the texts of every label but the products."""
        for label in self.model.shape.text_labels:
            self.bank.refresh(self.plan.positions(label))

    def configure_optimizers(self) -> Any:  # noqa: ANN401
        """AdamW in three groups (heads, towers, language model), one-cycle: warm-up, then cosine decay."""
        groups = self.parameter_groups()
        optimiser = torch.optim.AdamW(groups, weight_decay=self.config.weight_decay)
        steps = max(2, int(self.trainer.estimated_stepping_batches))
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, [group["lr"] for group in groups], total_steps=steps + 1, pct_start=self.config.warmup
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Heads, towers and, while it is tuned, the language model, each with its learning rate.

        The heads of the re-ranking are trained apart (`training.rerank`).
        """
        heads = ("head.", "within.")
        head = [p for name, p in self.model.named_parameters() if name.startswith(heads)]
        tower = [p for name, p in self.model.named_parameters() if not name.startswith((*heads, "rerank."))]
        groups = [{"params": head, "lr": self.config.lr}, {"params": tower, "lr": self.config.tower_lr}]
        text = [p for p in self.bank.parameters() if p.requires_grad]
        if self.tune_text and text:
            groups.append({"params": text, "lr": self.config.text_lr})
        return groups


def to_device(value: Any, device: torch.device) -> Any:  # noqa: ANN401
    """Move all tensors of nested dataclasses, lists and dictionaries."""
    if isinstance(value, Tensor):
        return value.to(device)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: to_device(getattr(value, f.name), device) for f in fields(value)})
    if isinstance(value, list):
        return [to_device(item, device) for item in value]
    if isinstance(value, dict):
        return {key: to_device(item, device) for key, item in value.items()}
    return value
