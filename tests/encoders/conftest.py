"""The real MiniLM once per session, and tiny models of other kinds made on the spot."""

import copy

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AlbertConfig,
    AlbertModel,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    LlamaConfig,
    LlamaModel,
    MistralConfig,
    MistralModel,
    PreTrainedTokenizerFast,
)

from encoders.text import TextConfig, TextEncoder
from encoders.text_model import quiet

WORDS = (
    *("frozen", "pizza", "soft", "drinks", "milk", "cheese", "fresh", "bread", "butter", "apples"),
    *("red", "wine", "cat", "food", "brand", "size", "oz"),
)
_BASE = {"vocab_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "hidden_size": 16}
_KINDS = {
    "bert": (BertModel, BertConfig(**_BASE, intermediate_size=32, pad_token_id=0)),
    "albert": (AlbertModel, AlbertConfig(**_BASE, intermediate_size=32, embedding_size=8)),
    "llama": (LlamaModel, LlamaConfig(**_BASE, intermediate_size=32, num_key_value_heads=1)),
    "mistral": (MistralModel, MistralConfig(**_BASE, intermediate_size=32, num_key_value_heads=1)),
    "gpt2": (GPT2Model, GPT2Config(vocab_size=32, n_layer=3, n_head=2, n_embd=16, n_positions=64)),
}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A folder with a random model of a kind and a tokenizer by words, without a padding token."""

    def make(kind):
        folder = tmp_path_factory.getbasetemp() / f"tiny-{kind}"
        if not folder.exists():
            vocabulary = {word: i for i, word in enumerate(["<unk>", "</s>", *WORDS])}
            words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
            words.pre_tokenizer = pre_tokenizers.Whitespace()
            tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="</s>")
            tokenizer.save_pretrained(folder)
            torch.manual_seed(1)
            build, config = _KINDS[kind]
            with quiet():
                build(copy.deepcopy(config)).save_pretrained(folder)
        return str(folder)

    return make


@pytest.fixture(scope="session")
def _minilms():
    return {}


@pytest.fixture
def minilm(_minilms):
    """A fresh text encoder with the default MiniLM; its files are read once per set of settings."""

    def make(**settings):
        key = tuple(sorted(settings.items()))
        if key not in _minilms:
            torch.manual_seed(0)
            _minilms[key] = TextEncoder(TextConfig(precision="fp32", **settings))
        return copy.deepcopy(_minilms[key])

    return make
