"""A training that starts from a finished run, of this or another shop: what carries over, and what does not.

By role (`training.roles`), since names differ between shops: encoders, attention and history whole, the heads feature
by feature, the language model's tuned weights where the model is the same. What belongs to a shop's own numbers never
does: scales of the evidence, running figures of the users' normalisation, vectors of single nodes, projections of
co-occurrence, the re-ranking and the heads for cold items, which are fitted after the training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, get_args

import torch
from torch import Tensor

from encoders.text import TextEncoder
from encoders.text_config import TextConfig
from errors import InputError
from files import read_json, write_json
from fusion.config import ModelConfig
from fusion.model import CrossAisle, ModelShape
from training import roles
from training.config import InitPart, TrainConfig
from training.folder import PARTIAL
from training.saved import built, read_facts, read_tensors

RECORD = "initial.json"
MODEL, FACTS = "model.safetensors", "model.json"
READING = ("model", "pooling")
TUNING = ("strategy", "lora_rank", "lora_alpha", "lora_layers", "top_layers")
OWN = ("pair_scale.", "item_scale.", "user_scale.", "user_norm.", "value.collaborative.")
OWN_STARTS = ("id.", "rerank.")
WHERE = "init_from"


@dataclass(frozen=True)
class Source:
    """A finished run that a training starts from.

    Attributes:
        folder: of the run.
        shape: sizes of its model.
        model: settings of its model.
        text: settings of its language model.
        tensors: weights of its model, by name.
        tuned: tuned weights of its language model, by name.
        text_fingerprint: of its language model as tuned.
        data_fingerprint: of its data.
    """

    folder: Path
    shape: ModelShape
    model: ModelConfig
    text: TextConfig
    tensors: dict[str, Tensor]
    tuned: dict[str, Tensor]
    text_fingerprint: str
    data_fingerprint: str

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a run's model.

        Raises:
            InputError: there is no run, it is not finished, or it is damaged or of another version.
        """
        _check_finished(folder)
        facts, tensors = read_facts(folder / FACTS), read_tensors(folder / MODEL)
        return cls(
            folder,
            built(ModelShape, facts["shape"]),
            built(ModelConfig, facts["model"]),
            built(TextConfig, facts["text"]),
            _under("model.", tensors),
            _under("text.", tensors),
            facts["text_fingerprint"],
            facts.get("data_fingerprint", ""),
        )

    def check(self, config: TrainConfig) -> None:
        """Refuse a run that nothing could be taken from.

        Raises:
            InputError: its vectors have another width, or its texts were read by another language model.
        """
        if self.model.dim != config.model.dim:
            remedy = f"Give --model.dim {self.model.dim}."
            what = f"its vectors have {self.model.dim} numbers, those of this training {config.model.dim}"
            raise InputError(what, where=self._where, remedy=remedy)
        other = [name for name in READING if getattr(self.text, name) != getattr(config.text, name)]
        if other:
            remedy = f"Give --text.{other[0]} {getattr(self.text, other[0])!r}, as the run has it."
            raise InputError("it read the texts with another language model", where=self._where, remedy=remedy)

    def tunes_alike(self, text: TextConfig) -> bool:
        """Whether its tuned weights have a place in a language model of these settings."""
        return bool(self.tuned) and all(getattr(self.text, name) == getattr(text, name) for name in TUNING)

    def tune(self, encoder: TextEncoder) -> None:
        """Put its tuned weights into the language model, where they have a place.

        Raises:
            InputError: the untuned model below them is another one.
        """
        if not self.tunes_alike(encoder.config):
            return
        encoder.load_trainable_state(self.tuned)
        if self.text_fingerprint not in {encoder.fingerprint(low) for low in (False, True)}:
            remedy = "Give the language model that the run was trained with, or --init_parts [encoders,heads]."
            raise InputError("the language model is not the one that the run tuned", where=self._where, remedy=remedy)

    @property
    def _where(self) -> str:
        return f"{WHERE}, {self.folder}"


@dataclass
class Carried:
    """What of a model's weights comes from another run.

    Attributes:
        whole: names of weights taken over as they are.
        partly: by name, columns taken over and columns there are: the others begin anew.
        fresh: names of weights that begin anew.
        labels: labels of the graph and their counterparts in the run.
        text: whether the language model's tuned weights were taken over.
    """

    whole: list[str] = field(default_factory=list)
    partly: dict[str, tuple[int, int]] = field(default_factory=dict)
    fresh: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    text: bool = False

    def told(self) -> Iterator[str]:
        """The same in a few words, one part at a time."""
        yield "language model as tuned there" if self.text else "language model untuned"
        for part in get_args(InitPart)[1:]:
            taken = [name for name in [*self.whole, *self.partly] if part_of(name) == part]
            there = len(taken) + sum(part_of(name) == part for name in self.fresh)
            yield f"{part} {len(taken)} of {there} weights"
        if self.partly:
            kept, of = (sum(sizes) for sizes in zip(*self.partly.values(), strict=True))
            yield f"{kept:,} of {of:,} columns of {len(self.partly)} of them"

    def labels_told(self) -> str:
        """Which labels stand for which."""
        return ", ".join(f"{here} from {there}" for here, there in self.labels.items())


def part_of(name: str) -> InitPart:
    """The part of the model that a weight belongs to."""
    return "heads" if name.startswith(("head.", "within.")) else "encoders"


def parts_of(config: TrainConfig) -> Sequence[InitPart]:
    """What is taken from the run."""
    return get_args(InitPart) if config.init_parts is None else config.init_parts


