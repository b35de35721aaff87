"""The tiny reader's tokenizer: Qwen2's class and special tokens over bytes, with the fixed phrases as single tokens.

A 7B model writes the official answer's skeleton in forty sub-word tokens that carry no information. Here every
fixed piece of the format and every question is one token, so that a tiny model spends its steps on characters.
Any other text still encodes, byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers.pre_tokenizers import ByteLevel
from transformers import AddedToken, Qwen2Tokenizer

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

ANSWER_PHRASES = (
    "<answer>",
    "</answer>",
    '{"clear Char-level OCR": "',
    '", "not clear enough Char-level OCR": "',
    '", "clear number": ',
    ', "not clear enough number": ',
    ', "Final OCR": "',
    '"}',
    '{"Final OCR": "',
    '", "clear Char-level OCR": "',
    "▯",  # an explicit mark: one token here as in Qwen's own vocabulary, and printed on no document
)

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' or 'image' in part %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build_tokenizer(questions: Iterable[str]) -> Qwen2Tokenizer:
    """A Qwen2Tokenizer without merges whose phrases are the answer skeleton and ``questions`` (whole sentences)."""
    alphabet = sorted(ByteLevel.alphabet())
    vocabulary = {SPECIAL_TOKENS[0]: 0} | {symbol: index + 1 for index, symbol in enumerate(alphabet)}
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary,
        merges=[],
        unk_token="<|endoftext|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=list(SPECIAL_TOKENS[1:]),
    )
    phrases = [*ANSWER_PHRASES, *sorted(set(questions)), "user\n", "assistant\n"]
    tokenizer.add_tokens([AddedToken(phrase, normalized=False, special=False) for phrase in phrases])
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
