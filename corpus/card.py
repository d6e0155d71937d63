"""The README of a data set: what the Hub and `datasets` read, and people too.

The key insight: it is generated from the table of columns and the settings of the run, so it can't promise what the
files don't hold; and it states nothing about the machine or the moment, so equal runs write equal cards.
"""

from __future__ import annotations

from collections.abc import Mapping

from corpus.schema import COLUMNS

HEAD = """---
pretty_name: Verified Warp kernels
tags:
- code
- compilers
- nvidia-warp
configs:
- config_name: default
  data_files:
  - split: train
    path: data/*.parquet
---

# Verified Warp kernels

Random, well-typed NVIDIA Warp kernels, each compiled with Warp and proved right by running it: values against a NumPy
reference, gradients against finite differences. A row holds the Python source, the compiler's text for it, inputs,
outputs and gradients, and how far each check went.

```python
from datasets import load_dataset

rows = load_dataset("path/to/this/folder", split="train")
```

A stored value becomes what Warp launches a kernel with by its parameter's type, such as `array(vec3f)`. The last axis
of a composite's shape numbers its scalars, as Warp's own arrays take them. Types that Warp has no name for, such as
`mat23f`, are among the names that the row's module defines:

```python
import ml_dtypes  # by which NumPy has bfloat16
import numpy as np
import warp as wp


def launched_with(tensor, type, module):
    data = np.frombuffer(tensor["data"], tensor["dtype"]).reshape(tensor["shape"])
    kind, _, element = type.removesuffix(")").partition("(")
    name = element or kind
    made = getattr(wp, name) if hasattr(wp, name) else getattr(module, name.removesuffix("f"))
    return wp.array(data, dtype=made) if element else made(*data.ravel().tolist())
```

`dim=tuple(row["dim"])` is what it is launched with.
"""


def card(settings: Mapping[str, object], metadata: Mapping[str, str]) -> str:
    """The text of the card for a run with these settings, whose files carry `metadata`."""
    facts = [("setting", "value"), ("---", "---"), *settings.items(), *metadata.items()]
    columns = [("column", "type", "description"), ("---", "---", "---")]
    columns += [(f"`{c.name}`", _type_name(c.type), c.description) for c in COLUMNS]
    return "\n".join([HEAD, "## Made by", "", *map(_line, facts), "", "## Columns", "", *map(_line, columns), ""])


def _type_name(type_: object) -> str:
    text = str(type_)
    return text if len(text) < 40 else f"{text.split('<', 1)[0]} of struct"


def _line(cells: tuple[object, ...]) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(value: object) -> str:
    if value is None:
        return "all"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
