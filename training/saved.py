"""A trained model on disk: weights as safetensors, everything else as JSON; nothing is unpickled."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from encoders.text import TextEncoder
from encoders.text_config import TextConfig
from errors import InputError
from files import atomic, read_json, write_json
from fusion.cold import ColdHead
from fusion.config import ModelConfig
from fusion.model import CrossAisle, ModelShape

FORMAT = 1
COLD = "cold.safetensors"


def save_model(folder: Path, model: CrossAisle, encoder: TextEncoder, facts: dict[str, Any]) -> None:
    """Write ``model.safetensors`` and ``model.json``.

    Args:
        folder: of the run.
        model: its weights are saved under ``model.``.
        encoder: its tuned weights, if any, under ``text.``.
        facts: what else a reader must know (cut-offs, levels, data), JSON-ready.
    """
    tensors = {f"model.{name}": value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    tensors |= {f"text.{name}": value.detach().cpu().contiguous() for name, value in encoder.trainable_state().items()}
    with atomic(folder / "model.safetensors") as temporary:
        save_file(tensors, temporary)
    described = {
        "format": FORMAT,
        "shape": asdict(model.shape),
        "model": asdict(model.config),
        "text": asdict(encoder.config),
        "text_fingerprint": encoder.fingerprint(),
    }
    write_json(folder / "model.json", described | facts)


def load_model(folder: Path) -> tuple[CrossAisle, TextEncoder, dict[str, Any]]:
    """Read a model back.

    Returns:
        The model in evaluation mode, its text encoder, and the facts that were saved with them.

    Raises:
        InputError: a file is missing, damaged or of another version.
    """
    facts = read_facts(folder / "model.json")
    tensors = read_tensors(folder / "model.safetensors")
    model = CrossAisle(built(ModelShape, facts["shape"]), built(ModelConfig, facts["model"]))
    encoder = TextEncoder(built(TextConfig, facts["text"]))
    model.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
    tuned = {name[5:]: value for name, value in tensors.items() if name.startswith("text.")}
    if tuned:
        encoder.load_trainable_state(tuned)
    return model.eval(), encoder, facts


def save_cold(folder: Path, heads: dict[str, ColdHead]) -> None:
    """Write the heads for items that nobody has bought, by label, into ``cold.safetensors``; none: no file."""
    if not heads:
        return
    tensors = {f"{label}.{name}": value for label, head in heads.items() for name, value in head.state_dict().items()}
    sizes = {label: json.dumps(head.sizes) for label, head in heads.items()}
    with atomic(folder / COLD) as temporary:
        save_file({name: value.cpu().contiguous() for name, value in tensors.items()}, temporary, sizes)


def load_cold(folder: Path) -> dict[str, ColdHead]:
    """Read them back; none where a run has no such file.

    Raises:
        InputError: the file is damaged.
    """
    if not (folder / COLD).exists():
        return {}
    tensors = read_tensors(folder / COLD)
    with safe_open(folder / COLD, "pt") as file:
        sizes = {label: json.loads(text) for label, text in (file.metadata() or {}).items()}
    heads = {label: ColdHead(*size) for label, size in sizes.items()}
    for label, head in heads.items():
        start = f"{label}."
        head.load_state_dict({name[len(start) :]: v for name, v in tensors.items() if name.startswith(start)})
    return {label: head.eval() for label, head in heads.items()}


def read_facts(path: Path, what: str = "run", version_read: int = FORMAT) -> dict[str, Any]:
    """A JSON file that tells its format.

    Raises:
        InputError: it is missing, damaged or of another version.
    """
    remedy = f"Give the folder of a finished {what}."
    try:
        facts: dict[str, Any] = read_json(path)
        version = facts["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"this is no whole {what}", where=str(path), remedy=remedy) from error
    if version != version_read:
        remedy = "Train again, or use the version that made it."
        raise InputError(f"format {version}; this version reads {version_read}", where=str(path), remedy=remedy)
    return facts


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Weights by name.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError("the weights cannot be read", where=str(path), remedy="Train again.") from error
    return tensors


def built(kind: type[Any], values: dict[str, Any]) -> Any:  # noqa: ANN401
    """A dataclass from plain values, types checked."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "it")
    return parser.instantiate(parser.parse_object({"it": values})).it
