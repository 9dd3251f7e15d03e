"""One model of a version: similarities, graph, diffusion, and C written as it comes."""

from __future__ import annotations

from kinfold.affinity import build_graph
from kinfold.arrays import Float32s, UInt32s
from kinfold.blocks import BlockTask, LocalRunner, MemoryPasses, Passes
from kinfold.diffusion import DiffuseGroups, DiffuseNearest, LocalOrder, Solving
from kinfold.index import ModelInfo, layout
from kinfold.index.matrix import EncodedRows, write_graph, write_matrix
from kinfold.index.writing import FileWriter
from kinfold.metric import Measure
from kinfold.neighbors import NeighborLists
from kinfold.pipeline.inputs import ModelPlan
from kinfold.pipeline.stages import DiffusionResult, Nothing, Outcome
from kinfold.pipeline.stopwatch import Stopwatch
from kinfold.progress import ProgressCallback, silent
from kinfold.similarity import apply_models


def recalculated(
    plan: ModelPlan,
    lists: NeighborLists,
    vectors: Float32s,
    measure: Measure,
    passes: Passes | None = None,
    progress: ProgressCallback = silent,
) -> NeighborLists:
    """The k_d best of k_m neighbours by the similarities that the models re-calculate."""
    first = lists.first(plan.k_m)
    relative = NeighborLists(first.ids, measure.relative(first.similarities))
    return apply_models(plan.chain, relative, vectors, progress, passes).first(plan.config.k_d)


def make_similarity(
    writer: FileWriter,
    plan: ModelPlan,
    lists: NeighborLists,
    vectors: Float32s,
    measure: Measure,
    passes: Passes,
    progress: ProgressCallback,
) -> Outcome:
    """Re-calculate the similarities of the neighbours, and write the best of them."""
    watch = Stopwatch()
    with watch.stage("similarity"):
        found = recalculated(plan, lists, vectors, measure, passes, progress)
        write_graph(writer, plan.name, found)
    return Outcome(Nothing(), watch.seconds)


def make_diffusion(
    writer: FileWriter,
    plan: ModelPlan,
    lists: NeighborLists,
    nearest: UInt32s | None,
    passes: Passes,
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
        )
        edges, isolated = graph.edges, graph.isolated
        order = LocalOrder.of(graph.matrix)
        arrays = order.relabelled(graph.matrix)
        del graph
    with watch.stage("diffusion"):
        task: BlockTask = DiffuseGroups(Solving.of(config))
        if nearest is not None:
            task = DiffuseNearest(Solving.of(config))
            arrays |= {"nearest": nearest, "order": order.order, "places": order.places}
        encoded = EncodedRows(task, config.dtype)
        written = write_matrix(
            writer, plan.name, passes, encoded, arrays, order,
            config.max_row, config.unit_diagonal,
        )  # fmt: skip
    report = written.diffusion
    result = DiffusionResult(
        blocks=written.blocks,
        stored=report.stored,
        longest_row=report.longest_row,
        edges=edges,
        isolated=isolated,
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
        chosen = recalculated(plan, lists, vectors, measure, progress=progress)
        write_graph(writer, plan.name, chosen)
    nearest = lists.ids if plan.config.truncation == "nearest" else None
    passes = MemoryPasses(LocalRunner(threads), progress, "diffusion")
    outcome = make_diffusion(writer, plan, chosen, nearest, passes)
    result = DiffusionResult.model_validate(outcome.result.model_dump())
    return model_info(plan, result, watch.seconds | outcome.measured)
