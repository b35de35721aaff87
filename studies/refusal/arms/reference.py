"""The reference: the base as it is shipped, which answers always, and its own token probabilities as the signal."""

from __future__ import annotations

from typing import Any

from studies.refusal.study import Study


def run(study: Study) -> dict[str, Any]:
    found = study.judge.against(study.reference, "reference", study.reference)
    return {"readers": {"token_probability": found}, "parameters": 0}
