"""Everything that can be known about a training stage before it starts, in the order of what it costs to find out.

    ./launch.sh grpo configs/grpo/tiny.yaml --dry-run

Each check yields a line that says what was found; the first thing wrong is an InputError that names it and what to
do. No weights are loaded, nothing is written, and no process but this one runs, so that it can be asked anywhere,
for any number of processes, without a GPU and without a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from trl import GRPOConfig, SFTConfig

from kie_hvqa.checkpoint import ReadingContract
from kie_hvqa.config import load
from kie_hvqa.dataset import image_path
from kie_hvqa.errors import InputError
from kie_hvqa.files import read_json
from kie_hvqa.ledger import Row
from kie_hvqa.pixels import image_tokens, load_budgeted
from kie_hvqa.prompt import messages
from kie_hvqa.readers.model_directory import agreed_contract
from rewards.check import check as check_reward
from rewards.golden import HONEST
from rewards.spec import LoadedReward, load_rewards
from rl import grpo, sft
from rl.deepspeed_json import agreed_json
from rl.models import model_directory, open_processor
from rl.recipes import GrpoRecipe, SftRecipe, StageRecipe
from rl.rows import TrainingRows
from rl.stage import StageRun


@dataclass(frozen=True)
class Finding:
    """One line of the preflight: which check, and what it found."""

    check: str
    text: str

    def __str__(self) -> str:
        return f"{self.check:<12}{self.text}"


def run(
    stage: str,
    config_path: str | Path,
    overrides: Sequence[str] = (),
    *,
    world_size: int = 1,
    say: Callable[[Finding], None] | None = None,
) -> list[Finding]:
    """Check ``stage`` (sft, grpo) for ``world_size`` processes; ``say`` gets each finding as it is made.

    Raises InputError at the first thing wrong.
    """
    found = []
    for finding in _checks(stage, Path(config_path), overrides, world_size):
        found.append(finding)
        if say is not None:
            say(finding)
    return found


def _checks(stage: str, file: Path, overrides: Sequence[str], world_size: int) -> Iterator[Finding]:
    recipe, arguments, rewards = _plan(stage, file, overrides, world_size)
    yield Finding("recipe", f"{file}: {stage} of {recipe.model} on {recipe.data.path}, split {recipe.data.split}")
    yield Finding("output", _output(stage, recipe))
    if world_size > 1:
        yield Finding("engine", agreed_json(recipe.deepspeed, arguments, world_size))
    else:
        yield Finding("engine", "one process, without DeepSpeed")
    directory = model_directory(recipe.model)
    contract = agreed_contract(
        directory, prompt=recipe.prompt, min_pixels=recipe.min_pixels, max_pixels=recipe.max_pixels
    )
    yield Finding("checkpoint", _weights(directory, contract))
    rows = TrainingRows(recipe.data, contract, with_completion=stage == "sft")
    documents = len({row.document_id for row in rows.rows})
    yield Finding("dataset", f"{len(rows)} questions about {documents} documents")
    yield Finding("batches", _batches(stage, arguments, len(rows), world_size, file))
    processor = open_processor(directory, contract)
    sizes = [_image_tokens(image_path(rows.root, row), contract) for row in rows.rows]
    yield Finding("tokens", _lengths(stage, arguments, rows.rows, sizes, processor, contract, directory))
    yield Finding("processor", _processor_agrees(rows, sizes, processor, contract))
    if isinstance(recipe, GrpoRecipe):
        for reward in rewards:
            yield Finding("reward", _reward(reward, file.parent, recipe.sandbox.deadline_s))


def _plan(
    stage: str, file: Path, overrides: Sequence[str], world_size: int
) -> tuple[StageRecipe, Any, list[LoadedReward]]:
    """The recipe, TRL's arguments as they will be in the planned world, and the rewards that it names."""
    if stage == "sft":
        sft_recipe = load(file, SftRecipe, overrides)
        return sft_recipe, sft.arguments_of(sft_recipe, file, _planned(SFTConfig, world_size)), []
    recipe = load(file, GrpoRecipe, overrides)
    rewards = load_rewards(recipe.rewards, file.parent)
    return recipe, grpo.arguments_of(recipe, file, rewards, _planned(GRPOConfig, world_size)), rewards


def _planned(arguments_class: type, world_size: int) -> type:
    """``arguments_class`` for a world that has not been started: TRL's own checks then count its processes."""
    return type(arguments_class.__name__, (arguments_class,), {"world_size": property(lambda self: world_size)})


def _output(stage: str, recipe: StageRecipe) -> str:
    state = StageRun(stage, recipe).check()
    says = {
        "free": "is free",
        "started": "holds this run, without a checkpoint yet: it starts again",
        "finished": "holds this run's result: there is nothing to do",
    }
    return f"{recipe.output_dir} {says.get(state, f'holds this run: it goes on from {state}')}"


def _weights(directory: Path, contract: ReadingContract) -> str:
    """Every weight file opens and is whole. safetensors compares a file's length with its header."""
    from safetensors import SafetensorError, safe_open

    files = sorted(directory.glob("*.safetensors"))
    if not files:
        raise InputError(
            "there are no weights (*.safetensors)",
            file=directory,
            remedy="Name a directory that save_pretrained wrote.",
        )
    tensors = 0
    for file in files:
        try:
            with safe_open(file, framework="numpy") as opened:
                tensors += len(opened.keys())
        except (SafetensorError, OSError) as error:
            raise InputError(
                f"the weights cannot be read ({error})",
                file=file,
                remedy="The file was cut short: fetch or save it again.",
            ) from None
    size = sum(file.stat().st_size for file in files)
    budget = f"{contract.min_pixels} to {contract.max_pixels} pixels, prompt `{contract.prompt}`"
    return f"{directory}: {tensors} tensors, {size / 1e6:.1f} MB; {budget}"


