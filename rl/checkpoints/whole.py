"""Checkpoints that are whole or absent, and a stop before bad numbers reach one.

The trainer writes a checkpoint beside its place and renames it when every process has finished its part and all of it
is on the disk, with the size of each file in ``complete.json``. So ``checkpoint-N`` under its own name is complete; one that was cut short
by hand or by a disk is seen by its sizes and passed over for the one before it. Older checkpoints are deleted only
after that, never the best one.

A loss or a gradient that is not a number stops the run before the optimiser takes the step: the weights, and the last
checkpoint, are still good.
"""

from __future__ import annotations

import contextlib
import errno
import math
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import DistributedType
from accelerate.utils import broadcast_object_list
from transformers import PreTrainedModel
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, rotate_checkpoints

from kie_hvqa.data import files
from kie_hvqa.data.files import UNFINISHED, put, read_json, sweep, write_json
from kie_hvqa.errors import InputError, WorkError
from rl.checkpoints.owner import check_owner

PLAIN = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)
COMPLETE = "complete.json"


class WholeCheckpoints:
    """Mixed into a trainer, before its class. Everything that knows how transformers writes checkpoints is here."""

    args: Any
    model: Any
    state: Any
    accelerator: Any
    _beside: Path | None = None

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._beside) if self._beside else super()._get_output_dir(trial=trial)  # type: ignore[misc]

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        out = Path(self.args.output_dir)
        name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        beside = agreed_beside(out / PREFIX_CHECKPOINT_DIR)
        # launch.sh has made sure that all machines see one output directory; a second rename would lose the first's.
        first_here = self.accelerator.is_main_process
        limit, self.args.save_total_limit = self.args.save_total_limit, None  # nothing is deleted before the rename
        self._beside = beside
        try:
            with disk_errors(name, out):
                super()._save_checkpoint(model, trial)  # type: ignore[misc]
        finally:
            self._beside = None
            self.args.save_total_limit = limit
        best = self._best_checkpoint(out)
        self.state.best_model_checkpoint = best  # on every process: each loads the best weights at the end
        with disk_errors(name, out):
            if self.args.should_save:
                self.state.save_to_json(str(beside / name / "trainer_state.json"))
            self.accelerator.wait_for_everyone()
            if first_here:
                finish(beside / name, out / name)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            rotate_checkpoints(str(out), limit, best_model_checkpoint=best, use_mtime=False)

    def _best_checkpoint(self, out: Path) -> str | None:
        """Where the best checkpoint so far is, or will be after the rename."""
        if not self.state.best_global_step:
            return None
        path = out / f"{PREFIX_CHECKPOINT_DIR}-{self.state.best_global_step}"
        return str(path) if path.is_dir() or self.state.best_global_step == self.state.global_step else None

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if not self._load_whole(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]

    def _load_best_model(self) -> None:
        check_owner(Path(self.state.best_model_checkpoint))
        if not self._load_whole(self.state.best_model_checkpoint):
            super()._load_best_model()  # type: ignore[misc]

    def _load_whole(self, checkpoint: str) -> bool:
        """Load a checkpoint of all weights; False for an adapter or an engine of its own, which others load.

        transformers 5.23 saves Qwen2.5-VL under the names of its published weights, and its trainer loads them by those
        names, finds none, warns, and goes on with the weights that it started from.
        """
        model = self.accelerator.unwrap_model(self.model)
        if isinstance(model, PreTrainedModel) and self.accelerator.distributed_type in PLAIN:
            saved = type(model).from_pretrained(  # in float32, as weights in training may be kept
                checkpoint, dtype=torch.float32, local_files_only=True, use_safetensors=True
            )
            model.load_state_dict(saved.state_dict())
            return True
        return False

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(*args, **kwargs)  # type: ignore[misc]
        self._check_finite("loss", float(loss))
        return loss

    def _get_grad_norm(self, *args: Any, **kwargs: Any) -> Any:
        norm = super()._get_grad_norm(*args, **kwargs)  # type: ignore[misc]
        if norm is not None and getattr(self.accelerator, "scaler", None) is None:  # float16's scaler skips such steps
            self._check_finite("gradient norm", float(norm))
        return norm

    def _check_finite(self, what: str, value: float) -> None:
        if math.isfinite(value):
            return
        whole = last_checkpoint(Path(self.args.output_dir), say=lambda line: None)
        kept = f"the last good checkpoint is {whole}" if whole else "there is no checkpoint yet"
        raise WorkError(
            f"the {what} is {value} in step {self.state.global_step + 1}; the step was not taken, and {kept}. "
            f"Lower training.learning_rate or training.max_grad_norm, or train in float32 or bfloat16."
        )


