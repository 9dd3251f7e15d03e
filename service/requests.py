"""What a search may ask for: its fields, strictly typed, from a JSON body or a query string."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Self, TypeVar

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails

from kinfold.arrays import AnyArray
from kinfold.config import Seeds
from kinfold.index.ids import Id
from kinfold.search.fusion import Fusion
from service.problems import INVALID_JSON, INVALID_REQUEST, ProblemError, shown
from service.vectors import from_list, from_lists

_MOST_ERRORS = 5
_MOST_MODELS = 8
_MOST_CHARACTERS = 200
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_QUERIES = ("vector", "vectors", "id", "ids")
_VECTOR_SCHEMA = {"type": "array", "items": {"type": "number"}, "minItems": 1}
_ID_SCHEMA = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
_NAME_SCHEMA = {"type": "string", "maxLength": _MOST_CHARACTERS}
_NAMES_SCHEMA = {
    "type": "array",
    "items": _NAME_SCHEMA,
    "minItems": 1,
    "maxItems": _MOST_MODELS,
    "uniqueItems": True,
}


def _id(value: object) -> object:
    if type(value) not in (int, str):
        raise ValueError("an integer or a string")
    return value


ItemId = Annotated[Id, PlainValidator(_id)]
Vector = Annotated[
    AnyArray | None,
    PlainValidator(lambda value: None if value is None else from_list(value)),
    WithJsonSchema(_VECTOR_SCHEMA),
]
Vectors = Annotated[
    AnyArray | None,
    PlainValidator(lambda value: None if value is None else from_lists(value)),
    WithJsonSchema({"type": "array", "items": _VECTOR_SCHEMA, "minItems": 1}),
]


def _as_names(value: object) -> object:
    """One name as a list of one."""
    if value is not None and type(value) not in (str, list):
        raise ValueError("a name or a list of names")
    return [value] if isinstance(value, str) else value


def _different(names: list[str]) -> list[str]:
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ProblemError(
                INVALID_REQUEST,
                f"model: expected different names, found {shown(name)!r} twice",
                expected="different names",
                found=name,
            )
    return names


_Name = Annotated[str, Field(max_length=_MOST_CHARACTERS)]
_Names = Annotated[
    list[_Name], Field(min_length=1, max_length=_MOST_MODELS), AfterValidator(_different)
]
ModelNames = Annotated[
    _Names | None,
    BeforeValidator(_as_names),
    WithJsonSchema({"anyOf": [_NAME_SCHEMA, _NAMES_SCHEMA, {"type": "null"}]}),
]


class SearchOptions(BaseModel):
    """How to search. In a JSON body these are fields; with a raw body, query parameters."""

    model_config = ConfigDict(strict=True, extra="forbid")

    k: int = Field(
        10, ge=1, description="Hits a query; at most KINFOLD_MAX_K and the collection's rows."
    )
    model: ModelNames = Field(
        None,
        description="A model's name, or knn for plain nearest neighbours; a list of different "
        "ones is fused into one ranking; null: the collection's default model.",
    )
    fusion: Fusion | None = Field(
        None,
        description="How several models become one ranking. rrf: by the sum of 1 / (60 + rank). "
        "score: by the sum of the scores, each as a share of its model's best. null: rrf. "
        "With one model it changes nothing.",
    )
    k_q: int | None = Field(
        None,
        ge=1,
        description="Neighbours of the query that may seed the diffusion; null: as built.",
    )
    seeds: Seeds | None = Field(
        None,
        description="Which of the k_q neighbours count, as in the parameters of a build; null: "
        "as built.",
    )
    explain: bool = Field(
        False,
        description="Tell for each hit which neighbours of the query gave which share of its "
        "score. Costs a search a hit, so queries × k may be at most 100. Of one model only.",
    )
    with_payload: bool = Field(False, description="Give each hit's payload.")


def _exactly_one(schema: dict[str, Any]) -> None:
    """Say so in the JSON schema. Null stands for a field left out; the schema keeps it simple."""
    for name in _QUERIES:
        del schema["properties"][name]["default"]
    schema["oneOf"] = [{"required": [name]} for name in _QUERIES]


class SearchBody(SearchOptions):
    """A search as JSON: exactly one of vector, vectors, id and ids, and how to search."""

    model_config = ConfigDict(json_schema_extra=_exactly_one)

    vector: Vector = Field(None, description="One query vector.")
    vectors: Vectors = Field(None, description="A batch of query vectors, all of one length.")
    id: Annotated[
        ItemId | None,
        WithJsonSchema(_ID_SCHEMA),
        Field(description="Find what is like this item of the collection."),
    ] = None
    ids: Annotated[
        list[ItemId] | None,
        FailFast(),
        WithJsonSchema({"type": "array", "items": _ID_SCHEMA, "minItems": 1}),
        Field(min_length=1, description="As id, a batch."),
    ] = None

    @model_validator(mode="after")
    def _one_query(self) -> Self:
        given = [name for name in _QUERIES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ProblemError(
                INVALID_REQUEST,
                "expected exactly one of vector, vectors, id and ids, found "
                + (" and ".join(given) or "none of them"),
                expected="exactly one of vector, vectors, id and ids",
                found=", ".join(given) or "none",
            )
        return self


Options = TypeVar("Options", bound=SearchOptions)


def parse_body(body: bytearray) -> SearchBody:
    """Read a JSON body."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ProblemError(
            INVALID_JSON,
            f"the body is not JSON: {error}" if body else "the body is empty, expected JSON",
        ) from None
    if type(value) is not dict:
        raise ProblemError(
            INVALID_REQUEST, "expected a JSON object", expected="an object", found=value
        )
    return _checked(SearchBody, value)


