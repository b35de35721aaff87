"""What each reward makes of one reader: the same warm start, the same budget, the same held-out documents.

    python -m studies.ablation --config configs/ablation/tiny.yaml --out runs/ablation --time     how long it will take
    python -m studies.ablation --config configs/ablation/tiny.yaml --out runs/ablation            runs it, or goes on
    python -m studies.ablation --config configs/ablation/tiny.yaml --out runs/ablation --write-docs

``config`` reads the plan, ``cells`` trains and evaluates it (a cell is one reward with one seed, a directory of its
own), ``results`` turns the cells into ``ablation.json``, ``matching`` compares two readers at equal over-refusal,
``page`` and ``curves`` write the results section of ``docs/rewards-measured.md`` from ``ablation.json`` and from nothing else.
"""