def _batches(stage: str, arguments: Any, rows: int, world_size: int, file: Path) -> str:
    """How rows become steps. TRL has checked that a generation batch holds whole groups."""
    step = arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps * world_size
    if stage == "sft":
        per_epoch = -(-rows // step)
        return f"{step} questions a step, {_steps(arguments, per_epoch)}"
    prompts = arguments.generation_batch_size // arguments.num_generations
    if rows < prompts:
        raise InputError(
            f"{rows} questions do not fill one generation batch of {prompts}, so no step would ever be taken",
            file=file,
            field="training.per_device_train_batch_size",
            remedy="Use more questions, a smaller batch or more num_generations.",
        )
    reused = arguments.steps_per_generation * arguments.num_iterations
    per_epoch = rows // prompts * reused // arguments.gradient_accumulation_steps
    shape = f"{prompts} questions x {arguments.num_generations} completions a generation, {step} completions a step"
    return f"{shape}, {_steps(arguments, per_epoch)}"


def _steps(arguments: Any, per_epoch: int) -> str:
    if arguments.max_steps > 0:
        return f"{arguments.max_steps} steps ({arguments.max_steps / max(1, per_epoch):.2f} epochs)"
    return f"{int(per_epoch * arguments.num_train_epochs)} steps ({arguments.num_train_epochs:g} epochs)"


def _image_tokens(path: Path, contract: ReadingContract) -> int:
    """The tokens of the image at ``path``, from its header alone."""
    try:
        with Image.open(path) as header:
            return image_tokens(*header.size, contract.budget)
    except InputError as error:
        raise InputError(error.what, file=path, remedy=error.remedy) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f"unreadable image ({error})", file=path, remedy="Replace the file with a whole one."
        ) from None


def _lengths(
    stage: str,
    arguments: Any,
    rows: Sequence[Row],
    sizes: Sequence[int],
    processor: Any,
    contract: ReadingContract,
    directory: Path,
) -> str:
    """Image, prompt and answer together must fit the model's context; an image prompt must never be cut."""
    prompts = {row.problem: row for row in rows}  # questions repeat: each is tokenised once
    texts = [_template(processor, row, contract) for row in prompts.values()]
    lengths = [len(ids) - 1 for ids in processor.tokenizer(texts)["input_ids"]]  # the one image pad is counted as image
    of_prompt = dict(zip(prompts, lengths, strict=True))
    if stage == "sft":
        answers = processor.tokenizer([f"<answer>{row.answer}</answer>" for row in rows])["input_ids"]
        of_answer = [len(ids) + 2 for ids in answers]  # the end of the turn
    else:
        of_answer = [arguments.max_completion_length] * len(rows)
    totals = [size + of_prompt[row.problem] + n for row, size, n in zip(rows, sizes, of_answer, strict=True)]
    longest, context = max(totals), _context(directory)
    if context is not None and longest > context:
        row = rows[int(np.argmax(totals))]
        raise InputError(
            f"row {row.id} takes {longest} tokens ({max(sizes)} of the largest image), and the context has {context}",
            file=directory / "config.json",
            field="max_position_embeddings",
            remedy="Lower max_pixels, or training.max_completion_length.",
        )
    median, high = np.percentile(sizes, [50, 99])
    room = "" if context is None else f" of {context}"
    return f"image median {median:.0f}, p99 {high:.0f}, max {max(sizes)}; longest sequence {longest}{room}"


def _context(directory: Path) -> int | None:
    config = read_json(directory / "config.json")
    text = config.get("text_config") or {}
    return text.get("max_position_embeddings") or config.get("max_position_embeddings")


def _template(processor: Any, row: Row, contract: ReadingContract) -> str:
    return processor.apply_chat_template(messages(row, contract.prompt), tokenize=False, add_generation_prompt=True)


def _processor_agrees(rows: TrainingRows, sizes: Sequence[int], processor: Any, contract: ReadingContract) -> str:
    """The processor must make of the largest and the smallest image as many tokens as the budget says."""
    for index in {int(np.argmax(sizes)), int(np.argmin(sizes))}:
        row = rows.rows[index]
        path = image_path(rows.root, row)
        image = load_budgeted(path, contract.budget)
        inputs = processor(text=[_template(processor, row, contract)], images=[image], return_tensors="pt")
        pad = processor.tokenizer.convert_tokens_to_ids(processor.image_token)
        found = int((inputs["input_ids"] == pad).sum())
        if found != sizes[index]:
            raise InputError(
                f"the processor makes {found} tokens of this image, and the pixel budget {sizes[index]}",
                file=path,
                remedy="The processor resizes by other bounds or patches than reading.json says: mend either.",
            )
    return f"makes {max(sizes)} tokens of the largest image, as expected"


def _reward(reward: LoadedReward, base: Path, deadline_s: float) -> str:
    report = check_reward(reward, base=base, deadline_s=deadline_s)
    if not report.ok:
        raise InputError(
            report.failures[0],
            field=f"rewards: {reward.spec.function}",
            remedy=f"See `kie-hvqa rewards check {reward.spec.function}`.",
        )
    honest = [score.reward for score in report.scores if score.answer == HONEST and score.reward is not None]
    pays = (
        f"pays an honest reading {min(honest):.2f} to {max(honest):.2f}" if honest else "applies to no golden question"
    )
    warned = f", {len(report.warnings)} warning(s)" if report.warnings else ""
    return f"{reward.name} x {reward.weight:g} {pays}, {report.microseconds or 0:.0f} µs a completion{warned}"
