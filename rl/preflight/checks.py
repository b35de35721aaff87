"""The checks of the preflight, one after the other, and what a plan needs to know about where it will run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trl import GRPOConfig, SFTConfig

from kie_hvqa.config import load
from kie_hvqa.data.files import read_json
from kie_hvqa.errors import InputError
from kie_hvqa.readers.checkpoint import ReadingContract
from kie_hvqa.readers.model_directory import agreed_contract, coordinates_of
from rewards.plugins.spec import LoadedReward, load_rewards
from rl import grpo, sft
from rl.callbacks.evaluation import decided_by
from rl.checkpoints.models import model_directory, open_processor
from rl.forget import run as forget
from rl.forget.recipe import ForgetRecipe
from rl.forget.rows import Sets
from rl.preflight.checked.deepspeed_json import check_compiler, check_deepspeed_json
from rl.preflight.checked.disk import check_disk, checkpoint_bytes
from rl.preflight.checked.reward import check_own_rows, check_reward
from rl.preflight.checked.tokens import fits_context, lengths, processor_agrees
from rl.preflight.checked.weights import check_weights, contract_line
from rl.preflight.finding import Finding
from rl.preflight.planned.batches import batches
from rl.preflight.planned.devices import device, visible
from rl.preflight.planned.plan import Plan, World, rollouts
from rl.preflight.planned.states import engine_of
from rl.recipes import DataConfig, EvaluationConfig, GrpoRecipe, SftRecipe, StageRecipe
from rl.rows.curriculum import check_enough
from rl.rows.sources import Written, open_source
from rl.rows.training import TrainingRows
from rl.stage import StageRun


def run(
    stage: str,
    config_path: str | Path,
    overrides: Sequence[str] = (),
    *,
    world_size: int = 1,
    nodes: int = 1,
    gpu: str | None = None,
    dry: bool = False,
    say: Callable[[Finding], None] | None = None,
) -> list[Finding]:
    """Check ``stage`` (sft, grpo, forget) for ``world_size`` processes on ``nodes`` machines; ``say`` gets each finding.

    ``gpu`` names the GPU to plan for where it is not this machine's. A ``dry`` run may plan from a directory that holds
    nothing but a config.json. Raises InputError at the first thing wrong.
    """
    found = []
    for finding in _checks(stage, Path(config_path), overrides, world_size, nodes, gpu, dry):
        found.append(finding)
        if say is not None:
            say(finding)
    return found


def _checks(
    stage: str, file: Path, overrides: Sequence[str], world_size: int, nodes: int, gpu: str | None, dry: bool
) -> Iterator[Finding]:
    world = World(nodes, world_size // nodes, device(gpu, world_size // nodes))
    recipe, arguments, rewards = _recipe(stage, file, overrides, world_size)
    yield Finding("recipe", f"{file}: {stage} of {recipe.model} on {recipe.data.name}, split {recipe.data.split}")
    yield Finding("output", _output(stage, recipe, world_size))
    together = recipe.deepspeed is not None and (world_size > 1 or world.device.cuda)
    if together or world_size > 1:
        yield Finding("engine", check_deepspeed_json(recipe.deepspeed, arguments, world_size, nodes))
        built = None if dry else check_compiler(recipe.deepspeed, os.environ)
        if built is not None:
            yield Finding("compiler", built)
    else:
        yield Finding("engine", "one process, without DeepSpeed")
    if isinstance(recipe, GrpoRecipe):
        yield Finding("rollouts", _rollouts(arguments, file, planned=gpu is not None or not visible()))

    directory = model_directory(recipe.model)
    bare = dry and [path.name for path in directory.iterdir()] == ["config.json"]
    contract = _planned_contract(recipe, directory) if bare else _contract(recipe, directory)
    if bare:
        yield Finding(
            "checkpoint", f"{directory} holds config.json alone: planned, not checked; {contract_line(contract)}"
        )
    else:
        yield Finding("checkpoint", check_weights(directory, contract))
    rows = _rows(recipe, contract, directory)
    yield Finding("dataset", dataset_line(rows))
    made = batches(stage, arguments, len(rows), world_size, file)
    if rows.curriculum is not None and isinstance(rows.source, Written):
        questions = made.step // (arguments.num_generations if stage == "grpo" else 1)
        check_enough(rows.curriculum, rows.source.severities(), questions)
    yield Finding("batches", made.text)
    if recipe.evaluation is not None:
        yield Finding("evaluation", evaluation_line(recipe.data, recipe.evaluation))
    processor = None if bare else open_processor(directory, contract)
    found = lengths(rows, contract, processor)
    completion = arguments.max_completion_length if stage == "grpo" else None
    yield Finding("tokens", fits_context(found, completion, rows, directory, exact=not bare))
    if processor is not None:
        yield Finding("processor", processor_agrees(rows, found, processor, contract))
    for reward in rewards:
        assert isinstance(recipe, GrpoRecipe)
        yield Finding("reward", check_reward(reward, file.parent, recipe.sandbox.deadline_s))
    if rewards:
        assert isinstance(recipe, GrpoRecipe)
        yield Finding("paid", check_own_rows(rewards, rows, recipe.sandbox))

    engine = engine_of(recipe.deepspeed if together else None)
    plan = Plan(recipe, arguments, directory, contract, found, made, world, engine)
    one = checkpoint_bytes(
        plan.counts, plan.dtype.itemsize, adapter=recipe.lora is not None, sharded=engine.stage is not None
    )
    here = gpu is None and not bare
    yield Finding("disk", check_disk(arguments, Path(recipe.output_dir), one, made.steps, here=here))
    yield from plan.findings(file)


def _rows(recipe: StageRecipe, contract: ReadingContract, directory: Path) -> TrainingRows:
    style = getattr(recipe, "answer", None)
    return TrainingRows(recipe.data, contract, target=style, coordinates=coordinates_of(directory))


def dataset_line(rows: TrainingRows) -> str:
    """What the run will read. A dataset is counted; of a stream some rows are drawn, as the other checks need them."""
    looked_at = [rows.source.row(index) for index in rows.source.examples()]
    if len(looked_at) < len(rows):
        return f"{len(rows)} questions an epoch, damaged while it trains; {len(looked_at)} of them drawn here"
    return f"{len(rows)} questions about {len({row.document_id for row in looked_at})} documents"


def evaluation_line(data: DataConfig, asked: EvaluationConfig) -> str:
    """Which rows will choose the best checkpoint, and by what; of a stream some are drawn."""
    source = open_source(data, split=asked.split, limit=asked.limit, field="evaluation.split")
    _, said = decided_by([source.row(index) for index in source.examples()])
    return f"{len(source)} rows of split {asked.split} every {asked.every} steps; {said}"


def plan_of(stage: str, file: Path, overrides: Sequence[str] = (), *, world_size: int = 1) -> Plan:
    """The plan alone, for processes of this machine."""
    recipe, arguments, _ = _recipe(stage, file, overrides, world_size)
    directory = model_directory(recipe.model)
    contract = _contract(recipe, directory)
    rows = _rows(recipe, contract, directory)
    found = lengths(rows, contract, open_processor(directory, contract))
    made = batches(stage, arguments, len(rows), world_size, file)
    world = World(1, world_size, device(None, world_size))
    engine = engine_of(recipe.deepspeed if world_size > 1 or world.device.cuda else None)
    return Plan(recipe, arguments, directory, contract, found, made, world, engine)


def _recipe(
    stage: str, file: Path, overrides: Sequence[str], world_size: int
) -> tuple[StageRecipe, Any, list[LoadedReward]]:
    """The recipe, TRL's arguments as they will be in the planned world, and the rewards that it names."""
    if stage == "sft":
        sft_recipe = load(file, SftRecipe, overrides)
        return sft_recipe, sft.arguments_of(sft_recipe, file, _planned(SFTConfig, world_size)), []
    if stage == "forget":
        forgets = load(file, ForgetRecipe, overrides)
        Sets.of(forgets)
        return forgets, forget.arguments_of(forgets, file, _planned(SFTConfig, world_size)), []
    recipe = load(file, GrpoRecipe, overrides)
    rewards = load_rewards(recipe.rewards, file.parent)
    return recipe, grpo.arguments_of(recipe, file, rewards, _planned(GRPOConfig, world_size)), rewards


