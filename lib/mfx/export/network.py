"""What a Keras network takes and what its answers mean: read once, for training and for export."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from mfx.errors import MfxError, nearest
from mfx.export import _private

BINARY, CLASSES, ONE_HOT = "binary", "classes", "one-hot"
"""Kinds of cross-entropy: of yes or no, of a class's number, of a vector with a place a class."""

_CROSS_ENTROPIES = {
    "binarycrossentropy": BINARY,
    "binaryfocalcrossentropy": BINARY,
    "sparsecategoricalcrossentropy": CLASSES,
    "categoricalcrossentropy": ONE_HOT,
    "categoricalfocalcrossentropy": ONE_HOT,
}
_PROBABILITIES = ("sigmoid", "softmax")
_BUILD = "build_model"


@dataclass(frozen=True)
class Inputs:
    """The features that a network takes, and the form it takes them in.

    Args:
        names: A feature for each input, in the order of Keras' `model.inputs`.
        form: Puts values, in the order of `names`, into the network's form: one alone, a tuple, a
            dict, or these in one another.
    """

    names: tuple[str, ...]
    form: Callable[[Sequence[Any]], Any]

    def of(self, features: Mapping[str, Any]) -> Any:
        """What the network takes of these features; all others are left out."""
        return self.form([features[name] for name in self.names])

    def without(self, features: Mapping[str, Any]) -> list[str]:
        """The features that no input takes, in name order."""
        return sorted(set(features) - set(self.names))


def inputs_of(model: Any, features: Mapping[str, Any] | None = None, label: str = "") -> Inputs:
    """Which feature feeds which of a network's inputs, whatever form it takes them in.

    An input's feature is the one of its key, where it lies in a dict, else of the name given to
    `keras.Input`.

    Args:
        model: The network.
        features: What there is, by name; where given, an input that is not among it is an error.
        label: Their name that no input may take.

    Raises:
        MfxError: The inputs have no names, or one's name is no feature's, or the label's.
    """
    form = _form(model)
    found = [
        (path[-1] if path and isinstance(path[-1], str) else tensor.name, tensor)
        for path, tensor in keras.tree.flatten_with_path(form)
    ]
    if features is not None:
        for name, tensor in found:
            _check_input(name, tensor, features, label)
    packed = keras.tree.lists_to_tuples(form)  # tf.data makes one tensor of a list
    return Inputs(
        tuple(name for name, _ in found), lambda given: keras.tree.pack_sequence_as(packed, given)
    )


def _form(model: Any) -> Any:
    """The network's inputs as they were given to Keras."""
    try:
        tensors = model.inputs
        return tensors[0] if isinstance(model, keras.Sequential) else model.input
    except AttributeError:
        start = "Begin it with keras.Input((), name='<feature>')"
        if not isinstance(model, keras.Sequential):
            start = "Return keras.Model(inputs, outputs), its inputs keras.Input by feature"
        raise MfxError(
            f"{_BUILD}: {_BUILD} returns a {type(model).__name__} without named inputs, so nothing "
            "says which features it takes",
            f"{start}.",
        ) from None


def _check_input(name: str, tensor: Any, features: Mapping[str, Any], label: str) -> None:
    if name == label:
        raise MfxError(
            f"{_BUILD}: the input '{name}' is the label",
            "A model that is served does not know it: take the input out.",
        )
    if name in features:
        return
    known = sorted(set(features) - {label})
    alias = "" if tensor.name == name else f" (its keras.Input is named '{tensor.name}')"
    raise MfxError(
        f"{_BUILD}: no feature feeds the input '{name}'{alias}{nearest(name, known)}",
        f"Features of preprocessing_fn: {', '.join(known)}. An input is fed by the feature of its "
        "key in a dict of inputs, else of its name: keras.Input((), name='<feature>').",
    )


def width(model: Any) -> int:
    """Numbers that a network answers each row with; 0 where that is no vector of fixed length."""
    shapes = [tuple(output.shape) for output in model.outputs]
    if len(shapes) != 1 or len(shapes[0]) not in (1, 2):
        return 0
    return (*shapes[0], 1)[1] or 0


