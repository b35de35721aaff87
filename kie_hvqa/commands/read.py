"""``kie-hvqa read``: your documents in, their fields out, each with its marks and with what it is worth.

Run again, it goes on: nothing is asked twice, and what failed is asked again. Nothing leaves this machine unless the reader is
a server elsewhere.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kie_hvqa.reading.fields import Field
    from kie_hvqa.reading.run import Run


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "read",
        help="read the fields of your own documents",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="""results.jsonl has one object a document, results.csv a line. A field is read, partly (a mark ▯ stands for a character that
cannot be read), unreadable, absent or failed. docs/reading.md says what each means and how to write fields.yaml.
Exit status 1: something failed; the same command tries it again. A locked PDF: its password in KIE_HVQA_PDF_PASSWORD.""",
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="images, TIFF or PDF files, folders, or patterns of names ('scans/*.jpg')",
    )
    parser.add_argument("--reader", required=True, metavar="SPEC", help="who reads: as for kie-hvqa eval")
    asked = parser.add_argument_group("what is asked (one of these)")
    asked.add_argument("--fields", type=Path, metavar="FILE", help="fields.yaml, or a JSON Schema with titles")
    asked.add_argument(
        "--template", metavar="NAME", help="the fields of a shipped template, such as us_licence or invoice_us"
    )
    asked.add_argument(
        "--field", action="append", metavar="WORDS", help="a field as a question calls it; any number of them"
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="where the results go, and what was answered"
    )
    parser.add_argument("--print", action="store_true", dest="shown", help="show every document's fields here, too")
    parser.add_argument(
        "--review", action="store_true", help="write review.html: what a person should look at, worst first"
    )
    parser.add_argument("--review-most", type=int, metavar="N", help="documents in it (default 200)")
    parser.add_argument(
        "--label-studio", type=Path, metavar="FILE", help="write tasks.json with predictions for Label Studio"
    )
    parser.add_argument(
        "--operating-point",
        type=Path,
        metavar="FILE",
        help="what kie-hvqa calibrate made: below it nothing is asserted",
    )
    parser.add_argument(
        "--risk", type=float, metavar="R", help="refuse an operating point that promises less than at most R wrong"
    )
    parser.add_argument(
        "--dpi", type=int, default=200, metavar="N", help="dots an inch at which PDF pages are rendered (default 200)"
    )
    parser.add_argument("--max-pages", type=int, metavar="N", help="only the first N pages of each document")
    parser.add_argument(
        "--workers", type=int, default=2, metavar="N", help="threads that decode and render pages (default 2)"
    )
    parser.add_argument(
        "--redact",
        action="store_true",
        help="show a server nothing but the asked fields, which an engine here finds first",
    )
    parser.add_argument("--redact-by", metavar="SPEC", default="rapidocr", help="that engine (default rapidocr)")
    reader = parser.add_argument_group("the reader (see kie-hvqa eval --help)")
    reader.add_argument("--prompt", metavar="NAME")
    reader.add_argument("--max-new-tokens", type=int, metavar="N")
    reader.add_argument("--max-pixels", type=int, metavar="N")
    reader.add_argument("--samples", type=int, metavar="N")
    reader.add_argument("--signals", type=lambda text: tuple(filter(None, text.split(","))), metavar="A,B")
    reader.add_argument("--batch-size", type=int, metavar="N")
    reader.add_argument("--device", metavar="NAME")
    reader.add_argument("--dtype", metavar="NAME")
    reader.add_argument("--concurrency", type=int, metavar="N")
    reader.add_argument("--timeout", type=float, metavar="SECONDS")
    reader.add_argument("--attempts", type=int, metavar="N")
    reader.add_argument("--key-over-http", action="store_true", default=None)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import sys
    from collections import Counter

    from kie_hvqa.confidence.operating_point import OperatingPoint
    from kie_hvqa.console import say
    from kie_hvqa.errors import InputError
    from kie_hvqa.readers import MODEL_OPTIONS, open_reader
    from kie_hvqa.reading.by_label import for_fields
    from kie_hvqa.reading.run import Run
    from kie_hvqa.reading.sources import documents
    from kie_hvqa.reading.terminal import shown
    from kie_hvqa.reading.writing import RESULTS, write_results

    fields = fields_of(args.fields, args.template, args.field)
    point = None if args.operating_point is None else OperatingPoint.load(args.operating_point)
    if args.risk is not None and (point is None or point.risk > args.risk):
        what = "no operating point is named" if point is None else f"it promises a risk of {point.risk:g}"
        raise InputError(
            f"{what}, so nobody has tested that at most {args.risk:g} of what this reader asserts is wrong",
            file=args.operating_point,
            field="--risk",
            remedy="Evaluate the reader on labelled documents like these (`kie-hvqa eval --out RUN`), then "
            f"`kie-hvqa calibrate RUN --risk {args.risk:g} --out FILE`, and name FILE with --operating-point.",
        )
    options = {option: getattr(args, option, None) for option in MODEL_OPTIONS}
    reader = for_fields(open_reader(args.reader, **options), fields)
    if args.redact:
        from kie_hvqa.reading.redact import redacted

        reader = redacted(reader, open_reader(args.redact_by), fields, args.out)
    reading = Run(
        documents(args.sources, progress=True),
        reader,
        fields,
        args.out,
        dpi=args.dpi,
        workers=args.workers,
        most_pages=args.max_pages,
        point=point,
        point_file=args.operating_point,
    )
    statuses: Counter[str] = Counter()
    failed, first = 0, ""
    with reading.claimed():
        for result in write_results(args.out, reading.results(), fields):
            statuses.update(field.status for field in result.fields)
            if result.status == "failed":
                failed += 1
                first = first or next((field.reasons[0] for field in result.fields if field.status == "failed"), "")
            if args.shown:
                print(shown(result), end="\n\n", flush=True)
        more = _exports(args, reading, fields)
    counted = ", ".join(
        f"{statuses[name]} {name}" for name in ("read", "partly", "unreadable", "absent", "failed") if statuses[name]
    )
    say(f"{len(reading.documents)} documents: {counted}\nwrote {', '.join(map(str, [args.out / RESULTS, *more]))}")
    if not failed:
        return 0
    if all(document.error is not None for document in reading.documents):
        broken = reading.documents[0]
        raise InputError(str(broken.error), file=broken.path, remedy="Name a file that can be opened.")
    print(
        f"kie-hvqa read: {failed} of {len(reading.documents)} documents failed in part or whole ({first}); "
        "run the same command again to try them again",
        file=sys.stderr,
    )
    return 1


def _exports(args: argparse.Namespace, reading: Run, fields: tuple[Field, ...]) -> list[Path]:
    """What is made of the results beside them; the files that were written."""
    from kie_hvqa.reading.writing import RESULTS, read_results

    written = []
    if args.review or args.review_most is not None:
        from kie_hvqa.reading.review import MOST, REVIEW, write_review

        most = MOST if args.review_most is None else args.review_most
        write_review(read_results(args.out / RESULTS), fields, reading.picture, args.out / REVIEW, most=most)
        written.append(args.out / REVIEW)
    if args.label_studio is not None:
        from kie_hvqa.reading.label_studio import write_tasks

        write_tasks(read_results(args.out / RESULTS), reading.picture, reading.kept_picture, args.label_studio)
        written.append(args.label_studio)
    return written


def fields_of(file: Path | None, template: str | None, titles: list[str] | None) -> tuple[Field, ...]:
    """The fields that the options name. InputError unless exactly one of them does."""
    from kie_hvqa.errors import InputError
    from kie_hvqa.reading.fields import Field, checked, load_fields

    if sum(option is not None for option in (file, template, titles)) != 1:
        raise InputError(
            "nothing says what to read, or more than one thing does",
            field="--fields, --template, --field",
            remedy="Give one of the three.",
        )
    if file is not None:
        return load_fields(file)
    if template is not None:
        return template_fields(template)
    return checked([Field.called(title) for title in titles or ()])


def template_fields(name: str) -> tuple[Field, ...]:
    """What a shipped template (or the file of one's own) is asked about, with the labels that it prints. InputError for an unknown one."""
    from degradations.documents import template
    from kie_hvqa.reading.fields import Field

    found = template(name)

    def labels(concept: str) -> tuple[str, ...]:
        word: Any = found.words.get(concept, ())
        return (word,) if isinstance(word, str) else tuple(dict.fromkeys(dict(word).values()))

    stops = tuple(word for concept in found.fields if concept not in found.questions for word in labels(concept))
    return tuple(
        Field(concept, asked, f"What is the {asked} in the image?", labels=labels(concept), stops=stops)
        for concept, asked in found.questions.items()
    )