def begin(config: TrainConfig, work: Path) -> None:
    """Check the run that the training starts from, and note it in the work folder.

    Args:
        config: resolved configuration.
        work: folder of the run that is made; one that was begun before goes on only from the same weights.

    Raises:
        InputError: nothing can be taken from the run, or it has changed since this training began.
    """
    if config.init_from is None:
        if config.init_parts is not None:
            remedy = "Give --init_from RUN, or leave it out."
            raise InputError("there is no run to take parts from", where="init_parts", remedy=remedy)
        return
    check_same(config.init_from, work)
    source = Source.read(config.init_from)
    source.check(config)
    if not (work / RECORD).exists():
        facts = {"run": str(source.folder.resolve()), "fingerprint": fingerprint(source.folder)}
        write_json(work / RECORD, facts | {"data_fingerprint": source.data_fingerprint})


def check_same(init_from: Path | None, folder: Path) -> None:
    """Refuse a run, begun or finished, that started from other weights than are there now.

    Raises:
        InputError: the run that it started from has changed.
    """
    if init_from is None or not (folder / RECORD).exists():
        return
    if read_json(folder / RECORD)["fingerprint"] != fingerprint(init_from):
        remedy = "Bring that run back as it was, or give another --out."
        raise InputError(f"the run that it started from, {init_from}, has changed", where=str(folder), remedy=remedy)


def fingerprint(run: Path) -> str:
    """SHA-256 of a finished run's model.

    Raises:
        InputError: there is none.
    """
    _check_finished(run)
    digest = hashlib.sha256()
    for name in (FACTS, MODEL):
        try:
            digest.update((run / name).read_bytes())
        except OSError as error:
            remedy = "Give the folder of a finished run."
            raise InputError("this is no whole run", where=f"{WHERE}, {run / name}", remedy=remedy) from error
    return digest.hexdigest()


def starting_encoder(config: TrainConfig) -> TextEncoder:
    """The language model that a training begins with: untuned, or as tuned in the run that it starts from."""
    encoder = TextEncoder(config.text)
    if config.init_from is not None and "text" in parts_of(config):
        Source.read(config.init_from).tune(encoder)
    return encoder


def start_model(model: CrossAisle, config: TrainConfig, work: Path | None) -> Carried | None:
    """Put the weights of the run that the training starts from into a fresh model; None from scratch.

    Args:
        model: as made, its scales fitted.
        config: resolved configuration.
        work: folder of the run that is made, whose record tells what was taken over; None: nothing is written.
    """
    if config.init_from is None:
        return None
    source, parts = Source.read(config.init_from), parts_of(config)
    carried = carry_over(model, source, parts)
    carried.text = "text" in parts and source.tunes_alike(config.text)
    if work is not None:
        taken = {"whole": carried.whole, "partly": carried.partly, "fresh": carried.fresh}
        facts = {"parts": list(parts), "text": carried.text, "labels": carried.labels}
        write_json(work / RECORD, read_json(work / RECORD) | facts | taken)
    return carried


@torch.no_grad()
def carry_over(model: CrossAisle, source: Source, parts: Sequence[InitPart]) -> Carried:
    """Put what has a counterpart in a run into a model; the rest is left as it is.

    Args:
        model: of any shop; its ``dim`` is the run's.
        source: the run.
        parts: what is taken; ``text`` does not concern the model.
    """
    state = {name: value for name, value in model.state_dict().items() if not _own(name)}
    names = roles.weights(state, model.shape, source.shape, model.config.graph.layers)
    here = roles.columns(model.shape, model.config)
    there = roles.columns(source.shape, source.model)
    carried = Carried(labels=roles.labels(model.shape, source.shape))
    for name, value in state.items():
        other = names.get(name)
        given = None if other is None or part_of(name) not in parts else source.tensors.get(other)
        if given is None or other is None:
            carried.fresh.append(name)
        elif name in here:
            _take_columns(name, value, given, here[name], there.get(other, []), carried)
        elif given.shape == value.shape:
            value.copy_(given)
            carried.whole.append(name)
        else:
            carried.fresh.append(name)
    return carried


def _take_columns(name: str, value: Tensor, given: Tensor, here: list[str], there: list[str], carried: Carried) -> None:
    """Take over the columns that stand for the same."""
    place = {column: number for number, column in enumerate(there) if column}
    shared = [(number, place[column]) for number, column in enumerate(here) if column in place]
    if not shared or len(value) != len(given):
        carried.fresh.append(name)
        return
    to, of = (list(numbers) for numbers in zip(*shared, strict=True))
    value[:, to] = given[:, of]
    if len(shared) == len(here):
        carried.whole.append(name)
    else:
        carried.partly[name] = (len(shared), len(here))


def _own(name: str) -> bool:
    """Whether a weight belongs to a shop's own numbers."""
    return name.startswith(OWN_STARTS) or any(part in name for part in OWN)


def _under(start: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(start) :]: value for name, value in tensors.items() if name.startswith(start)}


def _check_finished(folder: Path) -> None:
    """Refuse what is no finished run.

    Raises:
        InputError: telling how an unfinished one is finished.
    """
    partial = folder if folder.name.endswith(PARTIAL) else folder.with_name(folder.name + PARTIAL)
    if partial.is_dir() and (folder == partial or not folder.exists()):
        remedy = f"Finish it first: python train.py --resume {partial}"
        raise InputError("this run is not finished", where=f"{WHERE}, {folder}", remedy=remedy)
    if not (folder / FACTS).is_file():
        remedy = "Give the folder of a finished run; one of several runs is a folder in it, such as 47-0."
        raise InputError("there is no run", where=f"{WHERE}, {folder}", remedy=remedy)


def started_from(folder: Path) -> dict[str, str] | None:
    """The run that a training started from: ``run`` and ``fingerprint``; None where it started from scratch."""
    if not (folder / RECORD).exists():
        return None
    facts = read_json(folder / RECORD)
    return {name: facts[name] for name in ("run", "fingerprint")}
