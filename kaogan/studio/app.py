"""The studio's web application: routes and request handlers.

A picture is a function of its address alone: visitors share nothing but the queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from kaogan.core.errors import KaoganError, UsageError, is_out_of_memory
from kaogan.studio import params, rendering, tasks, trainings
from kaogan.studio.index import AVATARS, ModelIndex
from kaogan.studio.jobs import BusyError, JobQueue, Jobs
from kaogan.studio.middleware import SecurityMiddleware
from kaogan.studio.rendering import ModelCache
from kaogan.studio.request_body import parts, read_json
from kaogan.studio.trainings import TrainingManager
from kaogan.studio.uploads import Uploads, read_face
from kaogan.version import __version__

T = TypeVar("T")
Handler = Callable[["Studio", Request], Awaitable[Response]]
MAX_WAITING, MAX_WAITING_JOBS = 12, 3  # calls that may wait for the one that is being worked on
PAGE = Path(str(resources.files("kaogan.studio").joinpath("page")))
KIT = Path(str(resources.files("kaogan.share.export").joinpath("page"))) / "kit"  # shared with the exported page
REPORTS = ("report.html", "evaluation.html")  # pages without scripts, shown in a sandbox
REPORT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@dataclass
class Studio:
    """What all requests share: the folders, the models in memory, the queues."""

    model_index: ModelIndex
    trainings: TrainingManager
    uploads: Uploads = field(init=False)
    models: ModelCache = field(init=False)
    pictures: JobQueue = field(default_factory=lambda: JobQueue("pictures", MAX_WAITING))
    jobs: Jobs = field(default_factory=lambda: Jobs(JobQueue("long work", MAX_WAITING_JOBS)))

    def __post_init__(self) -> None:
        self.uploads = Uploads(self.model_index.roots[0], self.trainings.allowed)
        self.models = ModelCache(self.model_index.directions, self.uploads.face)

    def close(self) -> None:
        self.trainings.close()
        self.jobs.close()
        self.pictures.close()


def build_app(
    model_index: ModelIndex, hosts: tuple[str, ...] = ("127.0.0.1", "localhost"), local: bool = True,
    root_path: str = "",
) -> Starlette:  # fmt: skip
    """``hosts``: by which names the studio may be called, none for any; ``local``: whether it may train; ``root_path``:
    what stands before its paths behind a proxy, as in ``/hub/kaogan``."""
    studio = Studio(model_index, TrainingManager(model_index, allowed=local))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(studio.close)

    def bound(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return await handler(studio, request)

        return answer

    routes: list[BaseRoute] = [Route(path, bound(handler), methods=[method]) for method, path, handler in ROUTES]
    routes.append(Mount("/page/kit", StaticFiles(directory=KIT)))
    routes.append(Mount("/page", StaticFiles(directory=PAGE)))
    return Starlette(
        routes=routes, lifespan=lifespan,
        middleware=[Middleware(SecurityMiddleware, hosts=hosts, root_path=root_path)],
        exception_handlers={KaoganError: _user_error, MemoryError: _out_of_memory, RuntimeError: _out_of_memory,
                            404: _not_found, 500: _server_error},
    )  # fmt: skip


async def overview(studio: Studio, request: Request) -> Response:
    """All that can be chosen."""
    found = await asyncio.to_thread(studio.model_index.found, True)
    return JSONResponse({
        "version": __version__, "models": list(found.all_models), "opening": found.opening,
        "shipped": [name for name in found.shipped if name not in found.models],
        "runs": list(found.runs), "sets": list(found.sets),
        "recipes": await asyncio.to_thread(trainings.recipe_list), "training": studio.trainings.allowed,
        **await asyncio.to_thread(rendering.capabilities),
        "limits": {"count": params.MAX_FACES, "frames": params.MAX_FRAMES, "evaluated": params.MAX_EVALUATED},
    })  # fmt: skip


async def model(studio: Studio, request: Request) -> Response:
    query = request.query_params
    found = await asyncio.to_thread(studio.model_index.found)

    def open_model() -> tuple[rendering.LoadedModel, list[str]]:
        loaded = _loaded(studio, query)
        return loaded, rendering.fitting(loaded, found.directions)

    loaded, fitting = await _run_in_queue(studio, request, open_model)
    model, config = loaded.model, loaded.model.config
    return JSONResponse({
        "image_size": model.image_size, "channels": model.channels, "recipe": config.get("recipe", ""),
        "clock": config.get("clock", 0), "latent": model.latent_size, "styled": model.has_style_space,
        "keep": model.keep if model.latent_filter else None, "directions": fitting,
        "set": found.set_of(query.get("model", ""), config.get("data") or {}),
        "trained_on": str((config.get("data") or {}).get("name", "")),
        "attributes": [{"name": a.name, "values": a.values[:512]} for a in model.attributes.attributes],
    })  # fmt: skip


async def faces(studio: Studio, request: Request) -> Response:
    query = request.query_params

    def draw() -> Response:
        loaded = _loaded(studio, query)
        seed, scale = params.seed(query), params.scale(query)
        count = params.count(query, loaded.model.image_size * scale)
        asked = params.attributes(query, loaded.model.attributes)
        made = rendering.faces(loaded, seed, count, params.truncation(query), asked, scale)
        named = [f"{seed}.{number}" for number in range(count)]
        return _pictures(query, named, made, f"faces-{seed}")

    return await _run_in_queue(studio, request, draw)


async def around(studio: Studio, request: Request) -> Response:
    query = request.query_params

    def draw() -> Response:
        loaded = _loaded(studio, query)
        percent, count = params.whole(query, "radius", 50, 1, 100), params.count(query, loaded.model.image_size, 8)
        start = params.render_params(query, loaded.model.attributes)
        named, made = rendering.around(loaded, start, count, percent, params.truncation(query))
        return _pictures(query, [str(face) for face in named], made, "around")

    return await _run_in_queue(studio, request, draw)


async def face(studio: Studio, request: Request) -> Response:
    query = request.query_params

    def draw() -> Response:
        loaded = _loaded(studio, query)
        render_params = params.render_params(query, loaded.model.attributes)
        made = rendering.one(loaded, render_params, params.truncation(query), params.scale(query))
        return _pictures(query, [str(render_params.face)], made, f"face-{render_params.face}")

    return await _run_in_queue(studio, request, draw)


async def morph(studio: Studio, request: Request) -> Response:
    query = request.query_params

    def draw() -> Response:
        loaded = _loaded(studio, query)
        steps = params.whole(query, "steps", 17, 2, params.MAX_STEPS)
        params.check_pixels(steps, loaded.model.image_size)
        first, last = (params.packed_render_params(query, loaded.model.attributes, name) for name in ("from", "to"))
        made = rendering.morph(loaded, first, last, steps, params.truncation(query))
        return _pictures(query, [f"{number:02}" for number in range(steps)], made, "morph")

    return await _run_in_queue(studio, request, draw)


async def directions(studio: Studio, request: Request) -> Response:
    query = request.query_params

    def find() -> Response:
        loaded, method = _loaded(studio, query), _method(query)
        found = rendering.directions_of(loaded, method)
        labels = rendering.labels_of(loaded, method)
        return JSONResponse(
            {"method": method, "names": list(found.names), "labels": labels, "strongest": params.MAX_STRENGTH}
        )

    return await _run_in_queue(studio, request, find)


async def previews(studio: Studio, request: Request) -> Response:
    """Thumbnails of both ends of each slider."""
    query = request.query_params

    def draw() -> Response:
        loaded, method, strength = _loaded(studio, query), _method(query), 0.6 * params.MAX_STRENGTH
        if method == "tagger":
            raise UsageError("these directions take too long for thumbnails")
        start = params.render_params(query, loaded.model.attributes)
        made = rendering.previews(loaded, start, method, strength, params.truncation(query))
        return JSONResponse({name: [rendering.data_url(each) for each in pair] for name, pair in made.items()})

    return await _run_in_queue(studio, request, draw)


async def add_picture(studio: Studio, request: Request) -> Response:
    query = request.query_params
    count = await studio.uploads.add_picture(query.get("set", ""), query.get("file", ""), parts(request))
    return JSONResponse({"files": count})


async def project(studio: Studio, request: Request) -> Response:
    """Start the search for the face of a model that is closest to the picture in the request."""
    query = request.query_params
    studio.uploads.check_allowed()
    picture = await read_face(parts(request))
    ready = await _run_in_queue(
        studio, request, lambda: tasks.projection(_loaded(studio, query), picture, studio.uploads, query)
    )
    return JSONResponse(studio.jobs.start(ready).to_json(), 202)


async def start_job(studio: Studio, request: Request) -> Response:
    query = await read_json(request)
    if query.get("job") == "film":
        ready = await _run_in_queue(studio, request, lambda: tasks.film(_loaded(studio, query), query))
    elif query.get("job") == "evaluation":
        name, data = query.get("model", ""), query.get("data", "")
        path = studio.model_index.model(name)
        if not data:
            raise UsageError("choose the pictures to measure against")
        ready = tasks.evaluation(path, None if data == AVATARS else studio.model_index.set(data), name, query)
    elif query.get("job") == "preparation":
        ready = tasks.preparation(*studio.uploads.set_folders(query.get("set", "")), query)
    elif query.get("job") == "page":
        ready = tasks.page(studio.model_index.model(query.get("model", "")), query.get("model", ""))
    else:
        raise UsageError("a job is a film, an evaluation, a preparation or a page")
    return JSONResponse(studio.jobs.start(ready).to_json(), 202)


async def job(studio: Studio, request: Request) -> Response:
    return JSONResponse(studio.jobs.get(request.path_params["id"]).to_json())


async def cancel_job(studio: Studio, request: Request) -> Response:
    return JSONResponse(studio.jobs.cancel(request.path_params["id"]).to_json())


async def job_file(studio: Studio, request: Request) -> Response:
    """A file that a job has made; a page of it has no rights in the studio's own name."""
    made = studio.jobs.get(request.path_params["id"]).files
    name = request.path_params["name"]
    if name not in made:
        raise UsageError("there is no such file")
    shown = name.startswith("film.") or name in REPORTS
    kind = "inline" if shown and "save" not in request.query_params else "attachment"
    headers = {"Content-Security-Policy": REPORT_POLICY} if name in REPORTS else None
    return FileResponse(made[name], filename=name, content_disposition_type=kind, headers=headers)


