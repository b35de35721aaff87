"""What all arms share of the model: the tower's features kept, inputs, hidden states, and greedy writing of Final OCR.

The tower is frozen in every arm, so a page is encoded once for the whole study (``Features``, kept on the disk).

**Layers.** Layer l is here what block l *gives*, taken by a hook on it. transformers' ``hidden_states[l]`` is what block l is *given*,
and the last entry has been through the final norm: a vector that was computed from one and added to the other is off by a layer.

An arm's reader writes behind ``OPENER``: the next token decides about the field. It is a ``kie_hvqa.readers.Reader``, so the evaluator,
its interrupted runs and the suites work as with any other.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList
from transformers.feature_extraction_utils import BatchFeature
from transformers.modeling_outputs import BaseModelOutputWithPooling

from kie_hvqa.answers.answer import EXPLICIT_MARK, MARK, parse
from kie_hvqa.answers.prompt import messages
from kie_hvqa.confidence.signals.tokens import TOKEN_PROBABILITY
from kie_hvqa.confidence.symbols import SymbolConfidence
from kie_hvqa.data.files import replacing
from kie_hvqa.data.ledger import Row
from kie_hvqa.readers.base import Answer, Task, identity_of
from kie_hvqa.readers.decoding import LogProbabilities, Sampler, seed_of, texts_of
from kie_hvqa.readers.model_inputs import Encoded, encode, model_inputs
from kie_hvqa.readers.transformers_reader import TransformersReader
from rl.tower.attention import faster_tower

OPENER, CLOSE = '<answer>{"Final OCR": "', '", "clear Char-level OCR": "'
"""What every answer begins with, and the token that ends Final OCR in a trained reader's answers."""
LONGEST = 64
_AT_ONCE = 16


