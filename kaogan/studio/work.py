"""What takes long, as jobs: films and evaluations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kaogan.errors import UsageError
from kaogan.studio import asking, drawing
from kaogan.studio.asking import Face, Look, Words
from kaogan.studio.drawing import Loaded
from kaogan.studio.lanes import Job

Work = Callable[[Job], None]
KINDS = ("mp4", "webp", "gif")


def film(loaded: Loaded, words: Words) -> Work:
    """A walk past ``faces`` of the seed or, with ``from`` and ``to``, a morph there and back. Raises UsageError."""
    kind = asking.choice(words, "kind", KINDS)
    fps = asking.number(words, "fps", 24, 1, 50)
    steps = asking.whole(words, "steps", 24, 2, 240)
    truncation = asking.truncation(words)
    looks: list[Look]
    if words.get("from") and words.get("to"):
        looks, loop = [asking.packed_look(words, "from"), asking.packed_look(words, "to")], True
    else:
        faces = asking.whole(words, "faces", 6, 2, 48)
        seed, loop = asking.seed(words), asking.choice(words, "loop", ("yes", "no")) == "yes"
        looks = [Look(Face(seed, number), asking.attributes(words), {}) for number in range(faces)]
    if len(looks) * steps > asking.MOST_FRAMES:
        raise UsageError(
            f"a film has at most {asking.MOST_FRAMES} frames, not {len(looks) * steps:,}: fewer faces or fewer frames"
        )
    model = loaded.model
    if loaded.model.image_size > drawing.FILM_SIDE and kind != "mp4":
        raise UsageError(f"faces of {model.image_size} px make a large .{kind}; choose mp4")
    for look in looks[:1]:
        drawing.point_of(loaded, look)  # tells of an unknown attribute or direction at once

    def run(job: Job) -> None:
        path = job.folder / f"film.{kind}"
        drawing.walk_film(
            loaded, looks, steps, loop, truncation, path, fps, lambda done, total: job.report(done, total, "drawing")
        )
        job.files[path.name] = path

    return run


def evaluation(path: Path, data: Path | None, name: str, words: Words) -> Work:
    """``kaogan evaluate`` of one model with few pictures. Raises UsageError."""
    count = asking.whole(words, "count", 500, 50, asking.MOST_EVALUATED)
    seed = asking.seed(words)

    def run(job: Job) -> None:
        from kaogan.files import write_text
        from kaogan.metrics import evaluation_page
        from kaogan.metrics.evaluate import evaluate

        [result] = evaluate([path], data, count=count, seed=seed, report=job.report)
        result.subject.name = name
        job.report(0, 0, "writing the page")
        job.files["evaluation.html"] = evaluation_page.write_page([result], job.folder / "evaluation.html")
        job.files["evaluation.md"] = job.folder / "evaluation.md"
        write_text(job.files["evaluation.md"], evaluation_page.markdown([result]))
        job.result = evaluation_table(result)

    return run


def evaluation_table(result: Any) -> dict[str, Any]:
    """The rows as the page shows them."""
    from kaogan.metrics.html import interval, number

    reference = result.reference.pictures
    rows = [
        {
            "name": row.name,
            "better": row.better,
            "value": number(row.estimate.value),
            "interval": interval(row.estimate),
            "real": "–" if row.real is None else number(row.real),
        }
        for row in result.rows.values()
    ]
    return {
        "subject": result.subject.name,
        "count": result.subject.count,
        "against": f"{len(reference):,} real pictures of {Path(reference.source).name}",
        "rows": rows,
        "notes": [*result.subject.notes, *result.notes],
        "seconds": round(result.seconds, 1),
    }
