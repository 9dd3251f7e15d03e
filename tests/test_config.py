from __future__ import annotations

import tomllib

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfold import BuildConfig, InputError
from kinfold.config import SimilaritySpec

unit = st.floats(0, 1, exclude_min=True, exclude_max=True)
plain_text = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), max_size=12)
words = st.from_regex(r"[A-Za-z0-9_-]{1,10}", fullmatch=True)


def parameters():
    scalars = st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        plain_text,
    )
    values = st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)
        ),
        max_leaves=4,
    )
    return st.dictionaries(words, values, max_size=3)


@st.composite
def configs(draw):
    k_d = draw(st.integers(1, 10**6))
    spec = st.builds(SimilaritySpec, name=plain_text, parameters=parameters())
    optional = {
        "metric": st.sampled_from(["cosine", "l2", "inner_product"]),
        "neighbors": st.sampled_from(["auto", "exact", "hnsw", "ivf"]),
        "k_m": st.one_of(st.none(), st.integers(k_d, 10**7)),
        "similarity": st.lists(spec, min_size=1, max_size=3),
        "graph": st.sampled_from(["mutual", "union", "completed"]),
        "gamma": st.one_of(st.none(), st.floats(0, 100, exclude_min=True)),
        "alpha": st.floats(0, 0.999),
        "truncation": st.sampled_from(["graph", "nearest"]),
        "max_row": st.integers(1, 100_000),
        "mass": st.one_of(st.just(1.0), unit),
        "max_iterations": st.integers(1, 10**9),
        "dtype": st.sampled_from(["float8", "float16", "float32"]),
        "k_q": st.integers(1, 10**6),
        "seeds": st.sampled_from(["plain", "reciprocal"]),
    }
    values = draw(st.fixed_dictionaries({}, optional=optional))
    return BuildConfig(k_d=k_d, min_degree=draw(st.integers(0, min(k_d, 50))), **values)


@given(configs())
def test_round_trip_through_toml(config):
    assert BuildConfig.from_toml(config.to_toml()) == config


AWKWARD = [
    "",
    "a b",
    "a.b",
    'say "a"',
    "back\\slash",
    "two\nlines",
    "tab\t",
    "\x00\x1f\x7f",
    "größe",
    "a=1#",
]


@pytest.mark.parametrize("text", AWKWARD, ids=repr)
def test_round_trip_with_whatever_a_name_may_hold(text):
    """A user's own model is called as the user likes, and so are its parameters."""
    for spec in (
        {"name": text},
        {"name": "own", "parameters": {"value": text}},
        {"name": "own", "parameters": {text: 1}},
        {"name": "own", "parameters": {"nested": [{text: [text]}]}},
    ):
        config = BuildConfig(similarity=[spec])
        assert BuildConfig.from_toml(config.to_toml()) == config


@given(configs())
def test_round_trip_through_json_as_in_the_manifest(config):
    assert BuildConfig.model_validate_json(config.model_dump_json()) == config


def test_the_defaults_round_trip_and_are_all_written_out(tmp_path):
    config = BuildConfig()
    values = tomllib.loads(config.to_toml())
    assert set(values) == set(BuildConfig.model_fields) - {"k_m", "gamma"}
    (tmp_path / "config.toml").write_text(config.to_toml())
    assert BuildConfig.from_file(tmp_path / "config.toml") == config
    assert BuildConfig.from_toml("") == config


