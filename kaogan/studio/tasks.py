"""Long jobs: films, evaluations, preparation of sets, projection of faces, web pages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kaogan.core.errors import UsageError
from kaogan.studio import params, rendering
from kaogan.studio.jobs import Job
from kaogan.studio.params import FaceId, Query, RenderParams
from kaogan.studio.rendering import LoadedModel
from kaogan.studio.uploads import Uploads

JobFunction = Callable[[Job], None]
KINDS = ("mp4", "webp", "gif")


def film(loaded: LoadedModel, query: Query) -> JobFunction:
    """A walk past ``faces`` of the seed or, with ``from`` and ``to``, a morph there and back. Raises UsageError."""
    kind = params.choice(query, "kind", KINDS)
    fps = params.number(query, "fps", 24, 1, 50)
    steps = params.whole(query, "steps", 24, 2, 240)
    truncation = params.truncation(query)
    stops: list[RenderParams]
    known = loaded.model.attributes
    if query.get("from") and query.get("to"):
        stops, loop = [params.packed_render_params(query, known, name) for name in ("from", "to")], True
    else:
        faces = params.whole(query, "faces", 6, 2, 48)
        seed, loop = params.seed(query), params.choice(query, "loop", ("yes", "no")) == "yes"
        stops = [RenderParams(FaceId(seed, number), params.attributes(query, known), {}) for number in range(faces)]
    if len(stops) * steps > params.MAX_FRAMES:
        raise UsageError(
            f"a film has at most {params.MAX_FRAMES} frames, not {len(stops) * steps:,}: fewer faces or fewer frames"
        )
    model = loaded.model
    if loaded.model.image_size > rendering.MAX_FILM_SIDE and kind != "mp4":
        raise UsageError(f"faces of {model.image_size} px make a large .{kind}; choose mp4")
    rendering.point_of(loaded, stops[0])  # refuses an unknown attribute or direction before the job is queued

    def run(job: Job) -> None:
        path = job.folder / f"film.{kind}"
        rendering.walk_film(
            loaded, stops, steps, loop, truncation, path, fps, lambda done, total: job.report(done, total, "drawing")
        )
        job.files[path.name] = path

    return run


def evaluation(path: Path, data: Path | None, name: str, query: Query) -> JobFunction:
    """``kaogan evaluate`` of one model with few pictures. Raises UsageError."""
    count = params.whole(query, "count", 500, 50, params.MAX_EVALUATED)
    seed = params.seed(query)

    def run(job: Job) -> None:
        from kaogan.core.atomic_io import write_text
        from kaogan.evaluation import page
        from kaogan.evaluation.runner import evaluate

        [result] = evaluate([path], data, count=count, seed=seed, report=job.report)
        result.source.name = name
        job.report(0, 0, "writing the page")
        job.files["evaluation.html"] = page.write_page([result], job.folder / "evaluation.html")
        job.files["evaluation.md"] = job.folder / "evaluation.md"
        write_text(job.files["evaluation.md"], page.markdown([result]))
        job.result = evaluation_table(result) | {"verdict": " ".join(page.verdicts([result]))}

    return run


def evaluation_table(result: Any) -> dict[str, Any]:
    """The rows as the page shows them."""
    from kaogan.evaluation.tables import interval, number

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
        "subject": result.source.name,
        "count": result.source.count,
        "against": f"{len(reference):,} real pictures of {Path(reference.source).name}",
        "rows": rows,
        "notes": [*result.source.notes, *result.notes],
        "seconds": round(result.seconds, 1),
    }


def preparation(pictures: Path, out: Path, query: Query) -> JobFunction:
    """``kaogan prepare`` of uploaded pictures. Raises UsageError."""
    size = params.whole(query, "size", 64, 16, 512)
    crop = params.choice(query, "crop", ("faces", "center", "none"))
    if not pictures.is_dir():
        raise UsageError("there are no pictures yet: drop some first")

    def run(job: Job) -> None:
        from kaogan.prepare import make_settings, prepare

        job.report(0, 0, "listing pictures")
        settings = make_settings({"picture": {"size": size, "crop": crop}})
        result = prepare([pictures], out, settings, progress=job.report)
        job.files["report.html"] = result.report
        counts = {step: count for step, count in result.counts.items() if count and step not in ("files", "kept")}
        job.result = {"kept": result.kept, "files": result.counts["files"], "dropped": counts, "notes": result.notes}

    return run


def projection(loaded: LoadedModel, picture: np.ndarray, uploads: Uploads, query: Query) -> JobFunction:
    """The face of ``loaded`` that is closest to a picture, or to the surest face in it. Raises UsageError."""
    steps = params.whole(query, "steps", 100, 1, 500)

    def run(job: Job) -> None:
        from kaogan.generate.explore import project, render

        job.report(0, 0, "looking for the face")
        target = cut_face(picture, loaded.model.image_size)
        found = project(loaded.model, target, steps, frames=2, progress=job.report)
        job.result = {
            "face": f"{uploads.add_face(loaded.model, found.point)}.0",
            "target": rendering.data_url(found.target),
            "picture": rendering.data_url(render(loaded.model, [found.point])[0]),
        }

    return run


def cut_face(picture: np.ndarray, side: int) -> np.ndarray:
    """The surest face of a large picture, cut as ``kaogan prepare`` does; a small or faceless picture as it is."""
    from kaogan.prepare import faces
    from kaogan.prepare.settings import Picture

    if min(picture.shape[:2]) <= 2 * side:
        return picture
    settings = Picture(size=side, smallest=max(16, side // 4))
    image = Image.fromarray(picture)
    found = faces.find(settings, image)
    return np.asarray(faces.cut(settings, image, found[0])[0]) if found else picture


def page(path: Path, name: str) -> JobFunction:
    """The model as a web page of a single file."""

    def run(job: Job) -> None:
        from kaogan.share.export import export_web

        job.report(0, 0, "writing the page, which takes a minute or two")
        stem = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)[:60]
        made = export_web(path, job.folder / f"{stem}.html", single_file=True, progress=job.report)
        job.files[made.name] = made

    return run
