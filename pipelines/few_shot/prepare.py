"""Prepare data for few-shot learning: classes for meta-training, and the tasks that methods are judged on.

    train.npz    train_images [classes, drawings, side, side] and validation_images, not turned; for each seed the
                 tasks of meta-validation, as `pipelines.datasets.tasks.Tasks` has them (selection_...)
    test.npz     test_images, one by one in random order, turned as their classes ask; for each seed the tasks of
                 meta-test: support [tasks, way, shot], and query [tasks, way * query] in random order
    sealed.npz   query_labels [seeds, tasks, way * query]; image_classes of the test images

The tasks of meta-training are not stored: `pipelines.datasets.tasks.meta_batch` makes them from (seed, iteration), and
the index has the fingerprint of each seed's first ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets import class_splits, sources, tasks
from pipelines.datasets.class_splits import Classes
from pipelines.datasets.corruption import generator
from pipelines.datasets.entries import Entry
from pipelines.datasets.fingerprints import fingerprints
from pipelines.datasets.prepared import SEALED_FILE, TRAINING_FILE
from pipelines.datasets.preparing import Arrays, Made
from pipelines.datasets.tasks import Shape, Tasks
from pipelines.errors import UserError
from pipelines.few_shot.stored import TEST_FILE, FewShot, MetaTest

FILES = (TRAINING_FILE, TEST_FILE, SEALED_FILE)
FINGERPRINTED = 20
"""Meta-batches whose fingerprint the index has."""

SPLITS: dict[str, Callable[[int], Classes]] = {
    "glyphs": lambda count: class_splits.drawn(count, validation=150, test=250),
    "omniglot": class_splits.omniglot,
}
"""Source -> how its classes are split."""
SPLIT_BY_READER = ("mini-imagenet", "mini-imagenet-images", "mini-imagenet-lite", "fc100")
OPTIONS = {"omniglot": {"side": 28}}
"""Source -> how its reader is called."""
QUARTER_TURNS = {"omniglot": 4}
"""Source -> rotations that are classes of their own, else one. A turned u is an n, so the glyphs have none."""


class Parts(NamedTuple):
    """Images by class, uint8 [classes, drawings, side, side] or [classes, drawings, channels, side, side]."""

    train: NDArray[np.uint8]
    validation: NDArray[np.uint8]
    test: NDArray[np.uint8]


@dataclass(frozen=True)
class Settings:
    """How few-shot learning is prepared.

    Attributes:
        source: a key of `SPLITS`, or one of `SPLIT_BY_READER`.
        way, shot, query: of a task.
        meta_batch: tasks of an upper iteration.
        selection_tasks, test_tasks: how many a method is selected, and judged, on.
        seeds: a trial each; different, non-negative.
    """

    source: str
    way: int
    shot: int
    query: int
    meta_batch: int
    selection_tasks: int
    test_tasks: int
    seeds: tuple[int, ...]

    @property
    def shape(self) -> Shape:
        return Shape(self.way, self.shot, self.query)


def read(entry: Entry) -> Settings:
    """Settings from an entry of params.yaml; raises UserError for a bad value."""
    source = entry.one_of("source", {*SPLITS, *SPLIT_BY_READER} & set(sources.SOURCES))
    return Settings(
        source,
        way=entry.integer("way", 2),
        shot=entry.integer("shot", 1),
        query=entry.integer("query", 1, 15),
        meta_batch=entry.integer("meta_batch", 1),
        selection_tasks=entry.integer("selection_tasks", 1),
        test_tasks=entry.integer("test_tasks", 1, 600),
        seeds=entry.seeds(),
    )


def prepare(entry: Entry) -> Made:
    """The preparation that an entry of params.yaml asks for."""
    settings = read(entry)
    data = sources.load(settings.source, **OPTIONS.get(settings.source, {}))
    parts = parts_of(data, settings.source)
    return prepared(parts, settings, fingerprints(data), getattr(data, "made_with", ()), look_alikes(data))


def parts_of(data: Any, source: str) -> Parts:
    """The images of each split by class.

    Args:
        data: `images` [classes, drawings, side, side], uint8 or bool (ink), to be split here; or `train`, `validation`
            and `test`, each with `images` [n, ...] class by class and `labels` [n].

    Raises: UserError: the classes are too few, or have not all as many images.
    """
    if source in SPLITS:
        split = SPLITS[source](len(data.images))
        images = data.images.astype(np.uint8) * 255 if data.images.dtype == np.bool_ else data.images
        return Parts(*(images[classes] for classes in split))
    by_class = []
    for name in Parts._fields:
        part = getattr(data, name)
        counts = np.bincount(part.labels)
        if len(set(counts.tolist())) != 1:
            raise UserError(f"the classes of {source}, {name}, have {counts.min()} to {counts.max()} images, not as many")
        by_class.append(part.images.reshape(len(counts), counts[0], *part.images.shape[1:]))
    return Parts(*by_class)


def look_alikes(data: Any) -> dict[str, float] | None:
    """Of a source that keeps one of several classes alike: how many there were "before" and are "after", and the "least"
    share of their ink in which two differ. None of any other."""
    if not hasattr(data, "letters"):
        return None
    return {"before": data.letters, "after": len(data.images), "least": data.least}


def prepared(
    parts: Parts,
    settings: Settings,
    source: dict[str, str],
    made_with: tuple[str, ...] = (),
    alike: dict[str, float] | None = None,
) -> Made:
    """A pure function of its arguments.

    Args: made_with: versions of what drew the images, where they were drawn. alike: what `look_alikes` says.
    Raises: UserError: there are too few classes or drawings for the tasks.
    """
    turns = QUARTER_TURNS.get(settings.source, 1)
    drawings, shape = parts.train.shape[1], settings.shape
    counts = {name: len(images) * turns for name, images in parts._asdict().items()}
    batches = {str(seed): first_batches(counts["train"], drawings, settings, seed) for seed in settings.seeds}
    selection = [
        tasks.fixed(counts["validation"], drawings, shape, settings.selection_tasks, seed, "meta-validation")
        for seed in settings.seeds
    ]
    training = FewShot(
        train_images=parts.train,
        validation_images=parts.validation,
        rotations=np.array(turns, dtype=np.int64),
        seeds=np.array(settings.seeds, dtype=np.int64),
        selection_classes=np.stack([one.classes for one in selection]),
        selection_support=np.stack([one.support for one in selection]),
        selection_query=np.stack([one.query for one in selection]),
    )
    test, sealed = meta_test(parts.test, turns, settings)
    facts = {
        "classes": counts,
        "drawings": drawings,
        "rotations": turns,
        "made_with": list(made_with),
        **({} if alike is None else {"look_alikes": alike}),
        "meta_batches_sha256": {"of the first": FINGERPRINTED, **batches},
        "nearest_neighbour": _nearest_neighbour(parts.validation, selection[0], turns),
    }
    return Made(
        files={TRAINING_FILE: training._asdict(), TEST_FILE: test._asdict(), SEALED_FILE: sealed},
        settings=asdict(settings),
        source=source,
        facts=facts,
        said=f"{' + '.join(map(str, counts.values()))} classes of {drawings} drawings, {settings.way}-way "
        f"{settings.shot}-shot, {len(settings.seeds)} seeds",
    )


def first_batches(classes: int, drawings: int, settings: Settings, seed: int) -> str:
    """SHA-256 of a seed's first meta-batches, hexadecimal."""
    digest = hashlib.sha256()
    for number in range(FINGERPRINTED):
        for array in tasks.meta_batch(classes, drawings, settings.shape, settings.meta_batch, seed, number):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def meta_test(images: NDArray[np.uint8], turns: int, settings: Settings) -> tuple[MetaTest, Arrays]:
    """The tasks of meta-test without the labels of their queries, and those labels.

    The images are shuffled one by one, and the queries of a task among each other: what is left in the open says
    nothing about a query's class.
    """
    count, drawings = len(images) * turns, images.shape[1]
    every = tasks.pictures(images, np.arange(count)[None], np.broadcast_to(np.arange(drawings), (1, count, drawings)), turns)
    flat = every.reshape(count * drawings, *images.shape[2:])
    order = generator(0, "order of test images").permutation(len(flat))
    place = np.empty(len(flat), dtype=np.int32)
    place[order] = np.arange(len(flat))
    supports, queries, labels = [], [], []
    for seed in settings.seeds:
        drawn = tasks.fixed(count, drawings, settings.shape, settings.test_tasks, seed, "meta-test")
        first = drawn.classes[..., None].astype(np.int64) * drawings
        supports.append(place[first + drawn.support])
        asked = place[first + drawn.query].reshape(settings.test_tasks, -1)
        right = np.repeat(np.arange(settings.way, dtype=np.uint8), settings.query)
        shuffled = generator(seed, "order of queries").permuted(
            np.broadcast_to(np.arange(asked.shape[1]), asked.shape), axis=1
        )
        queries.append(np.take_along_axis(asked, shuffled, axis=1))
        labels.append(right[shuffled])
    test = MetaTest(flat[order], np.stack(supports), np.stack(queries))
    classes = np.repeat(np.arange(count, dtype=np.int32), drawings)[order]
    return test, {"query_labels": np.stack(labels), "image_classes": classes}


def _nearest_neighbour(images: NDArray[np.uint8], drawn: Tasks, turns: int) -> dict[str, Any]:
    """What comparing pixels achieves on the tasks of meta-validation, percent: the set is neither noise nor trivial
    where this lies well between chance and 100."""
    known = tasks.pictures(images, drawn.classes, drawn.support, turns)
    asked = tasks.pictures(images, drawn.classes, drawn.query, turns)
    shares = 100 * tasks.nearest_neighbour(known, asked)
    error = shares.std(ddof=1) / np.sqrt(len(shares)) if len(shares) > 1 else 0.0
    return {
        "accuracy": round(float(shares.mean()), 2),
        "standard error": round(float(error), 2),
        "tasks": len(shares),
    }
