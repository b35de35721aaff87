"""Any Qwen2.5-VL checkpoint directory as a reader, the shipped tiny one included: greedy, batched by image size.

What a checkpoint was trained to see, its ``reading.json`` says: pixel budget, patch geometry, prompt. Those are
used here and nothing else; an option or a processor that disagrees is refused, with the key named. A plain
checkpoint without that file is read with its processor's own pixel budget and the ``official`` prompt.

Batches hold images of one size, so that no image is padded, and the largest come first, so that memory runs
out at once or never. How rows fall into batches depends on the whole task list and not on what is already
done: a run that was killed and goes on computes the very same batches, and so the very same answers.

    kie-hvqa eval --data DIR --reader CHECKPOINT --out OUT --batch-size 16
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.ledger import Row
from kie_hvqa.prompt import messages
from kie_hvqa.readers.base import Answer, Task, identity_of
from kie_hvqa.readers.model_directory import agreed_contract, digest
from kie_hvqa.torch_check import require_torch

if TYPE_CHECKING:
    import torch

_DTYPES = ("float32", "bfloat16", "float16")


class TransformersReader:
    """Reads with the checkpoint in ``directory``; weights are loaded by the first ``read``.

    ``batch_size`` rows a batch; ``device`` "cpu", "cuda", … and ``dtype`` float32, bfloat16 or float16 (both chosen
    where None: the accelerator if there is one, and there the checkpoint's own dtype, float32 on the CPU);
    ``max_new_tokens`` a response. Raises InputError for a directory that is no checkpoint and for options that
    its ``reading.json`` contradicts.
    """

    def __init__(
        self,
        directory: Path,
        *,
        name: str | None = None,
        batch_size: int = 8,
        device: str | None = None,
        dtype: str | None = None,
        max_new_tokens: int = 512,
        prompt: str | None = None,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
    ) -> None:
        for key, value in (("batch_size", batch_size), ("max_new_tokens", max_new_tokens)):
            if value < 1:
                raise InputError(f"must be at least 1, not {value}", field=key, remedy="Mend the value.")
        if dtype is not None and dtype not in _DTYPES:
            raise InputError(f"unknown dtype {dtype!r}", field="dtype", remedy=f"Use {', '.join(_DTYPES)}.")
        self.directory = Path(directory)
        self.name = name or str(directory)
        self.contract = agreed_contract(self.directory, prompt=prompt, min_pixels=min_pixels, max_pixels=max_pixels)
        self.budget = self.contract.budget
        self.batch_size = batch_size
        self.max_new_tokens = max_new_tokens
        self._device = device
        self._dtype = dtype
        # The batch size is not part of it: it changes an answer by rounding at most, and the device's
        # memory, not the user's intention, decides it.
        self.identity = identity_of([digest(self.directory), dtype, max_new_tokens])
        self._model: Any = None
        self._processor: Any = None
        self._suppressed: list[int] = []

    def asks(self, row: Row) -> str:
        budget = [self.budget.min_pixels, self.budget.max_pixels, self.budget.factor]
        return json.dumps([messages(row, self.contract.prompt), budget], ensure_ascii=True)

    def read(self, tasks: Sequence[Task], done: AbstractSet[str] = frozenset()) -> Iterator[Answer]:
        if all(task.row.id in done for task in tasks):
            return
        require_torch()  # before anything that imports torchvision on its own
        for batch in self._batches(tasks):
            if all(task.row.id in done for task in batch):
                continue
            if self._model is None:
                self._load()
            yield from (answer for answer in self._read_batch(batch) if answer.id not in done)

    def _batches(self, tasks: Sequence[Task]) -> Iterator[list[Task]]:
        sizes = {image: self._size(image) for image in {task.image for task in tasks}}
        by_size = sorted(tasks, key=lambda task: (-sizes[task.image][0] * sizes[task.image][1], sizes[task.image]))
        for _, group in itertools.groupby(by_size, key=lambda task: sizes[task.image]):
            same_size = list(group)
            for start in range(0, len(same_size), self.batch_size):
                yield same_size[start : start + self.batch_size]

    def _size(self, image: Path) -> tuple[int, int]:
        """The size under the budget, from the file's header alone."""
        from PIL import Image

        from kie_hvqa.pixels import budgeted_size

        try:
            with Image.open(image) as header:
                return budgeted_size(*header.size, self.budget)
        except (OSError, SyntaxError, ValueError) as error:
            if isinstance(error, InputError):
                raise InputError(error.what, file=image, remedy=error.remedy) from None
            raise InputError(f"unreadable image ({error})", file=image, remedy="Replace the file.") from None

    def _read_batch(self, batch: Sequence[Task]) -> list[Answer]:
        import torch

        from kie_hvqa.pixels import load_budgeted

        inputs = self._inputs(batch, [load_budgeted(task.image, self.budget) for task in batch])
        recorder = _GreedyLogProbabilities()
        try:
            with torch.inference_mode():
                output = self._model.generate(
                    **inputs,
                    max_new_tokens=self.max_new_tokens,
                    do_sample=False,
                    num_beams=1,
                    # The checkpoint's own sampling settings mean nothing here and would only warn.
                    temperature=None,
                    top_p=None,
                    top_k=None,
                    repetition_penalty=1.0,
                    suppress_tokens=self._suppressed,
                    logits_processor=[recorder],
                )
        except torch.OutOfMemoryError as error:
            first = str(error).splitlines()[0]
            raise WorkError(
                f"out of memory on {self._model.device} with {len(batch)} images a batch ({first}). "
                f"What was read is kept: run the same command again with a smaller --batch-size."
            ) from None
        generated = output[:, inputs["input_ids"].shape[1] :]
        texts = self._processor.tokenizer.batch_decode(
            generated, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        confidences = recorder.means(generated, self._ends())
        return [
            Answer(task.row.id, text, confidence)
            for task, text, confidence in zip(batch, texts, confidences, strict=True)
        ]

    def _inputs(self, batch: Sequence[Task], images: list[Any]) -> Any:
        texts = [
            self._processor.apply_chat_template(
                messages(task.row, self.contract.prompt), tokenize=False, add_generation_prompt=True
            )
            for task in batch
        ]
        # load_budgeted has resized; a second resize in the processor could only undo the contract.
        inputs = self._processor(
            text=texts, images=images, padding=True, padding_side="left", do_resize=False, return_tensors="pt"
        )
        return inputs.to(self._model.device)

    def _load(self) -> None:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        device = self._device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype: Any = self._dtype or ("auto" if torch.device(device).type != "cpu" else "float32")
        try:
            # local_files_only: a directory that lacks a file must fail here, not ask a hub for it.
            processor = AutoProcessor.from_pretrained(self.directory, local_files_only=True)
            model = AutoModelForImageTextToText.from_pretrained(self.directory, dtype=dtype, local_files_only=True)
            model = model.to(device).eval()
        except torch.OutOfMemoryError as error:
            raise WorkError(f"{self.directory} does not fit the memory of {device} ({error})") from None
        except Exception as error:  # the loaders raise OSError, ValueError, SafetensorError, RuntimeError, KeyError, …
            raise InputError(
                f"the model cannot be loaded ({type(error).__name__}: {str(error).strip().splitlines()[0][:300]})",
                file=self.directory,
                remedy="Check that the directory is a whole image-text-to-text checkpoint with its processor.",
            ) from error
        self._processor, self._model = processor, model
        self._suppressed = never_generated(model, processor.tokenizer, self._ends())

    def _ends(self) -> set[int]:
        end = self._model.generation_config.eos_token_id
        ends = {end} if isinstance(end, int) else set(end or ())
        own = self._processor.tokenizer.eos_token_id
        return ends | ({own} if own is not None and not ends else set())


def never_generated(model: Any, tokenizer: Any, ends: set[int]) -> list[int]:
    """Token ids that no answer may hold: every special token but the ends, and rows of the embedding without a token.

    A generated image-pad id would ask for image features that are not there (R1-V#91).
    """
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    ids: set[int] = {token for name in names if (token := getattr(model.config, name, None)) is not None}
    ids |= set(tokenizer.all_special_ids)
    ids |= set(range(len(tokenizer), model.get_output_embeddings().weight.shape[0]))
    return sorted(ids - ends)


class _GreedyLogProbabilities:
    """A logits processor that changes nothing and keeps, per step, the log-probability of the greedy choice.

    Keeping the scores themselves would cost steps × rows × vocabulary floats.
    """

    def __init__(self) -> None:
        self._steps: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        wide = scores.float()
        self._steps.append(wide.amax(dim=-1) - wide.logsumexp(dim=-1))
        return scores

    def means(self, generated: torch.Tensor, ends: set[int]) -> list[float | None]:
        """Mean over the tokens of each response, its end token included; ``generated`` is int64 [rows, steps]."""
        import torch

        if not self._steps:
            return [None] * generated.shape[0]
        log_probabilities = torch.stack(self._steps, dim=1).cpu()
        generated = generated.cpu()
        means: list[float | None] = []
        for row, tokens in zip(log_probabilities, generated.tolist(), strict=True):
            length = next((index + 1 for index, token in enumerate(tokens) if token in ends), len(tokens))
            mean = float(row[:length].mean())
            means.append(round(mean, 6) if math.isfinite(mean) else None)
        return means
