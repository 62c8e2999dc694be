"""A pipeline's `model.py`, the files of the project that it imports, and what it returns held to
what can be stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from mfx.config import Pipeline
from mfx.errors import MfxError
from mfx.user_code import bundle, bundle_import
from mfx.user_code.failures import listed, running


class Names(Protocol):
    """What says where a pipeline's module is: a whole config, or what a step reads of it."""

    @property
    def pipeline(self) -> Pipeline:
        """The table `[pipeline]`."""

    def resolve(self, path: str) -> str:
        """A path of the config, absolute."""


def find(settings: Names) -> bundle.Bundle:
    """The module's file and all that it needs of the project, read but not run.

    Raises:
        MfxError: A file cannot be read, or is not Python.
    """
    path = settings.resolve(settings.pipeline.module)
    if not path.endswith(".py"):
        raise MfxError(f"{path}: not a Python file", "Name one as module under [pipeline].")
    return bundle.collect(Path(path), settings.pipeline.name)


def load(settings: Names) -> ModuleType:
    """The module with `preprocessing_fn(inputs)` and `build_model(**hyperparameters)`.

    Raises:
        MfxError: The files cannot be run, or do not define both.
    """
    path = settings.resolve(settings.pipeline.module)
    found = find(settings)
    with running(path, "import"):
        module = bundle_import.load(found)
    for function in ("preprocessing_fn", "build_model"):
        if not callable(getattr(module, function, None)):
            raise MfxError(f"{path}: no function {function}", f"Define {function} in it.")
    return module


def build_model(
    settings: Names,
    module: ModuleType,
    hyperparameters: Mapping[str, Any],
    features: Mapping[str, str],
) -> Any:
    """The network that the user's `build_model` makes: a compiled `keras.Model`.

    Args:
        settings: Name the module.
        module: What `load` returned.
        hyperparameters: Handed to it.
        features: Each transformed feature's type, for messages.

    Raises:
        MfxError: It fails, or returns something else.
    """
    import keras

    path = settings.resolve(settings.pipeline.module)
    given = {name: repr(value) for name, value in hyperparameters.items()}
    about = "\n".join([listed("Features", features), listed("Hyperparameters", given)])
    with running(path, "build_model", [*hyperparameters, *features], about):
        model = module.build_model(**hyperparameters)
    if not getattr(model, "compiled", False):
        is_model = isinstance(model, keras.Model)
        shown = "a model that is not compiled" if is_model else type(model).__name__
        raise MfxError(
            f"{path}: build_model returns {shown}",
            "Return a keras.Model after model.compile(optimizer, loss, …).",
        )
    return model


class CheckedFunction:
    """`preprocessing_fn`, whose errors are one message and whose features can be stored.

    Args:
        function: The user's function; pickles if this is to.
        path: Its file.
        columns: Each raw column's type.
        label: The feature that it must return.
    """

    def __init__(
        self, function: Callable, path: str, columns: Mapping[str, str], label: str
    ) -> None:
        self._function, self._path = function, path
        self._columns, self._label = dict(columns), label

    def __call__(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Call it.

        Raises:
            MfxError: It failed, or returned what is not a dict of dense tensors of shape [batch] or
                [batch, width] and of a type that tf.Example has, the label among them.
        """
        from mfx.columns.tensors import check_feature

        about = listed("Columns", self._columns)
        with running(self._path, "preprocessing_fn", self._columns, about):
            outputs = self._function(inputs)
        where = f"{self._path}: preprocessing_fn"
        if not isinstance(outputs, dict):
            raise MfxError(
                f"{where} returns {type(outputs).__name__}",
                "Return a dict of tensors by feature name.",
            )
        for name, feature in outputs.items():
            check_feature(name, feature, where)
        if self._label not in outputs:
            raise MfxError(
                f"{where} returns no feature '{self._label}', the label's name",
                "Return it, or change name under [label].",
            )
        return outputs
