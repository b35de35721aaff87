"""One module a subcommand: ``add(subparsers)`` declares its arguments, ``run(args)`` does it.

These modules import only argparse and pathlib at the top. Everything else, the other rooms included, is
imported inside ``run``, so that building the parser costs nothing.
"""