def agreed_beside(path: Path) -> Path:
    """A name beside ``path`` that is new and the same for all processes; all of them must call this."""
    names = [files.beside(path).name]
    broadcast_object_list(names)
    return path.with_name(names[0])


def finish(beside: Path, path: Path) -> None:
    """Note the sizes of a checkpoint's files and give it its name. Only one process of a machine may call this."""
    with contextlib.suppress(FileNotFoundError):  # another machine on the same disk was first
        sizes = {str(f.relative_to(beside)): f.stat().st_size for f in sorted(beside.rglob("*")) if f.is_file()}
        write_json(beside / COMPLETE, sizes)
        put(beside, path)  # in place of one of the same step that was cut short
        beside.parent.rmdir()


def missing(checkpoint: Path) -> str | None:
    """What a checkpoint lacks to be complete, in words; None for a whole one."""
    try:
        sizes = read_json(checkpoint / COMPLETE)
    except InputError:
        return f"it has no readable {COMPLETE}, so it was not written to its end"
    for name, size in sizes.items():
        file = checkpoint / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != size:
            return f"{name} has {file.stat().st_size} bytes and should have {size}"
    return None


def last_checkpoint(out: Path, say: Callable[[str], None]) -> str | None:
    """The newest whole checkpoint under ``out``; ``say`` hears of each newer one that was passed over, and why."""
    found = {
        int(match[1]): path
        for path in (out.iterdir() if out.is_dir() else ())
        if path.is_dir() and (match := re.fullmatch(rf"{PREFIX_CHECKPOINT_DIR}-(\d+)", path.name))
    }
    for _, path in sorted(found.items(), reverse=True):
        lacking = missing(path)
        if lacking is None:
            return str(path)
        say(f"{path} is left out: {lacking}")
    return None


@contextlib.contextmanager
def disk_errors(what: str, out: Path) -> Iterator[None]:
    """Turns a full disk while ``what`` is written into a WorkError, and removes what is half written in ``out``."""
    try:
        yield
    except Exception as error:
        if not is_disk_full(error):
            raise
        half = [file for part in out.glob(f".*{UNFINISHED}") for file in part.rglob("*")]
        size = sum(file.stat().st_size for file in half if file.is_file())
        sweep(out)
        free = shutil.disk_usage(out).free / 2**20
        whole = last_checkpoint(out, say=lambda line: None)
        raise WorkError(
            f"the disk is full: writing {what} stopped after {size / 2**20:.0f} MiB ({free:.0f} MiB are free "
            f"now that it was removed). {'The last good checkpoint is ' + whole if whole else 'There is no checkpoint'}."
            " Make room, or lower training.save_total_limit, and run the same command again."
        ) from error


def is_disk_full(error: BaseException) -> bool:
    """Whether ``error`` says that the disk is full; torch and safetensors say so in words only."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    text = str(error).lower()
    if "no space left on device" in text or "os error 28" in text:
        return True
    # torch's zip writer notices a short write, at once or when it closes the file, and nothing more.
    short = "pytorchstreamwriter failed writing" in text or ("inline_container" in text and "unexpected pos" in text)
    return isinstance(error, RuntimeError) and short