class Features:
    """What the frozen tower said about each page, in memory and in ``file``."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._kept: dict[str, list[torch.Tensor]] = torch.load(file) if file.is_file() else {}
        self._saved = len(self._kept)

    def of(self, frame: Frame, pages: Sequence[Path]) -> Encoded:
        missing = [page for page in pages if str(page) not in self._kept]
        for start in range(0, len(missing), _AT_ONCE):
            part = missing[start : start + _AT_ONCE]
            with torch.no_grad():
                found = encode(frame.model, frame.processor, [frame.reader.page(page) for page in part], resize=False)
            assert found is not None
            for page, grid, features in zip(
                part, found.pages["image_grid_thw"], found.features.pooler_output, strict=True
            ):
                self._kept[str(page)] = [grid.clone(), features.clone()]
        known = [self._kept[str(page)] for page in pages]
        grids = BatchFeature({"image_grid_thw": torch.stack([grid for grid, _ in known])})
        return Encoded(grids, BaseModelOutputWithPooling(pooler_output=[features for _, features in known]))

    def save(self) -> None:
        if len(self._kept) > self._saved:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._file, "wb") as stream:
                torch.save(self._kept, stream)
            self._saved = len(self._kept)


class Frame:
    """One checkpoint and the study's features: ``model``, ``processor``, ``reader`` (batches, pages, the contract)."""

    def __init__(self, directory: Path, features: Features, together: int) -> None:
        self.directory, self.features = directory, features
        self.reader = TransformersReader(directory, batch_size=together)
        loaded = self.reader.loaded()
        self.model, self.processor, self._never = loaded.model, loaded.processor, loaded.suppressed
        self.ends = [self.token(CLOSE), self.token('"}'), *loaded.ends]
        self.blocks = self.model.model.language_model.layers
        self.digest = self.reader.source.digest()
        faster_tower(self.model)

    def token(self, text: str) -> int:
        """The id of a text that is one token. ValueError for another."""
        (only,) = self.processor.tokenizer.encode(text, add_special_tokens=False)
        return int(only)

    def inputs(self, tasks: Sequence[Task], behind: Sequence[str], prompt: str | None = None) -> dict[str, Any]:
        """The model's arguments for each task's question with the text ``behind`` it, padded on the left."""
        pages = list(dict.fromkeys(task.image for task in tasks))
        texts = [
            self.processor.apply_chat_template(
                messages(task.row, prompt or self.reader.prompt), tokenize=False, add_generation_prompt=True
            )
            + text
            for task, text in zip(tasks, behind, strict=True)
        ]
        owners = [pages.index(task.image) for task in tasks]
        known = self.features.of(self, pages)
        return model_inputs(self.model, self.processor, texts, [], owners, resize=False, encoded=known)

    @torch.no_grad()
    def states(self, tasks: Sequence[Task], behind: str = OPENER) -> torch.Tensor:
        """What each block gives at the last token before a value: float [tasks, layers, hidden], in the order of ``tasks``."""
        found: dict[str, torch.Tensor] = {}
        for items in self.reader.batches(tasks):
            batch = [item.task for item in items]
            with Layers(self, range(len(self.blocks))) as seen:
                self.model(**self.inputs(batch, [behind] * len(batch)), logits_to_keep=1)
            stacked = torch.stack([seen.steps(layer)[0] for layer in range(len(self.blocks))], dim=1)
            found |= {task.row.id: state for task, state in zip(batch, stacked, strict=True)}
        return torch.stack([found[task.row.id] for task in tasks])

    @torch.no_grad()
    def write(
        self,
        tasks: Sequence[Task],
        *,
        behind: str = OPENER,
        processors: Sequence[LogitsProcessor] = (),
        ends: Sequence[int] | None = None,
        limit: int = LONGEST,
        prompt: str | None = None,
        sample: int | None = None,
    ) -> tuple[list[list[int]], list[list[list[float]]]]:
        """Greedy tokens behind the text ``behind`` and what ``LogProbabilities`` says of each, the end included; the
        ``sample``-th draw at temperature 1 where one is asked for."""
        sampler = None
        if sample is not None:
            sampler = Sampler([seed_of(task.row.id, sample) for task in tasks], 1.0, self.model.device)
        mark = self.token(EXPLICIT_MARK)
        recorder = LogProbabilities(sampler, [mark])
        inputs = self.inputs(tasks, [behind] * len(tasks), prompt)
        output = self.model.generate(
            **inputs, do_sample=False, max_new_tokens=limit, suppress_tokens=self._never,
            eos_token_id=list(ends or self.ends), logits_processor=LogitsProcessorList([*processors, recorder]),
        )  # fmt: skip
        generated = output[:, inputs["input_ids"].shape[1] :]
        said = recorder.of(generated, set(ends or self.ends))
        return [row[: len(own)] for row, own in zip(generated.tolist(), said, strict=True)], said


