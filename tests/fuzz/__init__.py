"""Damaged and hostile files of every kind that the package reads.

    python -m tests.fuzz --mutants 20000 --seed 0

`mutations` damages bytes, JSON and HDF5; `kinds` has valid files of each kind and how
they are read; `worker` reads mutants in a process with bounded memory; `campaign` feeds
workers and notices those that crash or hang.
"""
