"""One model of a version: similarities, graph, diffusion, and C written as it comes."""

from __future__ import annotations

from kinfold.affinity import build_graph
from kinfold.arrays import Float32s
from kinfold.diffusion import DiffusionReport, diffuse
from kinfold.index import ModelInfo, VersionWriter, layout
from kinfold.index.matrix import write_graph, write_matrix
from kinfold.metric import Measure
from kinfold.neighbors import NeighborLists
from kinfold.pipeline.inputs import ModelPlan
from kinfold.pipeline.stopwatch import Stopwatch
from kinfold.progress import ProgressCallback
from kinfold.similarity import apply_models


def write_model(
    writer: VersionWriter,
    plan: ModelPlan,
    lists: NeighborLists,
    vectors: Float32s,
    measure: Measure,
    progress: ProgressCallback,
    threads: int,
) -> ModelInfo:
    """Make a model from the lists of the self-join, at least `plan.width(n)` wide."""
    config, name, watch = plan.config, plan.name, Stopwatch()
    lists = lists.first(plan.width(lists.ids.shape[0]))
    with watch.stage("similarity"):
        relative = NeighborLists(lists.ids, measure.relative(lists.similarities))
        recalculated = apply_models(plan.chain, relative.first(plan.k_m), vectors, progress)
    with watch.stage("affinity"):
        graph = build_graph(
            recalculated,
            config.k_d,
            config.graph,
            config.min_degree,
            config.exponent,
            config.rank_scale,
        )
    report = DiffusionReport()
    with watch.stage("diffusion"):
        blocks = diffuse(
            graph.matrix,
            alpha=config.alpha,
            max_row=config.max_row,
            mass=config.mass,
            tolerance=config.tolerance,
            max_iterations=config.max_iterations,
            threads=threads,
            nearest=lists.ids if config.truncation == "nearest" else None,
            report=report,
            progress=progress,
        )
        rows = lists.ids.shape[0]
        first_rows, stored = write_matrix(
            writer, name, rows, blocks, config.dtype, config.unit_diagonal
        )
    write_graph(writer, name, recalculated.first(config.k_d))
    return ModelInfo(
        config=config,
        blocks=first_rows,
        stored=stored,
        dtype=config.dtype,
        value_scale=layout.VALUE_SCALE if config.dtype == "float16" else 1.0,
        longest_row=report.longest_row,
        edges=graph.edges,
        isolated=graph.isolated,
        not_converged=report.not_converged,
        mean_iterations=round(report.iterations / rows, 2),
        measured=watch.seconds,
        tuning=plan.tuning,
    )
