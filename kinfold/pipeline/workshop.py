"""Where stages are run, or found done: by an interrupted build, or by the live version.

<path>/.work/
marks/<stage>.json     written last, when all files of the stage are on the disk
files/…                as in a version
passes/<stage>-<key>/  what is done of a stage that is not
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ValidationError

from kinfold.blocks import BlockRunner
from kinfold.errors import FormatError
from kinfold.index.files import disk_errors, sync_folder
from kinfold.index.manifest import FileInfo, Manifest, read_manifest
from kinfold.index.publish import WORK, VersionWriter, live_version
from kinfold.index.writing import FileWriter
from kinfold.pipeline.events import BuildCallback, PlannedStage, StageEvent, State
from kinfold.pipeline.marks import Mark, is_whole, mark_name, read_mark, write_mark
from kinfold.pipeline.passes import FilePasses
from kinfold.pipeline.stages import (
    DIFFUSION,
    KNN,
    NEIGHBORS,
    SCRATCH,
    Outcome,
    Stage,
    Stages,
)
from kinfold.pipeline.taken import taken_result
from kinfold.progress import ProgressCallback


@dataclass(frozen=True, slots=True)
class Done:
    """A stage's result, and where its files lie."""

    folder: Path
    files: dict[str, FileInfo]
    result: BaseModel
    measured: dict[str, float] = field(default_factory=dict)
    source: State = "to do"


class Shelf:
    """What is there already; only looks.

    Parameters
    ----------
    empty:
        Find nothing: for a build that begins from nothing.
    """

    def __init__(self, path: Path, *, empty: bool = False) -> None:
        self.empty = empty
        self.marks = path / WORK / "marks"
        self.files = path / WORK / "files"
        self.passes = path / WORK / "passes"
        self.live: Path | None = None
        self.manifest: Manifest | None = None
        with suppress(FormatError):
            if not empty:
                live = live_version(path)
                self.manifest, self.live = read_manifest(live), live

    def find(self, stage: Stage, *, scratch: bool = True) -> Done | None:
        """A stage that is done.

        Parameters
        ----------
        scratch:
            Whether files that only the way needs have to be there, if the stage has any.
        """
        if self.empty:
            return None
        return self._of_work(stage) or self._of_live(stage, scratch)

    def _of_work(self, stage: Stage) -> Done | None:
        mark = read_mark(self.marks, stage.name, stage.key)
        if mark is None:
            return None
        try:
            result = stage.result(mark.result)
        except ValidationError:
            return None
        # No file but those that the stage writes, whatever the mark says.
        if set(mark.files) != stage.expected(result) or not is_whole(self.files, mark.files):
            return None
        return Done(self.files, mark.files, result, mark.measured, "interrupted build")

    def _of_live(self, stage: Stage, scratch: bool) -> Done | None:
        manifest, live = self.manifest, self.live
        if manifest is None or live is None or manifest.stages.get(stage.name) != stage.key:
            return None
        if stage.scratch and scratch:
            return None
        files = {name: info for name, info in manifest.files.items() if stage.owns(name)}
        taken = taken_result(manifest, stage)
        if taken is None or set(files) != stage.expected(taken[0]) - stage.scratch:
            return None
        if not is_whole(live, files):
            return None
        return Done(live, files, *taken, "live version")

    def plan(self, stages: Stages) -> dict[str, Done | None]:
        """What is done of a build, stage by stage."""
        found = {stage.name: self.find(stage) for stage in stages}
        cells = stages.cells
        if cells is not None and found[cells.name] is None and found[KNN] and found[NEIGHBORS]:
            found[cells.name] = self.find(cells, scratch=False)
        # Neighbours beyond those that a version keeps are made again only for who needs them.
        if found[NEIGHBORS] is None and all(
            found[stage.name] for stage in stages if stage.kind == DIFFUSION
        ):
            found[NEIGHBORS] = self.find(stages.neighbors, scratch=False)
        return found


