"""What the text-generating families share: sizes, the header's common keys, rope scaling, and tables of tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ollama_jupyter.convert.config import Config
from ollama_jupyter.convert.weights import Weight
from ollama_jupyter.convert.writer import Metadata
from ollama_jupyter.errors import ConversionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_LAYERS = 512


@dataclass(frozen=True, slots=True)
class Part:
    """A tensor of each layer: its names in the GGUF and in the checkpoint, and its shape in names of sizes."""

    target: str
    source: str
    shape: tuple[str, ...]
    heads: str = ""
    required: bool = True


@dataclass(frozen=True, slots=True)
class Sizes:
    """The lengths that shapes are made of."""

    layers: int
    hidden: int
    heads: int
    heads_kv: int
    head: int
    feed_forward: int
    vocabulary: int

    def length(self, name: str) -> int:
        lengths = {
            "hidden": self.hidden,
            "head": self.head,
            "q": self.heads * self.head,
            "kv": self.heads_kv * self.head,
            "qkv": (self.heads + 2 * self.heads_kv) * self.head,
            "ff": self.feed_forward,
            "2ff": 2 * self.feed_forward,
        }
        return lengths[name]


def sizes_of(config: Config) -> Sizes:
    """The sizes that config.json gives.

    Raises:
        ConversionError: if one is missing or out of range, or the heads do not divide up.
    """
    hidden = config.integer("hidden_size", high=1 << 20)
    heads = config.integer("num_attention_heads", high=1 << 14)
    heads_kv = config.integer("num_key_value_heads", heads, high=heads)
    if heads % heads_kv:
        raise ConversionError("config.json: num_attention_heads must be a multiple of num_key_value_heads")
    head = config.integer("head_dim", max(1, hidden // heads), high=1 << 14)
    if head % 2:
        raise ConversionError("config.json: the size of a head must be even")
    return Sizes(
        config.integer("num_hidden_layers", high=MAX_LAYERS),
        hidden,
        heads,
        heads_kv,
        head,
        config.integer("intermediate_size", high=1 << 24),
        config.integer("vocab_size", high=4 << 20),
    )


def common_metadata(config: Config) -> Metadata:
    """The keys that every decoder has, but for those of the rope."""
    sizes = sizes_of(config)
    return {
        "block_count": sizes.layers,
        "context_length": config.integer("max_position_embeddings", 2048),
        "embedding_length": sizes.hidden,
        "feed_forward_length": sizes.feed_forward,
        "attention.head_count": sizes.heads,
        "attention.head_count_kv": sizes.heads_kv,
        "attention.key_length": sizes.head,
        "attention.value_length": sizes.head,
        "attention.layer_norm_rms_epsilon": config.number("rms_norm_eps", 1e-6, high=0.5),
    }


def table_weights(config: Config, parts: Iterable[Part], *, shift: float = 0.0) -> Iterator[Weight]:
    """The tensors of a decoder whose layers have `parts`. `shift` is added to the weights of norms."""
    sizes = sizes_of(config)
    hidden = (sizes.hidden,)
    yield Weight("token_embd.weight", "model.embed_tokens.weight", (sizes.vocabulary, sizes.hidden))
    yield Weight("output_norm.weight", "model.norm.weight", hidden, shift=shift)
    if not tied(config):
        # A configuration that does not say is of a model that ties them, if the tensor is not there.
        told = config.raw("tie_word_embeddings") is False
        yield Weight("output.weight", "lm_head.weight", (sizes.vocabulary, sizes.hidden), required=told)
    for layer in range(sizes.layers):
        for part in parts:
            yield Weight(
                f"blk.{layer}.{part.target}",
                f"model.layers.{layer}.{part.source}",
                tuple(sizes.length(name) for name in part.shape),
                heads={"": 0, "q": sizes.heads, "kv": sizes.heads_kv}[part.heads],
                shift=shift if part.target.endswith("norm.weight") else 0.0,
                required=part.required,
            )


def tied(config: Config) -> bool:
    return config.flag("tie_word_embeddings", False)


ATTENTION = (
    Part("attn_norm.weight", "input_layernorm.weight", ("hidden",)),
    Part("attn_q.weight", "self_attn.q_proj.weight", ("q", "hidden")),
    Part("attn_k.weight", "self_attn.k_proj.weight", ("kv", "hidden")),
    Part("attn_v.weight", "self_attn.v_proj.weight", ("kv", "hidden")),
    Part("attn_output.weight", "self_attn.o_proj.weight", ("hidden", "q")),
)
FEED_FORWARD = (
    Part("ffn_gate.weight", "mlp.gate_proj.weight", ("ff", "hidden")),
    Part("ffn_up.weight", "mlp.up_proj.weight", ("ff", "hidden")),
    Part("ffn_down.weight", "mlp.down_proj.weight", ("hidden", "ff")),
)
HEAD_NORMS = (
    Part("attn_q_norm.weight", "self_attn.q_norm.weight", ("head",)),
    Part("attn_k_norm.weight", "self_attn.k_norm.weight", ("head",)),
)


# ---- rope ---------------------------------------------------------------------------------------------------------


def rope_of(config: Config, layers: str = "full_attention") -> Config:
    """The rope's settings, which newer configurations keep in `rope_parameters`, by kind of layer where they differ."""
    key = "rope_parameters" if config.has("rope_parameters") else "rope_scaling"
    rope = config.part(key)
    return rope.part(layers) if rope.has(layers) else rope


