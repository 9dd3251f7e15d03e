"""What a build with `auto` is expected to take: the most that it may choose, and choosing."""

from __future__ import annotations

from indexer.job import estimate_models
from kinfold import BuildConfig


def test_the_estimate_holds_whatever_is_chosen(tmp_path):
    chosen = estimate_models(5000, 32, [BuildConfig(auto=True)], tmp_path)
    for values in ({}, {"similarity": ["lhrr"], "k_d": 20}, {"similarity": ["cosine"]}):
        alone = estimate_models(5000, 32, [BuildConfig.checked(values)], tmp_path)
        assert chosen.memory >= alone.memory
        assert chosen.disk >= alone.disk
        assert chosen.seconds > alone.seconds
    tiny = estimate_models(50, 32, [BuildConfig(auto=True, similarity=["cosine"])], tmp_path)
    assert tiny.seconds < 30
