"""Do the weights that a recipe starts from open, and are they whole?"""

from __future__ import annotations

from pathlib import Path

from kie_hvqa.errors import InputError
from kie_hvqa.readers.checkpoint import ReadingContract


def check_weights(directory: Path, contract: ReadingContract) -> str:
    """Every weight file opens; safetensors compares a file's length with its header. InputError naming the file."""
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
    return f"{directory}: {tensors} tensors, {size / 1e6:.1f} MB; {contract_line(contract)}"


def contract_line(contract: ReadingContract) -> str:
    return f"{contract.min_pixels} to {contract.max_pixels} pixels, prompt `{contract.prompt}`"
