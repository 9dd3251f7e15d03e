"""One search, from its body to the bytes of its answer."""

from service.search.check import MOST_EXPLAINED
from service.search.steps import prepare, prepare_picture

__all__ = ["MOST_EXPLAINED", "prepare", "prepare_picture"]
