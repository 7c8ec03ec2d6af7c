"""Duplicate search: exact ones by content, near and mirrored ones by an index of perceptual hashes.

Neighbours come from a k-d tree (SciPy) over the hash's principal components, in which copies lie far closer than other
pictures do, so that a search is near-linear. Every pair it finds is then compared by its thumbnails
(``alignment.differences``): the index may be generous, and aligned faces that only look alike are not lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from kaogan.core.progress import Progress
from kaogan.data.cache import in_order
from kaogan.prepare.alignment import differences, rough_difference
from kaogan.prepare.fingerprints import FINGERPRINT, HASH_SIZE, fingerprints_of, mirrored

KEPT, EXACT, NEAR, MIRRORED = 0, 1, 2, 3
DIMENSIONS = 16  # more would tell strangers apart no better, but slow the tree
RADIUS = 150.0  # hash distance, grey levels; 95 % of copies cut by up to 8 % a side are nearer
NEIGHBOURS = 12
MEAN = 0.4  # of the limit on a patch: the limit on the mean over all
_COMPARED, _ASKED, _BLOCK = 256, 8192, 8192  # at a time: pairs, pictures, hashes
# Looser than for a copy: another expression of the same drawing, which should not be on both sides of a split.
ALIKE_WORST, ALIKE_MEAN = 45.0, 9.0

Take = Callable[[np.ndarray], np.ndarray]  # positions (M,) -> thumbnails uint8 (M, 32, 32, 3)


@dataclass(frozen=True)
class Found:
    """Of N pictures: if and how each is a copy (KEPT, EXACT, NEAR, MIRRORED), of which one, its look-alikes."""

    kind: np.ndarray  # uint8 (N,)
    copy_of: np.ndarray  # int64 (N,), -1 where kept
    group: np.ndarray  # int64 (N,)


def find_copies(
    take: Take,
    contents: np.ndarray,
    rank: np.ndarray,
    *,
    fingerprints: np.ndarray | None = None,
    limit: float = 16.0,
    mirror: bool = True,
    progress: Progress | None = None,
) -> Found:
    """Keep the best of each set of copies; the lower ``rank`` (N,), all different, the better.

    ``contents`` (N,): equal numbers are equal files. ``take`` gives thumbnails. ``fingerprints`` (N,): of all of them,
    by ``fingerprints_of``, if they are there already. ``limit``: the most that a patch of two copies may differ, grey
    levels. A copy of a copy stays if it is no copy of what is kept: chains do not grow.
    """
    count = len(contents)
    if fingerprints is None:
        fingerprints = np.concatenate(
            [np.empty(0, FINGERPRINT), *(fingerprints_of(take(at)) for at in _batches(count, 1024))]
        )
    search = _Search(fingerprints["coarse"], take, rank, limit, mirror, progress)
    search.collapse(contents, EXACT)
    search.collapse(fingerprints["print"], NEAR)
    components = _components(fingerprints["hash"])
    points = _project(fingerprints["hash"], *components)
    flipped = _project(mirrored(fingerprints["hash"]), *components) if mirror else points
    queries = np.flatnonzero(search.kind == KEPT)
    while len(queries):
        full = search.round(points, flipped, queries)
        before = search.kept
        search.settle()
        # A list of neighbours that was full may have hidden others behind those that are gone now.
        queries = full[search.kind[full] == KEPT] if search.kept < before else full[:0]
    return search.found()


class _Search:
    def __init__(
        self, coarse: np.ndarray, take: Take, rank: np.ndarray, limit: float, mirror: bool, progress: Progress | None
    ) -> None:
        self.kind = np.zeros(len(coarse), np.uint8)
        self._coarse = coarse
        self._copy_of = np.full(len(coarse), -1, np.int64)
        self._take, self._rank, self._limit, self._mirror, self._progress = take, rank, limit, mirror, progress
        self._seen = np.empty(0, np.int64)  # codes of pairs that were compared
        self._copies: list[np.ndarray] = []  # (M, 3): better, worse, kind
        self._alike: list[np.ndarray] = [np.empty((0, 2), np.int64)]

    @property
    def kept(self) -> int:
        return int((self.kind == KEPT).sum())

    def collapse(self, labels: np.ndarray, kind: int) -> None:
        """Of those that are left, keep the best of each label."""
        left = np.flatnonzero(self.kind == KEPT)
        order = left[np.lexsort((self._rank[left], labels[left]))]
        same = np.concatenate(([False], labels[order][1:] == labels[order][:-1])) if len(order) else np.empty(0, bool)
        first = np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))
        self.kind[order[same]] = kind
        self._copy_of[order[same]] = order[first[same]]

    def round(self, points: np.ndarray, flipped: np.ndarray, queries: np.ndarray) -> np.ndarray:
        """Compare ``queries`` with their neighbours among those that are left; returns the ones with full lists."""
        left = np.flatnonzero(self.kind == KEPT)
        tree = cKDTree(points[left])
        pairs, full = [], np.zeros(len(self.kind), bool)
        columns = [*range(1, min(NEIGHBOURS + 1, len(left)) + 1)]
        done = 0
        for part in _parts(queries, _ASKED):
            for turned, query in ((0, points), (1, flipped)) if self._mirror else ((0, points),):
                _, found = tree.query(query[part], k=columns, distance_upper_bound=RADIUS, workers=-1)
                at, column = np.nonzero(found < len(left))
                a, b = part[at], left[found[at, column]]
                full[part[found[:, -1] < len(left)]] = True
                a, b = np.minimum(a, b), np.maximum(a, b)
                pairs.append(np.unique(((a * len(self.kind) + b) * 2 + turned)[a != b]))
            done += len(part)
            self._tell(done, len(queries), "looking for copies")
        codes = np.setdiff1d(np.concatenate(pairs), self._seen)
        self._seen = np.union1d(self._seen, codes)
        self._compare(codes)
        return np.flatnonzero(full)

    def _compare(self, codes: np.ndarray) -> None:
        """First all of them roughly, from memory; then, from the disk, the few that are near."""
        near: list[np.ndarray] = []
        done = 0
        for part, alike in in_order(_parts(codes, _COMPARED), self._roughly_alike):
            near.append(part[alike])
            done += len(part)
            self._tell(done, len(codes), "comparing look-alikes")
        for part in _parts(np.concatenate([codes[:0], *near]), _COMPARED):
            a, b, turned = self._pairs(part)
            first, second = self._take(a), self._take(b)
            second[turned] = second[turned][:, :, ::-1]
            worst, mean = differences(first, second)
            same = (worst <= self._limit) & (mean <= MEAN * self._limit)
            alike = same | ((worst <= ALIKE_WORST) & (mean <= ALIKE_MEAN))
            edges = np.stack([a, b, np.where(turned, MIRRORED, NEAR)], 1)
            self._copies.append(edges[same])
            self._alike.append(edges[alike][:, :2])

    def _roughly_alike(self, codes: np.ndarray) -> np.ndarray:
        a, b, turned = self._pairs(codes)
        second = self._coarse[b]
        second[turned] = second[turned][:, :, ::-1]
        return rough_difference(self._coarse[a], second) <= max(ALIKE_MEAN, MEAN * self._limit)

    def _tell(self, done: int, total: int, what: str) -> None:
        if self._progress:
            self._progress(done, total, what)

    def _pairs(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(better, worse, is one of them seen in a mirror). Rank decides which is laid over which."""
        first, second = codes // 2 // len(self.kind), codes // 2 % len(self.kind)
        better = self._rank[first] < self._rank[second]
        return np.where(better, first, second), np.where(better, second, first), codes % 2 == 1

    def settle(self) -> None:
        """In order of rank: a picture is a copy if it is one of a better picture that is kept."""
        if not self._copies:
            return
        edges = np.concatenate(self._copies)
        edges = edges[(self.kind[edges[:, 0]] == KEPT) & (self.kind[edges[:, 1]] == KEPT)]
        for better, worse, kind in edges[np.lexsort((self._rank[edges[:, 0]], self._rank[edges[:, 1]]))]:
            if self.kind[better] == KEPT and self.kind[worse] == KEPT:
                self.kind[worse], self._copy_of[worse] = kind, better

    def found(self) -> Found:
        count = len(self.kind)
        dropped = np.flatnonzero(self._copy_of >= 0)
        edges = np.concatenate([*self._alike, np.stack([self._copy_of[dropped], dropped], 1)])
        graph = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape=(count, count))
        _, group = connected_components(graph, directed=False) if count else (0, np.empty(0, np.int64))
        # What was kept may have been overtaken meanwhile: point to the one that is kept in the end.
        for at in dropped[np.argsort(self._rank[dropped])]:
            if (of := self._copy_of[at]) >= 0 and self._copy_of[of] >= 0:
                self._copy_of[at] = self._copy_of[of]
        return Found(self.kind, self._copy_of, group.astype(np.int64))


def _components(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(108,), (108, 16): their mean and principal components."""
    if not len(hashes):
        return np.zeros(HASH_SIZE), np.zeros((HASH_SIZE, DIMENSIONS))
    mean = hashes.mean(0, dtype=np.float64)
    spread = np.zeros((HASH_SIZE, HASH_SIZE))
    for at in _batches(len(hashes), _BLOCK):
        centred = hashes[at] - mean
        spread += centred.T @ centred
    _, vectors = np.linalg.eigh(spread)
    return mean, vectors[:, ::-1][:, :DIMENSIONS]


def _project(hashes: np.ndarray, mean: np.ndarray, components: np.ndarray) -> np.ndarray:
    """(N, 108) -> (N, 16). Distances only shrink, so no copy is lost by it."""
    points = np.empty((len(hashes), DIMENSIONS))
    for at in _batches(len(hashes), _BLOCK):
        # Rounded, so that the last bit of another processor's BLAS does not decide who is a neighbour.
        points[at] = np.round((hashes[at] - mean) @ components, 3)
    return points


def _batches(count: int, size: int) -> Iterator[np.ndarray]:
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))


def _parts(codes: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(codes), size):
        yield codes[start : start + size]
