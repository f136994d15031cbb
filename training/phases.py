"""The phases of a training: choose by validation, tune the language model, train again on all cut-offs."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

from console import console
from encoders.text_bank import TextBank
from files import read_json, write_json
from fusion.model import CrossAisle
from training.build import ExampleStore
from training.config import OptimiserConfig
from training.datamodule import CutOffData
from training.interrupt import InterruptBetweenSteps
from training.module import InterestModule, TextPlan
from training.ranks import device_count

MONITOR = "validation/ndcg@20"
Validate = Callable[[InterestModule], dict[str, float]]


@dataclass(frozen=True)
class PhaseResult:
    """What a phase found.

    Attributes:
        name: of the phase.
        epochs: epochs that the kept weights were trained.
        validation: validation figures by epoch; empty for the final training.
        best: figure of the kept weights; None for the final training.
    """

    name: str
    epochs: int
    validation: list[dict[str, float]]
    best: float | None


class _Epochs(Callback):
    """Makes every step repeatable by itself, and stops after a given number of epochs.

    The random numbers of a step depend on seed, phase, epoch and batch alone, so that a training that was
    interrupted and resumed is the same as one that was not.
    """

    def __init__(self, seed: int, phase: str, stop_after: int | None) -> None:
        self.seed, self.phase, self.stop_after = seed, phase, stop_after

    def on_train_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """Seed every batch: making an epoch's loader draws too, and a resumed epoch makes it at another moment."""
        number = sum(ord(letter) for letter in self.phase)
        torch.manual_seed(((self.seed * 1009 + number) * 1009 + trainer.current_epoch) * 100_003 + batch_idx)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.stop_after is not None and trainer.current_epoch + 1 >= self.stop_after:
            trainer.should_stop = True


class Phases:
    """Runs phases in a run's folder; a finished phase is not run again, an interrupted one goes on.

    Args:
        folder: of the run.
        config: optimiser.
        seed: of the run.
        store: training examples.
    """

    def __init__(self, folder: Path, config: OptimiserConfig, seed: int, store: ExampleStore) -> None:
        self.folder, self.config, self.seed, self.store = folder, config, seed, store

    def run(
        self,
        name: str,
        model: CrossAisle,
        bank: TextBank,
        plan: TextPlan,
        times: list[int],
        *,
        config: OptimiserConfig | None = None,
        tune_text: bool = False,
        validate: Validate | None = None,
        stop_after: int | None = None,
    ) -> PhaseResult:
        """Train, or take up where it was left; the model ends with the phase's kept weights.

        Args:
            name: of the phase; its checkpoints are in ``checkpoints/NAME``.
            model: what is trained.
            bank: its texts.
            plan: where they are.
            times: training cut-offs.
            config: optimiser, when it is not the run's.
            tune_text: whether the language model's tuned weights move.
            validate: gives the figures that the best epoch is chosen by; None keeps the last epoch.
            stop_after: epochs after which to stop, whatever the schedule's length.
        """
        folder = self.folder / "checkpoints" / name
        done = folder / "phase.json"
        module = self._module(model, bank, plan, times, config or self.config, tune_text, validate)
        if not done.exists():
            self._fit(module, times, folder, name, stop_after)
        found = read_json(done)
        load_weights(module, folder / found["weights"])
        return PhaseResult(name, found["epochs"], found["validation"], found["best"])

    def _module(
        self,
        model: CrossAisle,
        bank: TextBank,
        plan: TextPlan,
        times: list[int],
        config: OptimiserConfig,
        tune_text: bool,
        validate: Validate | None,
    ) -> InterestModule:
        examples, _ = self.store.get(times)
        module = InterestModule(model, bank, plan, [one.cutoff for one in examples], config, tune_text, None)
        if validate is not None:
            module.validate_with = lambda: validate(module)
        return module

    def _fit(self, module: InterestModule, times: list[int], folder: Path, name: str, stop_after: int | None) -> None:
        config = module.config
        examples, items = self.store.get(times)
        data = CutOffData(examples, items, config.batch_size, self.seed)
        monitor = MONITOR if module.validate_with is not None else None
        best = ModelCheckpoint(
            folder, "{epoch}", monitor=monitor, mode="max", save_last=True, save_on_train_epoch_end=True
        )
        interrupt = InterruptBetweenSteps()
        callbacks: list[Callback] = [interrupt, _Epochs(self.seed, name, stop_after), best]
        if monitor:
            callbacks.append(
                EarlyStopping(monitor, mode="max", patience=config.patience, check_on_train_epoch_end=True)
            )
        if console.is_terminal:
            callbacks.append(RichProgressBar(leave=False))
        trainer = _trainer(config, self.folder / "logs", name, callbacks)
        last = folder / "last.ckpt"
        module.train()  # Lightning leaves the mode as it finds it
        with interrupt.listening():
            _fit(trainer, module, data, last if last.exists() else None)
        score = None if best.best_model_score is None or monitor is None else float(best.best_model_score)
        weights = Path(best.best_model_path if monitor else best.last_model_path)
        kept = int(_checkpoint(weights)["epoch"]) + 1
        facts = {"weights": weights.name, "epochs": kept, "validation": module.figures, "best": score}
        if trainer.is_global_zero:
            write_json(folder / "phase.json", facts)
        trainer.strategy.barrier()


def _fit(trainer: pl.Trainer, module: InterestModule, data: CutOffData, resume: Path | None) -> None:
    """Fit; Lightning turns Ctrl-C into an exit, which is turned back."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    except SystemExit as stopped:
        raise KeyboardInterrupt from stopped
    if trainer.interrupted:
        raise KeyboardInterrupt
    if not math.isfinite(float(trainer.callback_metrics.get("loss/all", torch.zeros(())))):
        raise FloatingPointError("the training loss is not finite")


def _trainer(config: OptimiserConfig, logs: Path, name: str, callbacks: list[Callback]) -> pl.Trainer:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    loggers: list[Logger] = [CSVLogger(logs, "csv", name), TensorBoardLogger(logs, "tensorboard", name)]
    on_gpu = torch.cuda.is_available() and config.accelerator != "cpu"
    precision: Any = config.precision
    if precision == "auto":
        precision = "bf16-mixed" if on_gpu else "32-true"
    devices: Any = int(config.devices) if config.devices.isdigit() else config.devices
    several = device_count(config.devices, on_gpu) > 1
    return pl.Trainer(
        max_epochs=config.epochs,
        accelerator=config.accelerator,
        devices=1 if config.accelerator == "cpu" and devices == "auto" else devices,
        strategy="ddp_find_unused_parameters_true" if several else "auto",
        precision=precision,
        gradient_clip_val=config.clip,
        accumulate_grad_batches=config.accumulate,
        callbacks=callbacks,
        logger=loggers,
        log_every_n_steps=5,
        reload_dataloaders_every_n_epochs=1,
        enable_progress_bar=console.is_terminal,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def _checkpoint(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return found


def load_weights(module: InterestModule, path: Path) -> None:
    """Put a checkpoint's weights (model, tuned text weights, text vectors) into a module."""
    module.load_state_dict(_checkpoint(path)["state_dict"], strict=False)


def text_stage(config: OptimiserConfig, share: float = 0.1) -> OptimiserConfig:
    """The optimiser while the language model is tuned: the rest moves at a tenth of its rate."""
    return replace(config, epochs=config.text_epochs, lr=config.lr * share, tower_lr=config.tower_lr * share)
