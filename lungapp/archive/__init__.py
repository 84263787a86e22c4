"""An archive of any size, scored through Ray Data into Parquet: the page's reading, gate and engine, many at a time.

    python -m lungapp.archive SOURCE --out results.parquet --model NAME

`inputs` lists the files, `worker` scores a few of them, `cluster` hands them to Ray's workers, `parts` keeps the rows,
`summary` counts them. Ray and pyarrow are optional (requirements-archive.txt) and imported where they are used.
"""

from __future__ import annotations
