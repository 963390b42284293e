"""Strange databases by seed: random tables, targets, writers and DBAs against real servers.

    types    what a column may be, and literals for it
    source   random tables of a source
    target   how the target's tables deviate from them
    writer   what the application does
    dba      what its DBA does meanwhile
    plan     all of that under one seed, and the outcome
    world    the databases: source, twin, target
    oracle   which tables are named, and whether the others are equal
    trial    one seed from end to end, and what must hold
    shrink   a failing seed, made smaller

    python3 -m tests.shapes --seed 7 --count 20
"""
