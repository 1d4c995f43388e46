"""What `make test` checks of the annotations: the shapes and dtypes of arrays; mypy has seen to the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check the arguments and results that are annotated with a shape, as jaxtyping's type checker.

    The others are let through: a test may hand a fake where a Protocol or a class is expected.
    """
    function.__annotations__ = {name: hint for name, hint in function.__annotations__.items() if _has_shape(hint)}
    return beartype(function)


def _has_shape(hint: object) -> bool:
    is_shape = isinstance(hint, type) and issubclass(hint, AbstractArray)
    return is_shape or any(_has_shape(part) for part in get_args(hint))