def parse_parameters(pairs: Iterable[tuple[str, str]]) -> SearchOptions:
    """Read the query string that goes with a raw body."""
    values: dict[str, object] = {}
    for name, text in pairs:
        if name in values:
            raise ProblemError(INVALID_REQUEST, f"the query parameter {name!r} is given twice")
        values[name] = _typed(name, text)
    return _checked(SearchOptions, values)


def _typed(name: str, text: str) -> object:
    """A query parameter as JSON would have it; what does not fit stays text and is refused."""
    if name in {"k", "k_q"} and _WHOLE.fullmatch(text):
        return int(text)
    if name in {"explain", "with_payload"} and text in {"true", "false"}:
        return text == "true"
    if name == "model":
        return text.split(",")
    return text


def _checked(model: type[Options], values: dict[str, object]) -> Options:
    """The model made of values, or the problem that they are, by their first few errors."""
    fields = model.model_fields
    strangers = [name for name in values if name not in fields]
    if strangers:
        # Before pydantic looks: it would list every one, and there may be a million.
        named = ", ".join(repr(shown(name)) for name in strangers[:_MOST_ERRORS])
        raise ProblemError(
            INVALID_REQUEST,
            f"no field is called {named}; there are {', '.join(fields)}",
            expected=list(fields),
            found=strangers[0],
        )
    try:
        return model.model_validate(values)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    lines = []
    for item in errors[:_MOST_ERRORS]:
        where = ".".join(str(place) for place in item["loc"])
        found = orjson.dumps(shown(item["input"])).decode()
        lines.append(f"{where}: expected {_expected(item)}, found {found}")
    raise ProblemError(
        INVALID_REQUEST,
        "; ".join(lines),
        expected=_expected(errors[0]),
        found=errors[0]["input"],
    )


def _expected(item: ErrorDetails) -> str:
    """What a field should have been."""
    context = item.get("ctx", {})
    match item["type"]:
        case "int_type":
            return "a whole number"
        case "bool_type":
            return "true or false"
        case "string_type":
            return "a string"
        case "list_type":
            return "a list"
        case "literal_error":
            return str(context["expected"])
        case "greater_than_equal":
            return f"at least {context['ge']}"
        case "too_short":
            return f"at least {context['min_length']} of them"
        case "too_long":
            return f"at most {context['max_length']} of them"
        case "string_too_long":
            return f"at most {context['max_length']} characters"
    return item["msg"].removeprefix("Value error, ")
