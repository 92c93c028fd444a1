"""BERT and its kin that embed texts: bge, MiniLM, e5. The pooling is what sentence-transformers' files say.

Without such files it is the mean, which is sentence-transformers' own default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ollama_jupyter.convert.config import Config
from ollama_jupyter.convert.families.decoder import MAX_LAYERS, no_extras
from ollama_jupyter.convert.families.pooling import MEAN, pooling_of
from ollama_jupyter.convert.folder import Folder
from ollama_jupyter.convert.weights import Weight
from ollama_jupyter.convert.writer import Metadata

NAME = "bert"
DEFAULTS: Mapping[str, Any] = {}
extras = no_extras

# GGUF's name -> the checkpoint's, shape of the weight; each has a bias as long as the first dimension
_LAYER = {
    "attn_q": ("attention.self.query", ("hidden", "hidden")),
    "attn_k": ("attention.self.key", ("hidden", "hidden")),
    "attn_v": ("attention.self.value", ("hidden", "hidden")),
    "attn_output": ("attention.output.dense", ("hidden", "hidden")),
    "attn_output_norm": ("attention.output.LayerNorm", ("hidden",)),
    "ffn_up": ("intermediate.dense", ("ff", "hidden")),
    "ffn_down": ("output.dense", ("hidden", "ff")),
    "layer_output_norm": ("output.LayerNorm", ("hidden",)),
}
_LEFT_OUT = ("pooler.", "cls.predictions", "cls.seq_relationship", "embeddings.position_ids")


def metadata(folder: Folder, config: Config) -> Metadata:
    config.demand("hidden_act", "gelu", "gelu_new", "gelu_pytorch_tanh")
    config.demand("position_embedding_type", "absolute")
    config.demand("is_decoder", False)
    return {
        "block_count": config.integer("num_hidden_layers", high=MAX_LAYERS),
        "context_length": config.integer("max_position_embeddings", high=1 << 24),
        "embedding_length": config.integer("hidden_size", high=1 << 20),
        "feed_forward_length": config.integer("intermediate_size", high=1 << 24),
        "attention.head_count": config.integer("num_attention_heads", high=1 << 14),
        "attention.layer_norm_epsilon": config.number("layer_norm_eps", 1e-12, high=0.5),
        "attention.causal": False,
        "pooling_type": pooling_of(folder) or MEAN,
        "tokenizer.ggml.token_type_count": config.integer("type_vocab_size", 2, high=1 << 16),
    }


def weights(config: Config) -> Iterator[Weight]:
    hidden = config.integer("hidden_size", high=1 << 20)
    lengths = {"hidden": hidden, "ff": config.integer("intermediate_size", high=1 << 24)}
    kinds, positions = config.integer("type_vocab_size", 2, high=1 << 16), config.integer("max_position_embeddings")
    rows = config.integer("vocab_size", high=4 << 20)
    yield Weight("token_embd.weight", "embeddings.word_embeddings.weight", (rows, hidden))
    yield Weight("token_types.weight", "embeddings.token_type_embeddings.weight", (kinds, hidden), exact=True)
    yield Weight("position_embd.weight", "embeddings.position_embeddings.weight", (positions, hidden), exact=True)
    yield from _pair("token_embd_norm", "embeddings.LayerNorm", (hidden,))
    for layer in range(config.integer("num_hidden_layers", high=MAX_LAYERS)):
        for target, (source, shape) in _LAYER.items():
            yield from _pair(
                f"blk.{layer}.{target}", f"encoder.layer.{layer}.{source}", tuple(lengths[name] for name in shape)
            )


def _pair(target: str, source: str, shape: tuple[int, ...]) -> Iterator[Weight]:
    yield Weight(f"{target}.weight", f"{source}.weight", shape)
    yield Weight(f"{target}.bias", f"{source}.bias", shape[:1])


def source_name(name: str) -> str | None:
    """The name without the prefix that larger classes give, and with today's words for a norm's two tensors."""
    name = name.removeprefix("bert.")
    if name.startswith(_LEFT_OUT):
        return None
    if name.endswith(".gamma"):
        return name.removesuffix("gamma") + "weight"
    return name.removesuffix("beta") + "bias" if name.endswith(".beta") else name
