"""Build the tiny model that the mock engine serves: a tokenizer and three small files.

No weights and no download. Dynamo's mock engine answers with token ids 1000 to 2000, so the
vocabulary has printable words there, else the answers would be empty.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

WORDS = 2200


def build(folder: Path) -> None:
    """Write the model to ``folder``; the same bytes each time."""
    folder.mkdir(parents=True, exist_ok=True)
    special = ["<unk>", "<s>", "</s>"]
    # Every printable ASCII character is a token, so that any prompt can be encoded.
    characters = [chr(code) for code in range(33, 127)]
    vocabulary = {word: number for number, word in enumerate([*special, *characters])}
    for number in range(len(vocabulary), WORDS):
        vocabulary[f"\u2581w{number}"] = number
    vocabulary["\u2581"] = WORDS
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", fuse_unk=False)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(special)
    tokenizer.save(str(folder / "tokenizer.json"))
    documents: dict[str, dict[str, object]] = {
        "config.json": {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "bos_token_id": 1,
            "eos_token_id": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "max_position_embeddings": 8192,
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "num_key_value_heads": 2,
            "vocab_size": WORDS + 1,
            "torch_dtype": "bfloat16",
        },
        "generation_config.json": {"bos_token_id": 1, "eos_token_id": 2},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "model_max_length": 8192,
            "chat_template": (
                "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }} "
                "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
            ),
        },
    }
    for name, content in documents.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "model"
    build(target)
    print(target)