@dataclass(frozen=True)
class Loss:
    """What a network was compiled with.

    Args:
        name: Of the class or function, in small letters without underscores; empty if none.
        kind: BINARY, CLASSES or ONE_HOT; empty for any other loss.
        from_logits: Whether it takes the network's answers for logits.
        ignored: The class that it does not count, if any.
    """

    name: str
    kind: str
    from_logits: bool
    ignored: int | None

    @property
    def is_cross_entropy(self) -> bool:
        """Also of a function of the user's own, by its name."""
        return bool(self.kind) or "crossentropy" in self.name


def loss_of(model: Any) -> Loss:
    """The loss of a compiled network: given as a name, a config, a function, a partial, an object
    or a class of the user's own; alone, or as the only one of a list or dict."""
    given = model.loss
    if not (isinstance(given, dict) and "class_name" in given):
        flat = keras.tree.flatten(given)
        given = flat[0] if len(flat) == 1 else None
    loss = keras.losses.get(given)
    names = [_plain(name) for name in _names(loss)]
    kind = next((_CROSS_ENTROPIES[name] for name in names if name in _CROSS_ENTROPIES), "")
    ignored = _option(loss, "ignore_class")
    return Loss(names[0] if names else "", kind, bool(_option(loss, "from_logits")), ignored)


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _names(loss: Any) -> Iterator[str]:
    """Of a function; or of an object's class, those that it derives from, and what it wraps."""
    if isinstance(loss, functools.partial):
        yield from _names(loss.func)
    elif isinstance(loss, keras.losses.Loss):
        own = [kind.__name__ for kind in type(loss).__mro__]
        generic = own.index("LossFunctionWrapper") if "LossFunctionWrapper" in own else len(own)
        yield from own[:generic]
        if hasattr(loss, "fn"):
            yield from _names(loss.fn)
    elif loss is not None:
        yield getattr(loss, "__name__", type(loss).__name__)


def _option(loss: Any, name: str) -> Any:
    """An option of a loss: its own, or that of the function that it wraps, as set or by default."""
    if hasattr(loss, name):
        return getattr(loss, name)
    if isinstance(loss, keras.losses.Loss):
        kept = getattr(loss, "_fn_kwargs", {})
        return kept[name] if name in kept else _option(getattr(loss, "fn", None), name)
    if not callable(loss):
        return None
    try:
        parameter = inspect.signature(loss).parameters.get(name)
    except (TypeError, ValueError):
        return None
    return None if parameter is None or parameter.default is parameter.empty else parameter.default


def probabilities(model: Any) -> str:
    """What makes probabilities of a network's answers, as its loss reads them: `sigmoid`, `softmax`
    (see `answers`), or '' where they are probabilities already, or values."""
    loss = loss_of(model)
    if not loss.from_logits:
        return ""
    binary = loss.kind == BINARY or (not loss.kind and width(model) == 1)
    return "sigmoid" if binary else "softmax"


def check(model: Any) -> None:
    """Look for what can never be right, before anything is trained.

    Raises:
        MfxError: The network is not compiled, answers with several tensors, or its last layer and
            its loss do not go together.
    """
    if not getattr(model, "compiled", False):
        raise MfxError(f"{_BUILD}: the network is not compiled", "Call its compile(), with a loss.")
    if len(model.outputs) != 1:
        names = ", ".join(f"'{name}'" for name in model.output_names)
        raise MfxError(
            f"{_BUILD}: the network has {len(model.outputs)} outputs ({names}), expected one",
            "Give keras.Model one output of shape [batch, width].",
        )
    loss, last = loss_of(model), _last(model)
    if loss.from_logits and last in _PROBABILITIES:
        raise MfxError(
            f"{_BUILD}: the network ends in a {last}, but its loss has from_logits=True",
            f"Leave out one of them: the {last}, or from_logits.",
        )
    if loss.kind and not loss.from_logits and last == "linear":
        wanted = "sigmoid" if loss.kind == BINARY else "softmax"
        raise MfxError(
            f"{_BUILD}: the network's last layer has no activation, but its loss, a cross-entropy, "
            "takes probabilities",
            f"End the network in a {wanted}, or give the loss from_logits=True.",
        )


def _last(model: Any) -> str:
    """The network's last activation or operation, in small letters, such as `sigmoid`."""
    operation = _private.last_operation(model)
    if isinstance(operation, keras.Model):
        return _last(operation)
    activation = getattr(operation, "activation", None)
    return getattr(activation, "__name__", type(operation).__name__).lower()
