"""`python -m extract.registry`: writes down which builtins the installed Warp has, for rooms that never import it.

The key insight: what the grammar covers is asked without Warp, and changes only with Warp's version. So the registry is
data, like the fit to real kernels, and a test holds it against the Warp that is installed.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator, Mapping
from typing import Any

from extract import warp_private
from grammar.registry import DATA

PYTHON_NAMES = {"float": "float32", "int": "int32"}
GENERIC = {"vec_t": "vec", "mat_t": "mat", "quat_t": "quat", "transform_t": "transform"}


def registry() -> dict[str, Any]:
    """Plain JSON: all builtins by name. Of a builtin that people may call, the signatures that Warp documents.

    A type is `float32`, a variable (`Scalar`, `Float`, `Int`, `Any`), `vec[3, Float]`, `quat[Float]`, or the name of
    something else, such as `array`.
    """
    warp_private.require_version()
    found = {name: _builtin(builtin) for name, builtin in warp_private.context.builtin_functions.items()}
    return {"warp": importlib.metadata.version("warp-lang"), "builtins": dict(sorted(found.items()))}


def _builtin(builtin: Any) -> dict[str, Any]:
    overloads = builtin.overloads if hasattr(builtin, "overloads") else _overloads_in_python(builtin)
    shown = [overload for overload in overloads if not overload.hidden]
    signatures = [dict(_signature(overload, builtin.group)) for overload in shown or overloads]
    return {"hidden": not shown, "signatures": [s for k, s in enumerate(signatures) if s not in signatures[:k]]}


def _overloads_in_python(builtin: Any) -> list[Any]:
    """Of a builtin that is written in Python: with types, and with variables for them; not what calls made of these."""
    given = [overload for overload in (builtin.user_overloads or {}).values() if overload.generic_parent is None]
    return [*given, *(builtin.user_templates or {}).values()]


def _signature(overload: Any, group: str) -> Iterator[tuple[str, Any]]:
    yield "group", overload.group or group
    yield "params", {name: type_text(type) for name, type in (overload.input_types or {}).items()}
    if overload.defaults:
        yield "optional", sorted(overload.defaults)
    if isinstance(overload.value_type, list | tuple):
        yield "results", len(overload.value_type)


def type_text(type: Any) -> str:
    """A type of Warp's as text."""
    if hasattr(type, "_wp_generic_type_str_"):
        inner = ", ".join(getattr(part, "__name__", str(part)) for part in type._wp_type_params_)
        return f"{GENERIC[type._wp_generic_type_str_]}[{inner}]"
    name: str = getattr(type, "__name__", type.__class__.__name__)
    return PYTHON_NAMES.get(name, name)


def as_json(data: Mapping[str, Any]) -> str:
    """Text with one builtin a line, the same for the same data."""
    lines = (f"  {json.dumps(name)}: {json.dumps(builtin)}" for name, builtin in data["builtins"].items())
    return f'{{"warp": {json.dumps(data["warp"])}, "builtins": {{\n' + ",\n".join(lines) + "\n}}\n"


if __name__ == "__main__":
    DATA.write_text(as_json(registry()), encoding="utf-8")