class Layers:
    """While it lasts, keeps what the blocks ``layers`` give for the last position of every pass."""

    def __init__(self, frame: Frame, layers: Sequence[int]) -> None:
        self._blocks = {layer: frame.blocks[layer] for layer in layers}
        self._kept: dict[int, list[torch.Tensor]] = {layer: [] for layer in layers}
        self._hooks: list[Any] = []

    def __enter__(self) -> Layers:
        for layer, block in self._blocks.items():
            self._hooks.append(block.register_forward_hook(self._keep(layer)))
        return self

    def _keep(self, layer: int) -> Any:
        return lambda module, given, gives: self._kept[layer].append(_hidden(gives)[:, -1].detach())

    def __exit__(self, *error: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def steps(self, layer: int) -> list[torch.Tensor]:
        """[rows, hidden] a pass: the first is the prompt's last token, from which the first token was written."""
        return self._kept[layer]


def _hidden(gives: Any) -> torch.Tensor:
    return gives[0] if isinstance(gives, tuple) else gives


class FinalReader:
    """A reader that writes Final OCR alone. An arm overrides ``watching`` and ``said``.

    ``options`` are whatever could change an answer beside the weights: they are part of the reader's identity.
    """

    signals: tuple[str, ...] = (TOKEN_PROBABILITY,)
    limit = LONGEST

    def __init__(self, frame: Frame, name: str, *options: Any) -> None:
        self.frame, self.name, self.prompt = frame, name, frame.reader.prompt
        self.identity = identity_of([frame.digest, name, *options])
        self.written = self.asked = 0  # tokens and answers so far: what an answer costs

    def asks(self, row: Row) -> str:
        return json.dumps(messages(row, self.prompt), ensure_ascii=True)

    def with_prompt(self, prompt: str) -> FinalReader:
        other = copy.copy(self)
        other.prompt, other.name = prompt, f"{self.name}+{prompt}"
        return other

    def watching(self, batch: Sequence[Task]) -> AbstractContextManager[Sequence[LogitsProcessor]]:
        """What looks on, or steers, while ``batch`` is written."""
        return nullcontext(())

    def said(self, row: int, tokens: Sequence[int], about: Sequence[Sequence[float]]) -> Said:
        """What the ``tokens`` of ``row`` of the batch say."""
        return self.symbols(tokens, about)

    def symbols(self, tokens: Sequence[int], about: Sequence[Sequence[float]]) -> Said:
        """Final OCR as it was written, a symbol a character, each with its token's probability; an end token says nothing."""
        final, place = "", 0
        sure: list[float] = []
        for text, count in texts_of(self.frame.processor.tokenizer, tokens):
            own = about[place : place + count]
            if tokens[place] not in self.frame.ends:
                final += text
                sure += [math.exp(min(0.0, math.fsum(each[0] for each in own)))] * len(text)
            place += count
        whole = math.exp(min(0.0, math.fsum(each[0] for each in about)))
        return Said(final, {TOKEN_PROBABILITY: sure}, {TOKEN_PROBABILITY: whole})

    def read(self, tasks: Sequence[Task], done: AbstractSet[str] = frozenset()) -> Iterator[Answer]:
        for items in self.frame.reader.batches(tasks):
            batch = [item.task for item in items]
            if all(task.row.id in done for task in batch):
                continue
            with self.watching(batch) as processors:
                tokens, about = self.frame.write(batch, processors=processors, limit=self.limit, prompt=self.prompt)
            for row, (task, own, probabilities) in enumerate(zip(batch, tokens, about, strict=True)):
                self.written, self.asked = self.written + len(own), self.asked + 1
                if task.row.id not in done:
                    yield self.said(row, own, probabilities).answer(task.row.id)


class Said:
    """``final`` with ▯ for a mark, and per signal one number a symbol and one for the answer as a whole."""

    def __init__(self, final: str, sure: dict[str, list[float]], whole: dict[str, float], draft: str = "") -> None:
        self.final, self.sure, self.whole, self.draft = final, sure, whole, draft

    def answer(self, id: str) -> Answer:
        final = self.final if self.final.replace(EXPLICIT_MARK, "").strip() else ""
        response = f"{self.draft}<answer>{json.dumps({'Final OCR': final}, ensure_ascii=False)}</answer>"
        reading = parse(response).reading
        found: dict[str, SymbolConfidence] = {}
        for name, values in self.sure.items():
            if reading is not None and reading.refused:
                found[name] = SymbolConfidence.of((None,) * len(reading.final), self.whole.get(name))
            elif reading is not None and len(reading.final) == len(final) == len(values):
                found[name] = SymbolConfidence.of(values)
        asserted = [
            v
            for v, char in zip(self.sure[TOKEN_PROBABILITY], self.final, strict=True)
            if char not in (MARK, EXPLICIT_MARK)
        ]
        sureness = math.fsum(math.log(max(v, 1e-12)) for v in asserted) / len(asserted) if asserted else None
        return Answer(id, response, sureness, signals=found or None)


def symbol_tokens(frame: Frame, tokens: Sequence[int]) -> list[int]:
    """For each symbol of Final OCR, as ``FinalReader.symbols`` writes it, the first token that wrote it."""
    owners: list[int] = []
    place = 0
    for text, count in texts_of(frame.processor.tokenizer, tokens):
        if tokens[place] not in frame.ends:
            owners += [place] * len(text)
        place += count
    return owners
