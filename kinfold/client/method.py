"""One description of a method, two ways to run it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from pydantic import BaseModel, ValidationError

from kinfold.client.calls import Call, Steps
from kinfold.client.errors import foreign
from kinfold.client.retry import Patience, send

P = ParamSpec("P")
Result = TypeVar("Result")
Model = TypeVar("Model", bound=BaseModel)


class Caller(Protocol):
    """What a method finds in its client."""

    patience: Patience


class Waiting:
    """A client whose methods return when they are done."""

    patience: Patience

    def run(self, steps: Steps[Result]) -> Result:
        """Do what is yielded, and return what is returned."""
        raise NotImplementedError


class Awaiting:
    """A client whose methods are awaited."""

    patience: Patience

    async def run(self, steps: Steps[Result]) -> Result:
        """Do what is yielded, and return what is returned."""
        raise NotImplementedError


class method(Generic[P, Result]):  # noqa: N801 - used as a decorator
    """Turn a generator of steps into a method of both clients, with the same arguments."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Steps[Result]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, client: None, owner: type[Any]) -> Callable[..., Any]: ...

    @overload
    def __get__(self, client: Waiting, owner: type[Any] | None = None) -> Callable[P, Result]: ...

    @overload
    def __get__(
        self, client: Awaiting, owner: type[Any] | None = None
    ) -> Callable[P, Coroutine[Any, Any, Result]]: ...

    def __get__(self, client: Any, owner: type[Any] | None = None) -> Any:
        """The method of one client; of the class itself, the function that describes it."""
        describe = self._describe
        if client is None:
            return describe

        def run(*args: P.args, **given: P.kwargs) -> Any:
            return client.run(describe(client, *args, **given))

        return wraps(MethodType(describe, client))(run)


def answer_of(client: Caller, call: Call, model: type[Model]) -> Steps[Model]:
    """A call's good answer as a model; what is none came from somebody else."""
    answer = yield from send(call, client.patience)
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as error:
        raise foreign(answer.status, answer.headers, answer.content) from error


def content_of(client: Caller, call: Call) -> Steps[bytes]:
    """The content of a call's good answer, with the client's patience."""
    answer = yield from send(call, client.patience)
    return answer.content
