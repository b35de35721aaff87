"""A checkpoint behind OpenAI's chat completions, on this machine alone unless told otherwise."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "serve",
        help="serve a checkpoint over OpenAI's chat completions",
        description=__doc__,
        epilog="Then, for instance: kie-hvqa eval --reader openai:MODEL@http://127.0.0.1:8000/v1 --prompt question …",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="checkpoint or adapter directory, hub id, or embedded; also its name over HTTP"
    )
    parser.add_argument("--port", type=int, default=8000, metavar="P", help="default 8000; 0 takes a free one")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="default 127.0.0.1: nobody else can ask. Another one needs a key in KIE_HVQA_SERVE_KEY, which clients send as a bearer token",
    )
    parser.add_argument(
        "--device", metavar="NAME", help="cpu, cuda, cuda:1 … (default: the accelerator if there is one)"
    )
    parser.add_argument("--dtype", metavar="NAME", help="float32, bfloat16 or float16 (default: as eval chooses)")
    parser.add_argument(
        "--operating-point",
        type=Path,
        metavar="FILE",
        help="what kie-hvqa calibrate made for this model: /v1/read asserts nothing below it",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from kie_hvqa.commands.read import template_fields
    from kie_hvqa.errors import InputError
    from kie_hvqa.readers import open_reader
    from kie_hvqa.readers.transformers_reader import TransformersReader
    from kie_hvqa.serving.server import serve

    reader = open_reader(args.model, device=args.device, dtype=args.dtype)
    if not isinstance(reader, TransformersReader):
        raise InputError("this is no model that could be served", field=args.model, remedy="Name a checkpoint.")
    serve(reader, args.model, host=args.host, port=args.port, sets=template_fields, point=args.operating_point)
