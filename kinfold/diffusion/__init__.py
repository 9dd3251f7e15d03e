"""From the affinity matrix S to the rows of the diffusion matrix C."""

from kinfold.diffusion.rows import DiffusionReport, RowBlock, diffuse

__all__ = ["DiffusionReport", "RowBlock", "diffuse"]
