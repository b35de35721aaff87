"""Any image-text-to-text model as a reader, the shipped tiny Qwen2.5-VL included: greedy, batched by image size.

What a checkpoint was trained to see, its ``reading.json`` says: pixel budget, patch geometry, prompt. Those are
used here and nothing else; an option or a processor that disagrees is refused, with the key named. A plain
checkpoint without that file is read with its processor's own pixel budget and the ``official`` prompt. A family that
resizes every image to a size of its own has no budget; ``max_pixels`` still bounds what it is given.

Batches hold images of one size, so that no image is padded, questions about one page lie side by side, so that it is
encoded once (twice where a batch ends between them: full batches are worth more), and the largest come first, so that
memory runs out at once or never. How rows fall into batches depends
on the whole task list and not on what is already done: a run that was killed and goes on computes the very same
batches, and so the very same answers.

With ``samples`` = N each question is answered N times at ``temperature``, and the confidence is the agreement of the
samples (``base.agreed``); without, it is the mean log-probability of the tokens of the greedy answer, and the signals are those
of its tokens (``confidence.tokens``). ``contrast`` takes a second pass over the answers, on pages whose field is black.

    kie-hvqa eval --data DIR --reader CHECKPOINT --out OUT --batch-size 16
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kie_hvqa.answers import boxes
from kie_hvqa.answers.answer import parse
from kie_hvqa.answers.prompt import messages, prompt_hash, question
from kie_hvqa.confidence.signals.agreement import AGREEMENT
from kie_hvqa.confidence.signals.contrast import CONTRAST, MARGIN, blacked, field_box
from kie_hvqa.confidence.signals.tokens import MARGINS, TOKEN_PROBABILITY
from kie_hvqa.data.ledger import Box, Row
from kie_hvqa.data.pixels import (
    PixelBudget,
    bounded,
    bounded_size,
    budgeted,
    budgeted_size,
    image_size,
    load_budgeted,
    open_image,
)
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.readers.base import Answer, Task, agreed, identity_of, not_shown
from kie_hvqa.readers.model_directory import agreed_contract, coordinates_of, takes_any_size
from kie_hvqa.readers.model_loading import check_placement, load_model
from kie_hvqa.readers.model_source import ModelSource
from kie_hvqa.torch_check import require_torch

if TYPE_CHECKING:
    from PIL.Image import Image

    from kie_hvqa.confidence.symbols import SymbolConfidence

# Greedy. The checkpoint's own sampling settings mean nothing here and would only warn.
_PLAIN: dict[str, Any] = {
    "do_sample": False,
    "num_beams": 1,
    "temperature": None,
    "top_p": None,
    "top_k": None,
    "repetition_penalty": 1.0,
}


class Item(NamedTuple):
    """One response to be generated: the ``sample``-th about a task."""

    task: Task
    sample: int


class Loaded(NamedTuple):
    """A model ready to generate, the token ids that end a response, those that none may hold, and those that are marks."""

    model: Any
    processor: Any
    ends: set[int]
    suppressed: list[int]
    marks: tuple[int, ...] = ()


class TransformersReader:
    """Reads with the model of ``source``; weights are loaded by the first ``read``.

    ``batch_size`` responses a batch; ``device`` "cpu", "cuda", … and ``dtype`` float32, bfloat16 or float16 (both chosen
    where None: the accelerator if there is one, and there the checkpoint's own dtype, float32 on the CPU);
    ``max_new_tokens`` a response. Raises InputError for a source that is no model and for options that its
    ``reading.json`` contradicts.
    """

    def __init__(
        self,
        source: ModelSource | Path,
        *,
        name: str | None = None,
        batch_size: int = 8,
        device: str | None = None,
        dtype: str | None = None,
        max_new_tokens: int = 512,
        prompt: str | None = None,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        samples: int = 1,
        temperature: float = 1.0,
        contrast: bool = False,
    ) -> None:
        for key, value in (("batch_size", batch_size), ("max_new_tokens", max_new_tokens), ("samples", samples)):
            if value < 1:
                raise InputError(f"must be at least 1, not {value}", field=key, remedy="Mend the value.")
        if not temperature > 0:
            raise InputError(f"must be above 0, not {temperature}", field="temperature", remedy="Mend the value.")
        check_placement(device, dtype)
        self.source = source if isinstance(source, ModelSource) else ModelSource(source)
        self.name = name or str(source)
        self.contract = agreed_contract(self.source, prompt=prompt, min_pixels=min_pixels, max_pixels=max_pixels)
        self.prompt = self.contract.prompt
        self._budget = self.contract.budget if takes_any_size(self.source) else None
        self._bound = max_pixels
        self._coordinates = coordinates_of(self.source.model)
        if self._budget is None and min_pixels is not None:
            raise InputError(
                "this model resizes every image to a size of its own", field="min_pixels", remedy="Leave it out."
            )
        self.batch_size = batch_size
        self.max_new_tokens = max_new_tokens
        self.samples = samples
        self.temperature = temperature
        self.contrast = contrast
        self._device = device
        self._dtype = dtype
        # The batch size is not part of it: it changes an answer by rounding at most, and the device's
        # memory, not the user's intention, decides it.
        described = [self.source.digest(), dtype, max_new_tokens]
        self.identity = identity_of(described if samples == 1 else [*described, samples, temperature])
        self._shared: list[Loaded] = []  # the model, once loaded: readers of other prompts share the list

    @property
    def signals(self) -> tuple[str, ...]:
        own = (TOKEN_PROBABILITY, *MARGINS) if self.samples == 1 else (AGREEMENT,)
        return (*own, CONTRAST) if self.contrast else own

    @property
    def passes(self) -> dict[str, str]:
        """Signals that take passes of their own, and how each is made."""
        return {CONTRAST: f"margin {MARGIN}"} if self.contrast else {}

    def drawing(self, samples: int, temperature: float) -> TransformersReader:
        """The same model, ``samples`` answers drawn instead of the likeliest. Weights are shared."""
        other = copy.copy(self)
        other.samples, other.temperature, other.contrast = samples, temperature, False
        return other

    def over(self, model: Any, processor: Any) -> TransformersReader:
        """The same reader over a model that is in memory already, as one in training is."""
        other = copy.copy(self)
        other._shared = [_ready(model, processor)]
        return other

    @property
    def budget(self) -> PixelBudget | None:
        """The pixel budget; None for a family that resizes every image to a size of its own."""
        return self._budget

    def with_prompt(self, prompt: str) -> TransformersReader:
        """The same model told something else, on purpose: its contract's prompt does not count. Weights are shared."""
        other = copy.copy(self)
        other.prompt = prompt
        other.contract = replace(self.contract, prompt=prompt, prompt_hash=prompt_hash(prompt))
        other.name = f"{self.name}+{prompt}"
        return other

    def asks(self, row: Row) -> str:
        seen: Any = self._bound
        if self._budget is not None:
            seen = [self._budget.min_pixels, self._budget.max_pixels, self._budget.factor]
        return json.dumps([messages(row, self.prompt), seen], ensure_ascii=True)

    def read(self, tasks: Sequence[Task], done: AbstractSet[str] = frozenset()) -> Iterator[Answer]:
        if all(task.row.id in done for task in tasks):
            return
        require_torch()  # before anything that imports torchvision on its own
        tasks, unfit = self._fitting(tasks)
        yield from (not_shown(name, error) for name, error in unfit.items() if name not in done)
        drawn: dict[str, dict[int, Answer]] = {}
        for batch in self.batches(tasks):
            if all(item.task.row.id in done for item in batch):
                continue
            for item, answer in zip(batch, self._read_batch(batch), strict=True):
                if item.task.row.id in done:
                    continue
                if self.samples == 1 or answer.error is not None:
                    if item.sample == 0:
                        yield answer
                    continue
                responses = drawn.setdefault(answer.id, {})
                responses[item.sample] = answer
                if len(responses) == self.samples:
                    del drawn[answer.id]
                    samples = [responses[index] for index in range(self.samples)]
                    one = agreed(answer.id, [sample.response for sample in samples])
                    where = self.where(one.response, image_size(item.task.image))
                    yield replace(one, cut=any(sample.cut for sample in samples), box=where)

    def batches(self, tasks: Sequence[Task]) -> Iterator[list[Item]]:
        """What is read together, in order: images of one size, the largest first, questions about one page side by side.

        InputError for an image that has no size under the budget.
        """
        sizes = {image: self._size(image) for image in {task.image for task in tasks}}
        by_size = sorted(
            tasks,
            key=lambda task: (-sizes[task.image][0] * sizes[task.image][1], sizes[task.image], str(task.image)),
        )
        for _, group in itertools.groupby(by_size, key=lambda task: sizes[task.image]):
            items = [Item(task, sample) for task in group for sample in range(self.samples)]
            for start in range(0, len(items), self.batch_size):
                yield items[start : start + self.batch_size]

    def _fitting(self, tasks: Sequence[Task]) -> tuple[list[Task], dict[str, InputError]]:
        """The tasks whose images can be shown, and why not, by id, for the others (a strip of 300:1, say)."""
        unfit: dict[Path, InputError] = {}
        for image in {task.image for task in tasks}:
            try:
                self._size(image)
            except InputError as error:
                unfit[image] = error
        shown = [task for task in tasks if task.image not in unfit]
        return shown, {task.row.id: unfit[task.image] for task in tasks if task.image in unfit}

    def _size(self, image: Path) -> tuple[int, int]:
        """The size that the image is shown in, from the file's header alone."""
        try:
            if self._budget is None:
                return bounded_size(*image_size(image), self._bound)
            return budgeted_size(*image_size(image), self._budget)
        except InputError as error:
            raise InputError(error.what, file=image, remedy=error.remedy) from None

    def shown(self, image: Image) -> Image:
        """``image`` as the model sees it. InputError where it does not fit the budget."""
        return bounded(image, self._bound) if self._budget is None else budgeted(image, self._budget)

    def where(self, response: str, page: tuple[int, int]) -> Box | None:
        """Where ``response`` says that it read, in pixels of a ``page`` (width, height); None where it does not say, or reads nothing."""
        if boxes.BOX_KEY not in response or self._coordinates is None or self._budget is None:
            return None
        parsed = parse(response)
        if parsed.box is None or parsed.reading is None or parsed.reading.refused:
            return None
        return boxes.on_page(parsed.box, page, budgeted_size(*page, self._budget), self._coordinates)

    def page(self, path: Path) -> Image:
        """The image at ``path`` as the model sees it. InputError (file and remedy)."""
        return self.shown(open_image(path)) if self._budget is None else load_budgeted(path, self._budget)

    def loaded(self) -> Loaded:
        """The model, loaded by the first call. InputError or WorkError where that fails."""
        if not self._shared:
            model, processor = load_model(self.source, device=self._device, dtype=self._dtype)
            if processor.chat_template is None:
                raise InputError(
                    "its processor has no chat template, so it cannot be asked a question",
                    file=self.source.processor,
                    remedy="Use a model that was tuned for chat.",
                )
            self._shared.append(_ready(model, processor))
        return self._shared[0]

    def _read_batch(self, batch: Sequence[Item]) -> list[Answer]:
        """One answer an item, in order; the text alone where several are drawn."""
        loaded = self.loaded()
        held = {item.task.row.id: _held(loaded, item.task.row) for item in batch}
        asked = [item for item in batch if held[item.task.row.id] is None]
        answers = iter(self._generate(loaded, asked) if asked else ())
        return [
            next(answers) if reason is None else Answer(item.task.row.id, "", error=reason)
            for item in batch
            for reason in [held[item.task.row.id]]
        ]

    def _generate(self, loaded: Loaded, batch: Sequence[Item]) -> list[Answer]:
        import torch
        from transformers import LogitsProcessorList

        from kie_hvqa.readers.decoding import LogProbabilities, Sampler, seed_of, signals_of_tokens
        from kie_hvqa.readers.model_inputs import model_inputs

        model, processor = loaded.model, loaded.processor
        pages = list(dict.fromkeys(item.task.image for item in batch))
        texts = [
            processor.apply_chat_template(
                messages(item.task.row, self.prompt), tokenize=False, add_generation_prompt=True
            )
            for item in batch
        ]
        sampler = None
        if self.samples > 1:
            seeds = [seed_of(item.task.row.id, item.sample) for item in batch]
            sampler = Sampler(seeds, self.temperature, model.device)
        recorder = LogProbabilities(sampler, loaded.marks)
        try:
            with torch.inference_mode():
                try:
                    inputs = model_inputs(
                        model,
                        processor,
                        texts,
                        [self.page(page) for page in pages],
                        [pages.index(item.task.image) for item in batch],
                        resize=self._budget is None,
                    )
                except torch.OutOfMemoryError:
                    raise
                except Exception as error:
                    return self._page_by_page(loaded, batch, pages, error)
                output = model.generate(
                    **inputs,
                    **_PLAIN,
                    max_new_tokens=self.max_new_tokens,
                    suppress_tokens=loaded.suppressed or None,
                    logits_processor=LogitsProcessorList([recorder]),
                )
                generated = output[:, inputs["input_ids"].shape[1] :].cpu()
                blind = self._blind(loaded, batch, texts, generated) if self.contrast else None
        except torch.OutOfMemoryError as error:
            first = str(error).splitlines()[0]
            raise WorkError(
                f"out of memory on {model.device} with {len(batch)} answers a batch ({first}). "
                f"What was read is kept: run the same command again with a smaller --batch-size."
            ) from None
        responses = processor.tokenizer.batch_decode(
            generated, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        confidences = recorder.means(generated, loaded.ends)
        cut = [loaded.ends.isdisjoint(tokens) for tokens in generated.tolist()]
        signals: list[dict[str, SymbolConfidence] | None] = [None] * len(batch)
        if self.samples == 1:
            said = recorder.of(generated, loaded.ends)
            signals = [
                signals_of_tokens(processor.tokenizer, text, tokens, of_tokens, None if blind is None else blind[row])
                for row, (text, tokens, of_tokens) in enumerate(zip(responses, generated.tolist(), said, strict=True))
            ]
        places = [self.where(text, image_size(item.task.image)) for item, text in zip(batch, responses, strict=True)]
        return [
            Answer(item.task.row.id, text, confidence, cut=is_cut, signals=own, box=box)
            for item, text, confidence, is_cut, own, box in zip(
                batch, responses, confidences, cut, signals, places, strict=True
            )
        ]

    def _blind(self, loaded: Loaded, batch: Sequence[Item], texts: Sequence[str], generated: Any) -> list[list[float]]:
        """The log-probabilities of the ``generated`` tokens on pages whose field is black."""
        from transformers import LogitsProcessorList

        from kie_hvqa.readers.decoding import Forced
        from kie_hvqa.readers.model_inputs import model_inputs

        pages = [self.shown(blacked(open_image(item.task.image), field_box(item.task.row.slots))) for item in batch]
        owners = range(len(batch))
        inputs = model_inputs(loaded.model, loaded.processor, texts, pages, owners, resize=self._budget is None)
        forced = Forced(generated)
        loaded.model.generate(
            **inputs, **_PLAIN, max_new_tokens=generated.shape[1], logits_processor=LogitsProcessorList([forced])
        )
        return forced.of()

    def _page_by_page(
        self, loaded: Loaded, batch: Sequence[Item], pages: Sequence[Path], error: Exception
    ) -> list[Answer]:
        """The answers of a batch that could not be prepared: one page in it is refused, and only its rows have none.

        Raises ``error`` where the processor refuses a plain white page as well: it is not the image then.
        """
        if len(pages) > 1:
            answers = {
                page: iter(self._generate(loaded, [item for item in batch if item.task.image == page]))
                for page in pages
            }
            return [next(answers[item.task.image]) for item in batch]
        if not isinstance(error, InputError):
            self._try_processor(loaded, error)
        return [not_shown(item.task.row.id, error) for item in batch]

    def _try_processor(self, loaded: Loaded, error: Exception) -> None:
        from PIL import Image as Pillow

        try:
            loaded.processor.image_processor(
                images=[self.shown(Pillow.new("RGB", (224, 224), "white"))], return_tensors="pt"
            )
        except Exception:
            raise error from None


def _ready(model: Any, processor: Any) -> Loaded:
    from kie_hvqa.readers.decoding import mark_tokens
    from kie_hvqa.readers.model_inputs import end_tokens, never_generated

    ends = end_tokens(model, processor.tokenizer)
    never = never_generated(model, processor.tokenizer, ends)
    return Loaded(model, processor, ends, never, tuple(mark_tokens(processor.tokenizer)))


def _held(loaded: Loaded, row: Row) -> str | None:
    """Why ``row`` cannot be asked: a question that holds the model's own control tokens would be taken for them."""
    from kie_hvqa.readers.model_inputs import control_token

    found = control_token(loaded.processor, question(row))
    return f"the question holds the model's own token {found!r}" if found else None