async def run(studio: Studio, request: Request) -> Response:
    name = request.query_params.get("run", "")
    return JSONResponse(_nan_to_none(await asyncio.to_thread(studio.trainings.state, name)))


async def run_grid(studio: Studio, request: Request) -> Response:
    query = request.query_params
    clock = params.whole(query, "clock", 0, 0, 10**12)
    path = studio.model_index.run(query.get("run", ""))
    return FileResponse(await asyncio.to_thread(trainings.grid_file, path, clock), media_type="image/png")


async def change_run(studio: Studio, request: Request) -> Response:
    query = await read_json(request)
    what, name = request.path_params["what"], query.get("run", "")
    if what == "start":
        name = await asyncio.to_thread(studio.trainings.start, query)
    elif what == "resume":
        await asyncio.to_thread(studio.trainings.resume, name, query)
    elif what == "stop":
        studio.trainings.stop(name)
    else:
        raise UsageError("a run is started, resumed or stopped")
    return JSONResponse({"run": name})


async def index(studio: Studio, request: Request) -> Response:
    return FileResponse(PAGE / "index.html")


async def icon(studio: Studio, request: Request) -> Response:
    return RedirectResponse("page/icon.svg")


ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", "/", index),
    ("GET", "/api/overview", overview),
    ("GET", "/api/model", model),
    ("GET", "/api/faces", faces),
    ("GET", "/api/around", around),
    ("GET", "/api/face", face),
    ("GET", "/api/morph", morph),
    ("GET", "/api/directions", directions),
    ("GET", "/api/previews", previews),
    ("POST", "/api/pictures", add_picture),
    ("POST", "/api/project", project),
    ("POST", "/api/jobs", start_job),
    ("GET", "/api/jobs/{id}", job),
    ("DELETE", "/api/jobs/{id}", cancel_job),
    ("GET", "/api/jobs/{id}/{name}", job_file),
    ("GET", "/api/run", run),
    ("GET", "/api/run/grid", run_grid),
    ("POST", "/api/run/{what}", change_run),
    ("GET", "/favicon.ico", icon),
]


