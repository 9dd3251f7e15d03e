"""From neighbour lists to the normalised affinity matrix S of the diffusion."""

from kinfold.affinity.graph import AffinityGraph, build_graph

__all__ = ["AffinityGraph", "build_graph"]
