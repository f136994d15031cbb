"""Encodings of the untuned language model on disk, so that a second run does not encode again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from files import atomic

_DIGEST = 32


class FrozenCache:
    """Vectors by content: one folder per model, one file per batch of texts once encoded.

    A file is written whole under another name and then renamed, carries its own checksum, and holds no
    code; one that is damaged counts as absent and its texts are encoded again. Several runs may share a
    folder.

    Args:
        folder: where the files lie; None = nothing is read or kept.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self.folder = None if folder is None else Path(folder)

    def get(self, model: str, keys: Sequence[bytes]) -> dict[bytes, Tensor]:
        """Vectors that are known.

        Args:
            model: fingerprint of model and settings (:meth:`encoders.text.TextEncoder.fingerprint`).
            keys: SHA-256 digest of each text (of its tokens).

        Returns:
            (dim,) vectors by key, for the keys that are known.
        """
        found: dict[bytes, Tensor] = {}
        wanted = set(keys)
        for path in sorted(self._home(model).glob("*.safetensors")) if self.folder else []:
            names, vectors = _read(path)
            found.update((k, v) for k, v in zip(names, vectors, strict=True) if k in wanted)
        return found

    def put(self, model: str, keys: Sequence[bytes], vectors: Tensor) -> None:
        """Keep vectors (n, dim) under their keys."""
        if self.folder is None or not keys:
            return
        home = self._home(model)
        home.mkdir(parents=True, exist_ok=True)
        names = torch.frombuffer(bytearray(b"".join(keys)), dtype=torch.uint8).view(-1, _DIGEST)
        vectors = vectors.detach().cpu().contiguous()
        path = home / f"{hashlib.sha256(b''.join(keys)).hexdigest()[:16]}.safetensors"
        with atomic(path) as temporary:
            save_file({"keys": names.clone(), "vectors": vectors}, temporary, {"sha256": _checksum(names, vectors)})

    def _home(self, model: str) -> Path:
        return (self.folder or Path()) / model[:16]


class KnownVectors(FrozenCache):
    """Vectors at hand, for a bank of other texts; nothing is read from disk or kept there.

    Args:
        vectors: (dim,) by key.
    """

    def __init__(self, vectors: dict[bytes, Tensor]) -> None:
        super().__init__(Path())
        self._vectors = vectors

    def get(self, model: str, keys: Sequence[bytes]) -> dict[bytes, Tensor]:
        """Those of the keys that are known."""
        return {key: self._vectors[key] for key in keys if key in self._vectors}

    def put(self, model: str, keys: Sequence[bytes], vectors: Tensor) -> None:
        """Nothing is kept."""


def _checksum(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def _read(path: Path) -> tuple[list[bytes], Tensor]:
    """Keys and vectors of a file; none of a damaged one."""
    try:
        with safe_open(str(path), framework="pt") as file:
            names, vectors = file.get_tensor("keys"), file.get_tensor("vectors")
            expected = (file.metadata() or {}).get("sha256")
    except (SafetensorError, OSError):
        return [], torch.empty(0, 0)
    if expected != _checksum(names, vectors) or len(names) != len(vectors):
        return [], torch.empty(0, 0)
    raw = names.numpy().tobytes()
    return [raw[i : i + _DIGEST] for i in range(0, len(raw), _DIGEST)], vectors
