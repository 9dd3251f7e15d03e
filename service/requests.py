"""What a search may ask for: its fields, strictly typed, from a JSON body or a query string."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self, TypeVar

import orjson
import ormsgpack
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
from kinfold.search import Filter
from kinfold.search.fusion import Fusion
from kinfold.search.selection import MOST_EXAMPLES
from service.filters import FilterForm, filter_of
from service.problems import INVALID_JSON, INVALID_REQUEST, ProblemError, shown
from service.vectors import from_list, from_lists

_MOST_ERRORS = 5
_MOST_MODELS = 8
_MOST_CHARACTERS = 200
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_DECIMAL = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")
_QUERIES = ("vector", "vectors", "id", "ids", "positive")
_OPTIONAL = (*_QUERIES, "negative")
_AMONG = "vector, vectors, id, ids and positive"
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


_Ids = Annotated[
    list[ItemId] | None,
    FailFast(),
    WithJsonSchema({"type": "array", "items": _ID_SCHEMA, "minItems": 1}),
]
_Examples = Annotated[
    list[ItemId] | None,
    FailFast(),
    WithJsonSchema(
        {"type": "array", "items": _ID_SCHEMA, "minItems": 1, "maxItems": MOST_EXAMPLES}
    ),
]


class SearchOptions(BaseModel):
    """How to search. In a JSON body these are fields; with a raw body, query parameters."""

    model_config = ConfigDict(strict=True, extra="forbid")

    k: int = Field(
        10,
        ge=1,
        description="Hits a query; at most KINFOLD_MAX_K, and in a plain search (without filter, "
        "offset, min_similarity, group_by and positive) the collection's rows.",
    )
    offset: int = Field(
        0,
        ge=0,
        description="Hits that are passed over, the best ones; offset + k at most KINFOLD_MAX_K.",
    )
    min_similarity: Annotated[float, Field(allow_inf_nan=False)] | None = Field(
        None,
        description="Leave out hits whose similarity is below it, and go on down the ranking.",
    )
    filter: Annotated[
        Filter | None, PlainValidator(filter_of, json_schema_input_type=FilterForm | None)
    ] = Field(
        None,
        description="Which items may be hits, by the columns of their payload. The diffusion runs "
        "through the others all the same. At most 16 levels, 256 parts, 10,000 values.",
    )
    group_by: Annotated[str, Field(max_length=_MOST_CHARACTERS)] | None = Field(
        None,
        description="A column of the payload, of each value of which only the best group_size "
        "hits are given: one hit a product. Items without a value stand for themselves.",
    )
    group_size: int = Field(1, ge=1, description="Most hits of one group; only with group_by.")
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
    for name in _OPTIONAL:
        del schema["properties"][name]["default"]
    schema["oneOf"] = [{"required": [name]} for name in _QUERIES]
    schema["dependentRequired"] = {"negative": ["positive"]}


class SearchBody(SearchOptions):
    """A search: exactly one of vector, vectors, id, ids and positive, and how to search."""

    model_config = ConfigDict(json_schema_extra=_exactly_one)

    vector: Vector = Field(None, description="One query vector.")
    vectors: Vectors = Field(None, description="A batch of query vectors, all of one length.")
    id: Annotated[
        ItemId | None,
        WithJsonSchema(_ID_SCHEMA),
        Field(description="Find what is like this item of the collection."),
    ] = None
    ids: Annotated[_Ids, Field(min_length=1, description="As id, a batch.")] = None
    positive: Annotated[
        _Examples,
        Field(
            min_length=1,
            max_length=MOST_EXAMPLES,
            description="Find what is like all these items of the collection at once: one query. "
            "Its similarities are those to the mean of their vectors.",
        ),
    ] = None
    negative: Annotated[
        _Examples,
        Field(
            min_length=1,
            max_length=MOST_EXAMPLES,
            description="With positive: and unlike these. Similarities are then those to twice "
            "the positive mean less the negative one.",
        ),
    ] = None

    @model_validator(mode="after")
    def _one_query(self) -> Self:
        given = [name for name in _QUERIES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ProblemError(
                INVALID_REQUEST,
                f"expected exactly one of {_AMONG}, found "
                + (" and ".join(given) or "none of them"),
                expected=f"exactly one of {_AMONG}",
                found=", ".join(given) or "none",
            )
        if self.negative is not None and self.positive is None:
            raise ProblemError(
                INVALID_REQUEST,
                "negative: expected positive with it, found none",
                expected="positive",
            )
        return self


class PictureOptions(SearchOptions):
    """How to search by a picture that is sent along."""

    crop: Annotated[
        list[Annotated[float, Field(allow_inf_nan=False)]] | None,
        Field(
            min_length=4,
            max_length=4,
            description="Search for this part of it: left, top, right and bottom in pixels of the "
            "upright picture.",
        ),
    ] = None


Options = TypeVar("Options", bound=SearchOptions)


def parse_body(body: bytearray, kind: Literal["json", "msgpack"] = "json") -> SearchBody:
    """Read a body that is JSON, or MessagePack of the same form."""
    name = "JSON" if kind == "json" else "MessagePack"
    try:
        # An extension type or a key that is no text makes it no body of ours.
        value = orjson.loads(body) if kind == "json" else ormsgpack.unpackb(body)
    except ValueError as error:
        raise ProblemError(
            INVALID_JSON,
            f"the body is not {name}: {error}" if body else f"the body is empty, expected {name}",
        ) from None
    if type(value) is not dict:
        raise ProblemError(
            INVALID_REQUEST, f"expected a {name} object", expected="an object", found=value
        )
    return _checked(SearchBody, value)


def parse_picture_options(text: bytes) -> PictureOptions:
    """Read the options that go with a picture."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ProblemError(INVALID_JSON, f"options: expected JSON: {error}") from None
    if type(value) is not dict:
        raise ProblemError(
            INVALID_REQUEST, "options: expected a JSON object", expected="an object", found=value
        )
    return _checked(PictureOptions, value)


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
    if name in {"k", "k_q", "offset", "group_size"} and _WHOLE.fullmatch(text):
        return int(text)
    if name == "min_similarity" and _DECIMAL.fullmatch(text):
        return float(text)
    if name == "filter":
        return _json(text)
    if name in {"explain", "with_payload"} and text in {"true", "false"}:
        return text == "true"
    if name == "model":
        return text.split(",")
    return text


def _json(text: str) -> object:
    """A filter in a query string."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ProblemError(
            INVALID_REQUEST, f"filter: expected JSON: {error}", expected="JSON", found=text
        ) from None


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
        case "float_type" | "finite_number":
            return "a finite number"
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