BAD = [
    ({"alpha": 1}, "alpha: .*less than .*found 1"),
    ({"alpha": 1.5}, "alpha: .*found 1.5"),
    ({"alpha": -0.1}, "alpha: .*found -0.1"),
    ({"alpha": float("nan")}, "alpha: .*found nan"),
    ({"alpha": "much"}, "alpha: .*found 'much'"),
    ({"k_m": 5, "k_d": 9}, "k_m = 5 is smaller than k_d = 9"),
    ({"k_m": 9}, "k_m = 9 is smaller than k_d = 15"),
    ({"k_m": 0}, "k_m: .*found 0"),
    ({"min_degree": 16}, "min_degree = 16 is larger than k_d = 15"),
    ({"min_degree": 3, "k_d": 2}, "min_degree = 3 is larger than k_d = 2"),
    ({"min_degree": -1}, "min_degree: .*found -1"),
    ({"k_d": 0}, "k_d: .*found 0"),
    ({"k_d": 2.5}, "k_d: .*found 2.5"),
    ({"k_d": None}, "k_d: .*found None"),
    ({"gamma": 0}, "gamma: .*found 0"),
    ({"gamma": 101}, "gamma: .*found 101"),
    ({"gamma": float("inf")}, "gamma: .*found inf"),
    ({"mass": 0}, "mass: .*found 0"),
    ({"mass": 1.0001}, "mass: .*found 1.0001"),
    ({"mass": float("nan")}, "mass: .*found nan"),
    ({"tolerance": 0}, "tolerance: .*found 0"),
    ({"tolerance": 1}, "tolerance: .*found 1"),
    ({"max_iterations": 0}, "max_iterations: .*found 0"),
    ({"max_row": 0}, "max_row: .*found 0"),
    ({"max_row": 100_001}, "max_row: .*found 100001"),
    ({"k_q": 0}, "k_q: .*found 0"),
    ({"metric": "euclid"}, "metric: .*'cosine'.*found 'euclid'"),
    ({"graph": "full"}, "graph: .*'mutual'.*found 'full'"),
    ({"truncation": "far"}, "truncation: .*'nearest'.*found 'far'"),
    ({"neighbors": "tree"}, "neighbors: .*'hnsw'.*found 'tree'"),
    ({"seeds": "all"}, "seeds: .*'reciprocal'.*found 'all'"),
    ({"dtype": "float64"}, "dtype: .*'float16'.*found 'float64'"),
    ({"similarity": []}, r"similarity: .*found \[\]"),
    ({"similarity": [3]}, "similarity.*found 3"),
    ({"similarity": [{"nom": "cosine"}]}, "similarity.0.nom: .*found 'cosine'"),
    ({"aplha": 0.9}, "aplha: .*found 0.9"),
]


@pytest.mark.parametrize(("values", "message"), BAD, ids=lambda part: str(part)[:40])
def test_impossible_values_are_refused(values, message):
    with pytest.raises(InputError, match=f"configuration: .*{message}"):
        BuildConfig.checked(values)
    with pytest.raises(pydantic.ValidationError):
        BuildConfig(**values)


def test_every_bad_parameter_is_named():
    with pytest.raises(InputError) as caught:
        BuildConfig.checked({"alpha": 2, "k_d": 0, "wibble": 7})
    for part in ("alpha: ", "found 2", "k_d: ", "found 0", "wibble: ", "found 7"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alpha = ", "not valid TOML"),
        ("alpha = 0.9\nalpha = 0.8", "not valid TOML"),
        ("alpha = nan", "alpha: .*found nan"),
        ("alpha = 1", "alpha: .*found 1"),
        ("[build]\nalpha = 0.9", "build: .*found {'alpha': 0.9}"),
        ('similarity = ["a", 3]', "similarity.1.*found 3"),
    ],
)
def test_bad_toml(text, message):
    with pytest.raises(InputError, match=message):
        BuildConfig.from_toml(text)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.toml: cannot be read"):
        BuildConfig.from_file(tmp_path / "nowhere.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"binary\.toml: cannot be read"):
        BuildConfig.from_file(tmp_path / "binary.toml")


def test_a_configuration_does_not_change():
    config = BuildConfig()
    with pytest.raises(pydantic.ValidationError):
        config.alpha = 0.5
    with pytest.raises(pydantic.ValidationError):
        config.similarity[0].name = "other"


def test_similarity_may_be_given_by_name():
    config = BuildConfig(similarity=["one", {"name": "two", "parameters": {"k": 3}}])
    assert [spec.name for spec in config.similarity] == ["one", "two"]
    assert config.similarity[1].parameters == {"k": 3}


def test_gamma_follows_the_similarity():
    assert BuildConfig(similarity=["cosine"]).exponent == 3
    assert BuildConfig().exponent == 1
    assert BuildConfig(similarity=["cosine", "cosine"]).exponent == 3
    assert BuildConfig(similarity=["cosine", "other"]).exponent == 1
    assert BuildConfig(similarity=["other"], gamma=2).exponent == 2
    assert BuildConfig(gamma=0.5).exponent == 0.5
    # Seeds are plain similarities whatever the models.
    assert BuildConfig().seed_exponent == BuildConfig(similarity=["cosine"]).seed_exponent == 3
    assert BuildConfig(gamma=2).seed_exponent == 2


def test_min_degree_only_matters_where_it_is_used():
    assert BuildConfig(graph="mutual", k_d=1).min_degree == 3
    assert BuildConfig(k_d=3).min_degree == 3


def test_every_parameter_is_described():
    for name, field in BuildConfig.model_fields.items():
        assert field.description, name
