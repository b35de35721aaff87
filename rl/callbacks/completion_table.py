"""A look at the completions in TensorBoard: some questions of a step, each with its damaged image and the group's answers.

W&B and trackio get such a table from TRL (``training.log_completions: true``); every completion of every step is in
``OUT/rollouts``, and ``kie-hvqa report OUT`` shows some of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers.integrations import TensorBoardCallback

from kie_hvqa.data.dataset import spread
from rewards.contract import completion_text

QUESTIONS = 3
_WIDEST = 640  # pixels: tables are kept for every so many steps


class CompletionTable:
    """Holds the last generation's questions until ``write``; ``every`` so many steps, 0 never."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._groups: list[dict[str, Any]] = []

    def due(self, step: int) -> bool:
        return self._every > 0 and step % self._every == 0

    def hold(
        self,
        rows: Sequence[dict[str, Any]],
        completions: Sequence[Any],
        rewards: Sequence[float],
        advantages: Sequence[float],
        group: int,
    ) -> None:
        """Keep some groups of ``group`` neighbours each, from the first to the last of the batch."""
        self._groups = [
            {
                "row": rows[start],
                "said": [
                    (completion_text(completions[i]), float(rewards[i]), float(advantages[i]))
                    for i in range(start, min(start + group, len(rows)))
                ],
            }
            for start in spread(range(0, len(rows), group), QUESTIONS)
        ]

    def write(self, writer: Any, step: int) -> None:
        """Put what is held into ``writer`` (a SummaryWriter) and hold nothing."""
        for number, group in enumerate(self._groups, 1):
            row = group["row"]
            writer.add_image(f"completions/{number}", _pixels(row["image"]), step, dataformats="HWC")
            writer.add_text(f"completions/{number}", _markdown(row, group["said"]), step)
        self._groups = []


def tensorboard_of(trainer: Any) -> Any | None:
    """The open SummaryWriter of ``trainer``, None where it writes none (other trackers, other processes)."""
    found = [one for one in trainer.callback_handler.callbacks if isinstance(one, TensorBoardCallback)]
    return found[0].tb_writer if found else None


def _pixels(image: Any) -> np.ndarray:
    if image.width > _WIDEST:
        image = image.resize((_WIDEST, max(1, round(image.height * _WIDEST / image.width))))
    return np.asarray(image)


def _markdown(row: dict[str, Any], said: Sequence[tuple[str, float, float]]) -> str:
    severity = "" if row.get("severity") is None else f", severity {row['severity']}"
    lines = [
        f"{row.get('id', '')}{severity}: {_cell(str(row.get('problem', '')).removeprefix('<image>'))}",
        "",
        f"Truth: {_cell(str(row.get('answer', '')))}",
        "",
        "| reward | advantage | completion |",
        "|---|---|---|",
    ]
    ranked = sorted(said, key=lambda each: -each[2])
    return "\n".join([*lines, *(f"| {reward:.3f} | {gain:+.3f} | {_cell(text)} |" for text, reward, gain in ranked)])


def _cell(text: str) -> str:
    """As code in one cell, whatever a model wrote."""
    return "`" + " ".join(text.replace("`", "'").replace("|", "¦").split())[:600] + "`"