class Workshop:
    """Runs stages one after the other; a context manager.

    Parameters
    ----------
    writer:
        Of the version that is being made; holds the lock.
    resume:
        Whether what is done is kept when the build ends early, and looked for there and in the
        live version.
    fresh:
        With `resume`: do not look for anything that is there.
    """

    def __init__(
        self, writer: VersionWriter, told: BuildCallback, *, resume: bool, fresh: bool
    ) -> None:
        self.told = told
        self.done: dict[str, Done] = {}
        self._writer = writer
        self._resume = resume
        self._root = writer.path / WORK
        if fresh or not resume:
            self._remove()
        self.shelf = Shelf(writer.path, empty=fresh or not resume)
        self._found: dict[str, Done | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the work folder, unless another build is to go on from there."""
        if error is None or not self._resume:
            self._remove()

    def expect(self, stages: Stages) -> list[PlannedStage]:
        """Look for all stages, and sweep away what belongs to none of them."""
        self._found = self.shelf.plan(stages)
        if self._resume:
            kept = {
                name: found
                for name, found in (self._found | self.done).items()
                if found is not None and found.folder == self.shelf.files
            }
            self._sweep(kept, [stage for stage in stages if self._found[stage.name] is None])
        return planned(stages, self._found | self.done)

    def run(self, stage: Stage, work: Callable[[FileWriter], Outcome]) -> Done:
        """The stage's result: found, or made by `work` and marked."""
        known = stage.name in self._found
        found = self._found[stage.name] if known else self.shelf.find(stage)
        if found is not None:
            found = self._taken(found)
            self.done[stage.name] = found
            self.told(StageEvent(stage.kind, stage.model, "reused", found.source))
            return found
        self.told(StageEvent(stage.kind, stage.model, "started"))
        start = time.perf_counter()
        writer = FileWriter(self._writer.path, self.shelf.files)
        try:
            self._remove_files_of(stage)
            outcome = work(writer)
            self._mark(stage, writer.files, outcome)
        except BaseException:
            self._remove_files_of(stage)
            self._remove_if_empty()
            raise
        shutil.rmtree(self._place(stage), ignore_errors=True)
        done = Done(writer.folder, writer.files, outcome.result, outcome.measured)
        self.done[stage.name] = done
        seconds = time.perf_counter() - start
        self.told(StageEvent(stage.kind, stage.model, "done", seconds=round(seconds, 3)))
        return done

    def passes(
        self, stage: Stage, runner: BlockRunner, progress: ProgressCallback, share: float
    ) -> FilePasses:
        """Where a stage keeps the blocks that are done; they go when the stage is."""
        return FilePasses(
            self._place(stage), self._writer.path, runner, progress, stage.kind, share
        )

    def _place(self, stage: Stage) -> Path:
        return self.shelf.passes / f"{mark_name(stage.name).removesuffix('.json')}-{stage.key[:16]}"

    def redo(self, stage: Stage, work: Callable[[FileWriter], Outcome]) -> Done:
        """Run a stage whose result was found but cannot be read."""
        for name in self.done.pop(stage.name).files:
            with suppress(OSError):
                (self._writer.folder / name).unlink()
        self._found[stage.name] = None
        return self.run(stage, work)

    def _taken(self, found: Done) -> Done:
        """Take files of the live version over at once: somebody may remove it meanwhile."""
        if found.source != "live version":
            return found
        for name, info in found.files.items():
            self._writer.link(name, found.folder / name, info)
        return replace(found, folder=self._writer.folder)

    def gather(self) -> None:
        """Let the version have all files that belong into it."""
        for done in self.done.values():
            if done.folder != self._writer.folder:
                for name, info in done.files.items():
                    if name not in SCRATCH:
                        self._writer.link(name, done.folder / name, info)

    def _mark(self, stage: Stage, files: dict[str, FileInfo], outcome: Outcome) -> None:
        with disk_errors(self._writer.path, f"marking {stage.name}"):
            for folder in sorted({(self.shelf.files / name).parent for name in files}):
                sync_folder(folder)
            write_mark(
                self.shelf.marks,
                Mark(
                    stage=stage.name,
                    key=stage.key,
                    files=files,
                    result=outcome.result.model_dump(mode="json"),
                    measured=outcome.measured,
                ),
            )

    def _remove_files_of(self, stage: Stage) -> None:
        for path in _files_in(self.shelf.files):
            if stage.owns(str(path.relative_to(self.shelf.files))):
                with suppress(OSError):
                    path.unlink()

    def _sweep(self, kept: dict[str, Done], left: Sequence[Stage]) -> None:
        """Remove marks, files and blocks of other builds, and what a killed one left behind."""
        wanted_passes = {self._place(stage).name for stage in left}
        for path in _entries(self.shelf.passes):
            if path.name not in wanted_passes:
                shutil.rmtree(path, ignore_errors=True)
        names = {name for done in kept.values() for name in done.files}
        marks = {mark_name(name) for name in kept}
        for folder, wanted in ((self.shelf.files, names), (self.shelf.marks, marks)):
            for path in _files_in(folder):
                if str(path.relative_to(folder)) not in wanted:
                    with suppress(OSError):
                        path.unlink()
            _remove_empty_folders(folder)
        self._remove_if_empty()

    def _remove_if_empty(self) -> None:
        if not _files_in(self.shelf.marks) and not _files_in(self.shelf.passes):
            self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)


def planned(stages: Iterable[Stage], found: Mapping[str, Done | None]) -> list[PlannedStage]:
    """The stages with where each result comes from."""
    plan = []
    for stage in stages:
        done = found.get(stage.name)
        plan.append(PlannedStage(stage.kind, stage.model, done.source if done else "to do"))
    return plan


def _remove_empty_folders(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            with suppress(OSError):
                path.rmdir()


def _entries(folder: Path) -> list[Path]:
    return [] if folder.is_symlink() or not folder.is_dir() else list(folder.iterdir())


def _files_in(folder: Path) -> list[Path]:
    if folder.is_symlink() or not folder.is_dir():
        return []
    return [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
