"""Small real tokenizers, trained on a few lines by the `tokenizers` library, which is also the judge of the results."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and the dog doesn't care. It's 1234 o'clock in 2025!",
    "def tokenize(text: str) -> list[int]:\n    return [ord(c) for c in text]  # a comment\n",
    "Größe, naïve café, crème brûlée; Привет, мир! 日本語のテキスト 안녕하세요 مرحبا",
    "HTTPServer::handle_request(&self, req: Request) => { if x == 1 { return 0x7f; } }\n\n\n",
    "    indented    with   spaces\tand\ttabs  ",
] * 3
TEXTS = [
    *CORPUS[:5],
    "",
    " ",
    "   leading and trailing   ",
    "line\nbreaks\r\nof\n\n\nmany   kinds\n   \n",
    "numbers 1 12 123 1234 12345678 3.14159 ١٢٣ ²³",
    "I'm they'RE we'Ve it's DON'T 'twas",
    "snake_case camelCase PascalCase SCREAMING_CASE kebab-case",
    "emoji 🙂👍🏽 zero\u200bwidth \u00a0nbsp ﬁ ligature",
    "price: $5.00 <tag attr='x'> a+b=c; x**2 // 3 && !y || {z}",
]
# As they stand in the tokenizer.json of the models that the key names.
_LLAMA_3 = (
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
)
SPLITS = {
    "llama-bpe": [_LLAMA_3],
    "dbrx": [_LLAMA_3],
    "qwen2": [
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
        "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
    ],
    "gpt-4o": [
        "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+"
        "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*"
        "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
    ],
    "tekken": [
        "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
        "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}"
        "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
    ],
    "deepseek-v3": [
        "\\p{N}{1,3}",
        "[一-龥぀-ゟ゠-ヿ]+",
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
        "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
    ],
    "deepseek-coder": ["[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥ࠀ-一가-퟿]+"],
}
BEGIN, END = "<|begin_of_text|>", "<|end_of_text|>"


def byte_level(folder: Path, kind: str = "llama-bpe", *, begin: bool = True, size: int = 480) -> Tokenizer:
    """Write a byte-level tokenizer.json (and its configuration) that splits words as `kind` does."""
    tokenizer = Tokenizer(models.BPE())
    if kind == "gpt-2":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    elif kind == "smollm":
        steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    else:
        steps = [pre_tokenizers.Split(Regex(regex), "isolated") for regex in SPLITS[kind]]
        steps += [pre_tokenizers.Digits(individual_digits=True)] if kind == "deepseek-coder" else []
        steps += [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens([BEGIN, END])
    tokenizer.add_tokens([AddedToken("<think>", normalized=False)])
    if begin:
        number = tokenizer.token_to_id(BEGIN)
        tokenizer.post_processor = processors.TemplateProcessing(f"{BEGIN} $A", None, [(BEGIN, number)])
    if kind == "llama-bpe":
        tokenizer.model.ignore_merges = True
    tokenizer.save(str(folder / "tokenizer.json"))
    configure(folder, bos_token=BEGIN, eos_token=END, chat_template="{{ messages[0].content }}")
    return tokenizer


def pieces(folder: Path, *, space: bool = True, size: int = 520) -> Tokenizer:
    """Write a tokenizer.json like those that SentencePiece's models become: byte fallback, spaces written as marks."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    mark = normalizers.Replace(" ", "\u2581")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), mark] if space else [mark])
    tokenizer.pre_tokenizer = None
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    lines = [" ".join(line.split()[i : i + 2]) for line in CORPUS for i in range(len(line.split()))]
    words = [word for line in lines for word in line.split(" ")]
    tokenizer.train_from_iterator(
        words, trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    )
    saved: dict[str, Any] = json.loads(tokenizer.to_str())
    # Bytes are tokens of the model, not texts to be found in what is written.
    saved["added_tokens"] = saved["added_tokens"][:3]
    tokenizer = Tokenizer.from_str(json.dumps(saved))
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", None, [("<s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    configure(folder, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    return tokenizer


def sentencepiece_model(folder: Path) -> bytes:
    """SentencePiece's file with the pieces of the tokenizer.json in `folder`."""
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    ranks: dict[str, int] = {}
    for rank, pair in enumerate(model["merges"]):
        left, right = pair.split(" ") if isinstance(pair, str) else pair
        ranks.setdefault(left + right, rank)
    data = b""
    for text, number in sorted(model["vocab"].items(), key=lambda item: item[1]):
        kind = {0: 2, 1: 3, 2: 3}.get(number, 6 if number < 259 else 1)
        piece = (
            _message(1, text.encode()) + b"\x15" + struct.pack("<f", -ranks.get(text, 9999)) + b"\x18" + bytes([kind])
        )
        data += _message(1, piece)
    trainer, normalizer = b"\x18\x02", b"\x18\x01"  # byte pairs; a space before the text
    return data + _message(2, trainer) + _message(3, normalizer)


def _message(field: int, data: bytes) -> bytes:
    assert len(data) < 128
    return bytes([field << 3 | 2, len(data)]) + data


def word_pieces(folder: Path, *, size: int = 300) -> Tokenizer:
    """Write BERT's tokenizer.json and vocab.txt."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        CORPUS, trainers.WordPieceTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    )
    frame = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", frame)
    tokenizer.save(str(folder / "tokenizer.json"))
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    (folder / "vocab.txt").write_text("".join(f"{text}\n" for text, _ in tokens))
    configure(folder, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]", mask_token="[MASK]")
    return tokenizer


def pooled_by(folder: Path, **settings: bool) -> None:
    """Write sentence-transformers' files about the pooling."""
    modules = [
        {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))


def configure(folder: Path, **values: Any) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps(values))
