"""The base trainer's batched forward pass computes what transformers computes, conversation by conversation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from rl.tiny.batched import encode_pages, language_forward, pack, page_grid
from rl.tiny.build import TinyArchitecture, build_config, build_model, build_processor

QUESTIONS = ["What is the LN in the image?", "What is the total in the image?"]


@pytest.fixture(scope="module")
def tiny():
    architecture = TinyArchitecture()
    processor = build_processor(architecture, QUESTIONS)
    return build_model(build_config(architecture, processor), seed=3).eval(), processor


def test_packed_conversations_equal_transformers_one_by_one(tiny):
    model, processor = tiny
    rng = np.random.default_rng(0)
    pages = rng.integers(0, 256, (2, 80, 112, 3), dtype=np.uint8)
    answers = [["<answer>AB</answer>", "<answer>7</answer>"], ["<answer>Q</answer>", "<answer>12.50</answer>"]]
    encode = processor.tokenizer.encode
    prefix = encode("<|im_start|>user\n<|vision_start|>")
    conversations = [
        [
            (encode(f"<|vision_end|>{question}<|im_end|>\n<|im_start|>assistant\n"), encode(answer + "<|im_end|>"))
            for question, answer in zip(QUESTIONS, row, strict=True)
        ]
        for row in answers
    ]
    packed = pack(conversations, prefix=prefix, image_token=model.config.image_token_id, pad_token=0, rows=5, columns=7)
    with torch.no_grad():
        hidden = language_forward(
            model, packed, encode_pages(model, torch.from_numpy(pages), page_grid(model, 80, 112))
        )
        logits = model.lm_head(hidden)
    shared = len(prefix) + 35
    for index, row in enumerate(answers):
        at = shared
        for (question_ids, answer_ids), question, answer in zip(conversations[index], QUESTIONS, row, strict=True):
            message = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
            text = processor.apply_chat_template(message, add_generation_prompt=True) + answer + "<|im_end|>"
            inputs = processor(images=[Image.fromarray(pages[index])], text=[text], return_tensors="pt")
            assert inputs["input_ids"].shape[1] == shared + len(question_ids) + len(answer_ids)
            with torch.no_grad():
                expected = model(**inputs).logits[0, shared:]
            size = len(question_ids) + len(answer_ids)
            torch.testing.assert_close(logits[index, at : at + size], expected, atol=2e-4, rtol=2e-4)
            at += size
