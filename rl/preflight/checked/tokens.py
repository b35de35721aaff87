"""How many tokens every row becomes: images from their headers, prompts and answers by the tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kie_hvqa.answers.prompt import fill, messages, question
from kie_hvqa.data.files import read_json
from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError
from kie_hvqa.readers.checkpoint import ReadingContract
from rl.rows.training import TrainingRows

_TURNS = 32  # tokens: what the chat template writes around a question, at most


@dataclass(frozen=True)
class Lengths:
    """Tokens of every row, int [rows] each: its image, its prompt without the image, and its true answer.

    ``index`` says which rows of the source they are: all, or of a stream some.
    """

    index: Sequence[int]
    image: np.ndarray
    prompt: np.ndarray
    answer: np.ndarray

    def total(self, completion: int | None = None) -> np.ndarray:
        """Tokens of every whole sequence, with a completion of ``completion`` tokens, or the true answer."""
        return self.image + self.prompt + (self.answer if completion is None else completion)


def lengths(rows: TrainingRows, contract: ReadingContract, processor: Any | None) -> Lengths:
    """Without a processor, text counts by its bytes: a byte-level tokenizer never makes more tokens of it."""
    index = rows.source.examples()
    image = [rows.source.tokens(i, contract.budget) for i in index]
    looked_at = [rows.source.row(i) for i in index]
    questions = {row.problem: row for row in looked_at}  # questions repeat: each is tokenised once
    answers = [f"<answer>{row.answer}</answer>" for row in looked_at]
    if processor is None:
        asked = [len(fill(contract.prompt, question(row)).encode()) + _TURNS for row in questions.values()]
        answered = [len(text.encode()) for text in answers]
    else:
        texts = [template(processor, row, contract) for row in questions.values()]
        # The one image pad in them is counted as image.
        asked = [len(ids) - 1 for ids in processor.tokenizer(texts)["input_ids"]]
        answered = [len(ids) for ids in processor.tokenizer(answers)["input_ids"]]
    of_question = dict(zip(questions, asked, strict=True))
    prompt = [of_question[row.problem] for row in looked_at]
    return Lengths(index, np.array(image), np.array(prompt), np.array(answered) + 2)  # the end of the turn


def fits_context(
    found: Lengths, completion: int | None, rows: TrainingRows, directory: Path, *, exact: bool = True
) -> str:
    """Image, prompt and answer together must fit the model's context: an image prompt must never be cut.

    ``completion`` is GRPO's longest; None takes the true answers. Raises InputError naming the row.
    """
    totals, context = found.total(completion), context_of(directory)
    longest = int(totals.max())
    if context is not None and longest > context:
        row = rows.source.row(found.index[int(totals.argmax())])
        raise InputError(
            f"row {row.id} takes {longest} tokens ({found.image.max()} of the largest image), "
            f"and the context has {context}",
            file=directory / "config.json",
            field="max_position_embeddings",
            remedy="Lower max_pixels, or training.max_completion_length.",
        )
    median, high = np.percentile(found.image, [50, 99])
    room = "" if context is None else f" of {context}"
    about = "" if exact else "at most "
    return (
        f"image median {median:.0f}, p99 {high:.0f}, max {found.image.max()}; longest sequence {about}{longest}{room}"
    )


def context_of(directory: Path) -> int | None:
    """The positions that the model at ``directory`` knows."""
    config = read_json(directory / "config.json")
    text = config.get("text_config") or {}
    return text.get("max_position_embeddings") or config.get("max_position_embeddings")


def processor_agrees(rows: TrainingRows, lengths: Lengths, processor: Any, contract: ReadingContract) -> str:
    """The processor must make of the largest and the smallest image as many tokens as the budget says."""
    sizes = lengths.image
    for place in {int(sizes.argmax()), int(sizes.argmin())}:
        index = lengths.index[place]
        row, image = rows.source.row(index), rows.source.image(index, contract.budget)
        inputs = processor(text=[template(processor, row, contract)], images=[image], return_tensors="pt")
        pad = processor.tokenizer.convert_tokens_to_ids(processor.image_token)
        found = int((inputs["input_ids"] == pad).sum())
        if found != sizes[place]:
            raise InputError(
                f"the processor makes {found} tokens of this image, and the pixel budget {sizes[place]}",
                file=rows.source.file(index),
                remedy="The processor resizes by other bounds or patches than reading.json says: mend either.",
            )
    return f"makes {sizes.max()} tokens of the largest image, as expected"


def template(processor: Any, row: Row, contract: ReadingContract) -> str:
    return processor.apply_chat_template(messages(row, contract.prompt), tokenize=False, add_generation_prompt=True)
