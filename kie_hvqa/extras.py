"""Which extra holds which module, and the one line that installs it.

The core of this package scores, reports and asks servers; what damages, reads with a model, trains or serves comes with
extras (pyproject.toml). Modules are imported where they are needed, so a command that lacks one finds out in the middle of
an import: the command line catches that in one place and asks ``lacking`` for the sentence.
"""

from __future__ import annotations

import json
from importlib import metadata
from urllib.parse import unquote, urlsplit

from kie_hvqa.errors import InputError

DISTRIBUTION = "kie-hvqa"
# Module → extra, for every module of a package that an extra names and the core does not bring.
EXTRA_OF = {
    "cv2": "simulate",
    "isal": "simulate",
    "faker": "simulate",
    "fontpkg": "simulate",
    "glyphive": "simulate",
    "uharfbuzz": "simulate",
    "pylopdf_fonts_zh_cn": "simulate",
    "torch": "local",
    "torchvision": "local",
    "transformers": "local",
    "huggingface_hub": "local",
    "tokenizers": "local",
    "safetensors": "local",
    "qwen_vl_utils": "local",
    "peft": "local",
    "trl": "train",
    "deepspeed": "train",
    "accelerate": "train",
    "datasets": "train",
    "psutil": "train",
    "tensorboard": "train",
    "pyarrow": "train",
    "packaging": "train",
    "rapidocr_onnxruntime": "ocr",
    "vllm": "vllm",
    "starlette": "serve",
    "uvicorn": "serve",
    "pypdfium2": "pdf",
    "matplotlib": "study",
    "augraphy": "bench",
}


def lacking(error: ModuleNotFoundError, *, extra: str | None = None, field: str | None = None) -> InputError | None:
    """``error`` as an InputError that says which line installs the missing module; None for a module of no extra.

    ``extra`` is what the command needs as a whole, where that is more than the module's own.
    """
    module = (error.name or "").partition(".")[0]
    if module not in EXTRA_OF:
        return None
    return InputError(
        f"the package of {module} is not installed", field=field, remedy=remedy(extra or EXTRA_OF[module])
    )


def remedy(extra: str) -> str:
    return f"Install it: `{install_line(extra)}`"


def install_line(extra: str) -> str:
    """The command that adds ``extra`` to this installation: to the checkout or the file where it came from one."""
    return f"pip install {_source(extra)}"


def _source(extra: str) -> str:
    try:
        told = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
        origin = json.loads(told) if told else {}
    except (metadata.PackageNotFoundError, ValueError):
        origin = {}
    url = urlsplit(str(origin.get("url", "")))
    if url.scheme != "file":
        return f"'{DISTRIBUTION}[{extra}]'"
    editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
    return f"{editable}'{unquote(url.path)}[{extra}]'"
