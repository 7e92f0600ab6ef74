"""Parameters of plug-ins, checked against their models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from nstbench.core.errors import UsageError, did_you_mean


def check_params(model: type[BaseModel], given: Mapping[str, Any], owner: str) -> Any:
    """Return the parameters of a plug-in, validated by its model.

    Args:
        model: the ``Params`` class of the plug-in.
        given: parameters by name; the others get their defaults.
        owner: name of the plug-in, for messages.

    Raises:
        UsageError: if a parameter is unknown (with a suggestion) or has a wrong value.

    Example:
        >>> from pydantic import BaseModel
        >>> class Params(BaseModel):
        ...     steps: int = 10
        >>> check_params(Params, {"steps": "3"}, "method 'x'").steps
        3
    """
    for name in given:
        if name not in model.model_fields:
            names = ", ".join(model.model_fields) or "none"
            hint = did_you_mean(name, model.model_fields)
            raise UsageError(f"{owner} has no parameter '{name}'.{hint} It has: {names}.")
    try:
        return model(**given)
    except ValidationError as error:
        problem = error.errors()[0]
        name = str(problem["loc"][0]) if problem["loc"] else "parameters"
        reason = problem["msg"].removeprefix("Value error, ")
        raise UsageError(f"{owner}: {name}: {reason} (got {problem['input']!r}).") from None