def _planned(arguments_class: type, world_size: int) -> type:
    """``arguments_class`` for a world that has not been started: TRL's own checks then count its processes."""
    return type(arguments_class.__name__, (arguments_class,), {"world_size": property(lambda self: world_size)})


def _output(stage: str, recipe: StageRecipe, world_size: int) -> str:
    state = StageRun(stage, recipe, world_size).check()
    says = {
        "free": "is free",
        "started": "holds this run, without a checkpoint yet: it starts again",
        "finished": "holds this run's result: there is nothing to do",
    }
    return f"{recipe.output_dir} {says.get(state, f'holds this run: it goes on from {state}')}"


def _rollouts(arguments: Any, file: Path, *, planned: bool) -> str:
    """Who generates; vLLM must be there, unless this machine only plans for another."""
    kind = rollouts(arguments)
    says = {
        "transformers": "by transformers, on the training processes",
        "colocated": "by vLLM on the training GPUs",
        "server": f"by vLLM at {arguments.vllm_server_base_url or arguments.vllm_server_host}",
    }
    if kind == "transformers" or find_spec("vllm") is not None:
        return says[kind]
    if planned:
        return f"{says[kind]}; vLLM is not installed here, and must be where this runs (make vllm-env)"
    raise InputError(
        "the recipe generates with vLLM, which is not installed",
        file=file,
        field="training.use_vllm",
        remedy="Run in the environment that `make vllm-env` makes, or add training.use_vllm=false.",
    )


def _contract(recipe: StageRecipe, directory: Path) -> ReadingContract:
    return agreed_contract(directory, prompt=recipe.prompt, min_pixels=recipe.min_pixels, max_pixels=recipe.max_pixels)


def _planned_contract(recipe: StageRecipe, directory: Path) -> ReadingContract:
    """The contract of a model of which only config.json is here; the recipe must bring the pixel budget."""
    vision = read_json(directory / "config.json").get("vision_config") or {}
    if recipe.min_pixels is None or recipe.max_pixels is None:
        raise InputError(
            "a plan from config.json alone needs the pixel budget",
            field="min_pixels, max_pixels",
            remedy="Add them to the recipe or the command line.",
        )
    return ReadingContract.current(
        min_pixels=recipe.min_pixels,
        max_pixels=recipe.max_pixels,
        patch_size=vision.get("patch_size", 14),
        merge_size=vision.get("spatial_merge_size", 2),
        prompt=recipe.prompt or "official",
    )
