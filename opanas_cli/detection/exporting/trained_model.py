"""Whether a checkpoint is of the detector that a config describes, beyond the shapes of its weights.

Networks of equal weights can differ: in paths without weights, strides, activations and anchors.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from mmengine.config import Config

from opanas_cli.errors import InvalidCheckpointError

NOT_THE_NETWORK = ("init_cfg", "train_cfg", "test_cfg", "loss_cls", "loss_bbox", "frozen_stages", "norm_eval")
"""Settings of training, or of what is kept of its output, of the same network."""


def require_same_model(meta: Any, config: Config, source: Path) -> None:
    """Raise InvalidCheckpointError, with the first difference, if a checkpoint says that its model is another one.

    `meta` is that of the checkpoint. One without a config that has a model, such as mmdet's own, says nothing.
    """
    trained = _model_in(meta.get("config") if isinstance(meta, dict) else None)
    if trained is None:
        return
    for where, was, now in _differences(trained, config.model.to_dict(), "model"):
        raise InvalidCheckpointError(
            f"{source}: was trained with {where} = {shown(was)}, but the export has {shown(now)}; export the genotype "
            "that was trained, and give --dataset and --cfg-options as for the training"
        )


def _model_in(text: Any) -> dict[str, Any] | None:
    """The model in a config's text, which is read as literals and never run; None if that cannot be done."""
    try:
        for statement in ast.parse(text if isinstance(text, str) else "").body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "model":
                model = ast.literal_eval(_Dicts().visit(statement.value))
                return model if isinstance(model, dict) else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        pass
    return None


class _Dicts(ast.NodeTransformer):
    """Turns calls ``dict(key=…)``, in which configs are written, into literals."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if ast.unparse(node.func) != "dict" or node.args or not all(keyword.arg for keyword in node.keywords):
            return node
        keys: list[ast.expr | None] = [ast.Constant(keyword.arg) for keyword in node.keywords]
        return ast.Dict(keys, [keyword.value for keyword in node.keywords])


def _differences(was: Any, now: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*was, *now]):
            if key not in NOT_THE_NETWORK:
                yield from _differences(was.get(key), now.get(key), f"{where}.{key}")
    elif isinstance(was, (list, tuple)) and isinstance(now, (list, tuple)) and len(was) == len(now):
        for place, pair in enumerate(zip(was, now, strict=True)):
            yield from _differences(*pair, f"{where}[{place}]")
    elif was != now:
        yield where, was, now
