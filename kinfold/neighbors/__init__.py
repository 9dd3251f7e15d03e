"""Nearest neighbours: of every gallery item (the self-join) and of a query."""

from kinfold.neighbors.engine import ExactEngine, FaissEngine, KnnEngine, choose_engine
from kinfold.neighbors.lists import NeighborLists
from kinfold.neighbors.recall import estimate_recall
from kinfold.neighbors.scale import scaled_measure
from kinfold.neighbors.self_join import self_join

__all__ = [
    "ExactEngine",
    "FaissEngine",
    "KnnEngine",
    "NeighborLists",
    "choose_engine",
    "estimate_recall",
    "scaled_measure",
    "self_join",
]