def _loaded(studio: Studio, query: Mapping[str, str]) -> rendering.LoadedModel:
    loaded, keep = studio.models.get(studio.model_index.model(query.get("model", ""))), params.keep(query)
    return loaded if keep is None else replace(loaded, model=loaded.model.keeping(keep))


def _method(query: Mapping[str, str]) -> str:
    method = query.get("method", "")
    if not method.startswith(rendering.FILE_PREFIX):
        method = params.choice(query, "method", tuple(rendering.METHODS))
    return method


def _pictures(query: Mapping[str, str], named: list[str], made: Any, title: str) -> Response:
    """As JSON for the page or, with ``save``, as a file: one PNG, a sheet, or a zip of everything."""
    kind = params.choice(query, "save", ("no", "png", "zip"))
    if kind == "no":
        shown = [{"face": name, "picture": rendering.data_url(each)} for name, each in zip(named, made, strict=True)]
        return JSONResponse({"faces": shown})
    if kind == "png":
        content = rendering.png(made[0]) if len(made) == 1 else rendering.sheet(made)
    else:
        content = rendering.archive(made, named, {"kaogan": __version__, **query})
    name = f"{title}.{kind}"
    return Response(content, media_type=f"image/{kind}" if kind == "png" else "application/zip",
                    headers={"Content-Disposition": f'attachment; filename="{name}"'})  # fmt: skip


async def _run_in_queue(studio: Studio, request: Request, call: Callable[[], T]) -> T:
    """``call`` in the queue of the pictures; taken out of it when the visitor has gone, as a moved slider does."""
    future: Future[T] = studio.pictures.submit(call)
    waiting: asyncio.Future[T] = asyncio.wrap_future(future)
    gone = asyncio.create_task(_disconnected(request))
    try:
        either: list[asyncio.Future[Any]] = [waiting, gone]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            future.cancel()
            raise BusyError("nobody waits for this any more")
        return waiting.result()
    finally:
        gone.cancel()
        if not waiting.done():
            waiting.cancel()
        with suppress(asyncio.CancelledError):
            await gone


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _nan_to_none(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _nan_to_none(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_nan_to_none(each) for each in value]
    return None if isinstance(value, float) and value - value != 0 else value


async def _user_error(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 503 if isinstance(error, BusyError) else 400)


async def _out_of_memory(request: Request, error: Exception) -> Response:
    if is_out_of_memory(error):
        return JSONResponse({"error": "out of memory; ask for less"}, 503)
    raise error


async def _not_found(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "there is nothing at this address"}, 404)


async def _server_error(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "this went wrong inside of kaogan; the terminal says more"}, 500)
