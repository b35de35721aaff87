"""What a dataset says to others: README.md with the hub's head, and croissant.json, as dataset catalogues read it.

Both follow from the recipe and the counts alone, so that a dataset stays the same byte for byte. No licence is claimed: drawn
pages are whose recipe it is, and damaged scans are under the licence of the scans.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

CARD = "README.md"
CROISSANT = "croissant.json"
# Column → Croissant's type and what it is. ``slots``, ``recipe`` and ``capture`` are nested and told in the card.
COLUMNS = {
    "id": ("sc:Text", "the row"),
    "file_name": ("sc:Text", "its image, relative to the dataset"),
    "document_id": ("sc:Text", "the document; no document is in two splits"),
    "document_type": ("sc:Text", "id_card, invoice or receipt"),
    "split": ("sc:Text", "train, validation or test"),
    "field": ("sc:Text", "the field that is asked about"),
    "question_kind": ("sc:Text", "answerable, unreadable or absent"),
    "problem": ("sc:Text", "the question"),
    "answer": ("sc:Text", "the official answer, JSON in a string"),
    "severity": ("sc:Integer", "0 (capture alone) to 6"),
}
_KINDS = {
    "simulate": "Identity cards and bills that were drawn, photographed and damaged by a program: no person is behind them.",
    "degrade": "Real documents, damaged by a program. Who may see and share them is as for the documents themselves.",
}
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def card(
    stamp: Mapping[str, Any], rows: int, images: int, documents: int, counts: Mapping[str, Mapping[str, int]]
) -> str:
    """The README: the hub's YAML head, what a row is, the counts, and the recipe."""
    head = {
        "pretty_name": _name(stamp),
        "task_categories": ["visual-question-answering", "image-to-text"],
        "tags": ["kie-hvqa", "document-understanding", "hallucination", "ocr", "croissant"],
        "size_categories": [next((name for most, name in _SIZES if rows < most), "1M<n<10M")],
    }
    lines = ["---", yaml.safe_dump(head, sort_keys=False).strip(), "---", "", f"# {_name(stamp)}", ""]
    lines += [
        _KINDS.get(stamp["kind"], "Damaged documents."),
        "",
        f"{rows} questions about {images} images of {documents} documents. Each question asks for one field; `slots` is its ledger: for "
        "every printed character what the damaged pixels still support (`clear`, `partial`, `hidden`), the evidence for that "
        "in [0, 1], and its box in the image.",
        "",
        "| column | |",
        "|---|---|",
        *(f"| `{name}` | {what} |" for name, (_, what) in COLUMNS.items()),
        "| `slots` | the ledger: `char`, `legibility`, `evidence`, `box`, `rivals` and `derivable` where there is something to say |",
        "| `recipe`, `capture` | every drawn parameter of the damage and of the camera or scanner |",
        "",
        "## Counts",
        "",
        *(f"- {name}: {', '.join(f'{key} {n}' for key, n in values.items())}" for name, values in counts.items()),
        "",
        "## How it was made",
        "",
        f"`kie-hvqa {stamp['kind']}`, with {', '.join(f'{name} {version}' for name, version in stamp['versions'].items())}. The labels "
        "are computed from the pixels by an observer that knows print and damage, not given by people.",
        "",
        "```yaml",
        yaml.safe_dump(dict(stamp["config"]), sort_keys=False, allow_unicode=True).strip(),
        "```",
        "",
        "## Use",
        "",
        "`kie-hvqa eval --data THIS_DIRECTORY --reader SPEC --out RUN`, or "
        '`datasets.load_dataset("imagefolder", data_dir="THIS_DIRECTORY")`. Do not train on the split `test`.',
        "",
        "## Licence",
        "",
        "None is named here. Whoever publishes this adds one to the head: `license: …`.",
        "",
    ]
    return "\n".join(lines)


def croissant(stamp: Mapping[str, Any], rows_sha256: str) -> dict[str, Any]:
    """The dataset in MLCommons' Croissant 1.0: one file of rows, one set of images, the flat columns as fields."""
    field = [
        {
            "@type": "cr:Field",
            "@id": f"questions/{name}",
            "name": name,
            "description": what,
            "dataType": kind,
            "source": {"fileObject": {"@id": "rows"}, "extract": {"column": name}},
        }
        for name, (kind, what) in COLUMNS.items()
    ]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": _name(stamp),
        "description": _KINDS.get(stamp["kind"], "Damaged documents."),
        "version": f"{stamp['format']}.0.0",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "rows",
                "name": "metadata.jsonl",
                "contentUrl": "metadata.jsonl",
                "encodingFormat": "application/jsonlines",
                "sha256": rows_sha256,
            },
            {
                "@type": "cr:FileSet",
                "@id": "images",
                "name": "images",
                "includes": "images/*",
                "encodingFormat": "image/*",
            },
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "questions",
                "name": "questions",
                "key": {"@id": "questions/id"},
                "field": field,
            }
        ],
    }


def _name(stamp: Mapping[str, Any]) -> str:
    seed = stamp["config"].get("seed")
    return f"kie-hvqa-{stamp['kind']}" + ("" if seed is None else f"-seed-{seed}")


_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "sc": "https://schema.org/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "column": "cr:column",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "key": "cr:key",
    "recordSet": "cr:recordSet",
    "source": "cr:source",
}
