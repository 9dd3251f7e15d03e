from __future__ import annotations

import pytest
from oracles.galleries import BY_NAME, GALLERIES

import kinfold


def built(gallery, path, **settings):
    config = {"metric": gallery.metric, "k_d": gallery.k_d, "min_degree": min(2, gallery.k_d)}
    return kinfold.build(gallery.vectors, path, config=kinfold.BuildConfig(**(config | settings)))


@pytest.fixture(scope="session", params=GALLERIES, ids=str)
def gallery(request):
    return request.param


@pytest.fixture(scope="session")
def index(gallery, tmp_path_factory):
    """An index of every named gallery, all parameters but its k_d and metric as they come."""
    return built(gallery, tmp_path_factory.mktemp("index"))


@pytest.fixture(scope="session")
def clusters(tmp_path_factory):
    return built(BY_NAME["clusters"], tmp_path_factory.mktemp("clusters"))


@pytest.fixture(scope="session")
def duplicates(tmp_path_factory):
    return built(BY_NAME["duplicates"], tmp_path_factory.mktemp("duplicates"))