def rope_kind(rope: Config) -> str:
    return rope.text("rope_type", rope.text("type", "default"))


def rope_metadata(config: Config, theta: float = 10000.0, *, allowed: tuple[str, ...] = ("linear", "yarn")) -> Metadata:
    """The rope's base and scaling.

    Raises:
        ConversionError: for a scaling that is not of the `allowed` kinds.
    """
    rope = rope_of(config)
    keys: Metadata = {"rope.freq_base": rope.number("rope_theta", config.number("rope_theta", theta), low=1.0)}
    kind = rope_kind(rope)
    if kind != "default" and kind not in allowed:
        raise ConversionError(f'config.json: rope scaling of type "{kind[:40]}" cannot be converted for this model')
    if kind in ("linear", "yarn"):
        keys["rope.scaling.type"] = kind
        keys["rope.scaling.factor"] = rope.number("factor", low=1.0)
    if kind == "yarn":
        keys["rope.scaling.original_context_length"] = original_context(config, rope)
        keys |= _yarn(rope)
    return keys


def original_context(config: Config, rope: Config) -> int:
    """The context that the model was first trained with."""
    known = config.integer("original_max_position_embeddings", config.integer("max_position_embeddings", 2048))
    return rope.integer("original_max_position_embeddings", known)


def _yarn(rope: Config) -> Metadata:
    keys: Metadata = {}
    for theirs, ours in (("attention_factor", "attn_factor"), ("beta_fast", "beta_fast"), ("beta_slow", "beta_slow")):
        if rope.has(theirs):
            keys[f"rope.scaling.yarn_{ours}"] = rope.number(theirs)
    return keys


# ---- names --------------------------------------------------------------------------------------------------------

_BUFFERS = (".rotary_emb.inv_freq", ".attention.masked_bias", ".attention.bias")


def no_extras(config: Config) -> Mapping[str, NDArray[Any]]:
    """A family without computed tensors."""
    return {}


def plain_name(name: str) -> str | None:
    """The name of a decoder's tensor; None for buffers that some checkpoints keep.

    Embedding models are saved without the head, and then without the prefix that tells the rest from it.
    """
    if name.endswith(_BUFFERS):
        return None
    return f"model.{name}" if name.startswith(("layers.", "embed_tokens.", "norm.")) else name
