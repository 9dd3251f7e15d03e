"""One model of a version: similarities, graph, diffusion, and C written as it comes."""

from __future__ import annotations

from kinfold.affinity import build_graph
from kinfold.arrays import Float32s, UInt32s
from kinfold.blocks import Passes
from kinfold.diffusion import DiffusionReport, diffuse
from kinfold.index import ModelInfo, layout
from kinfold.index.matrix import write_graph, write_matrix
from kinfold.index.writing import FileWriter
from kinfold.metric import Measure
from kinfold.neighbors import NeighborLists
from kinfold.pipeline.inputs import ModelPlan
from kinfold.pipeline.stages import DiffusionResult, Nothing, Outcome
from kinfold.pipeline.stopwatch import Stopwatch
from kinfold.progress import ProgressCallback
from kinfold.similarity import apply_models


def recalculated(
    plan: ModelPlan,
    lists: NeighborLists,
    vectors: Float32s,
    measure: Measure,
    progress: ProgressCallback,
    passes: Passes | None = None,
) -> NeighborLists:
    """The k_d best of k_m neighbours by the similarities that the models re-calculate."""
    first = lists.first(plan.k_m)
    relative = NeighborLists(first.ids, measure.relative(first.similarities))
    chosen = apply_models(plan.chain, relative, vectors, progress, passes)
    return chosen.first(plan.config.k_d)


def make_similarity(
    writer: FileWriter,
    plan: ModelPlan,
    lists: NeighborLists,
    vectors: Float32s,
    measure: Measure,
    progress: ProgressCallback,
) -> Outcome:
    """Re-calculate the similarities of the neighbours, and write the best of them."""
    watch = Stopwatch()
    with watch.stage("similarity"):
        write_graph(writer, plan.name, recalculated(plan, lists, vectors, measure, progress))
    return Outcome(Nothing(), watch.seconds)


def make_diffusion(
    writer: FileWriter,
    plan: ModelPlan,
    lists: NeighborLists,
    nearest: UInt32s | None,
    progress: ProgressCallback,
    threads: int,
) -> Outcome:
    """Make the graph of k_d neighbours, and the matrix C of it.

    Parameters
    ----------
    lists:
        (n, k_d), as `make_similarity` writes them.
    nearest:
        (n, w) for truncation = nearest: each item's nearest by the metric.
    """
    config, watch = plan.config, Stopwatch()
    rows = lists.ids.shape[0]
    with watch.stage("affinity"):
        graph = build_graph(
            lists,
            config.k_d,
            config.graph,
            config.min_degree,
            config.exponent,
            config.rank_scale,
            threads,
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
            nearest=nearest,
            report=report,
            progress=progress,
        )
        first_rows, stored = write_matrix(
            writer, plan.name, rows, blocks, config.dtype, config.unit_diagonal
        )
    result = DiffusionResult(
        blocks=first_rows,
        stored=stored,
        longest_row=report.longest_row,
        edges=graph.edges,
        isolated=graph.isolated,
        not_converged=report.not_converged,
        mean_iterations=round(report.iterations / rows, 2),
    )
    return Outcome(result, watch.seconds)


def model_info(
    plan: ModelPlan, diffusion: DiffusionResult, measured: dict[str, float]
) -> ModelInfo:
    """What the manifest says of a model."""
    config = plan.config
    return ModelInfo(
        config=config,
        dtype=config.dtype,
        value_scale=layout.VALUE_SCALE if config.dtype == "float16" else 1.0,
        measured=measured,
        tuning=plan.tuning,
        **diffusion.model_dump(),
    )


def write_model(
    writer: FileWriter,
    plan: ModelPlan,
    lists: NeighborLists,
    vectors: Float32s,
    measure: Measure,
    progress: ProgressCallback,
    threads: int,
) -> ModelInfo:
    """Make a model in one go, from lists at least `plan.width(n)` wide."""
    watch = Stopwatch()
    with watch.stage("similarity"):
        chosen = recalculated(plan, lists, vectors, measure, progress)
        write_graph(writer, plan.name, chosen)
    nearest = lists.ids if plan.config.truncation == "nearest" else None
    outcome = make_diffusion(writer, plan, chosen, nearest, progress, threads)
    result = DiffusionResult.model_validate(outcome.result.model_dump())
    return model_info(plan, result, watch.seconds | outcome.measured)
