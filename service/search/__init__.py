"""One search, from its body to the bytes of its answer; runs in the pool, on one thread."""

from service.search.check import MOST_EXPLAINED
from service.search.steps import run

__all__ = ["MOST_EXPLAINED", "run"]
