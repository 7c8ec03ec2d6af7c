"""The web application: which request does what.

A picture is a function of its address alone: visitors share nothing but the queue.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from kaogan.core.errors import KaoganError, UsageError
from kaogan.studio import params, rendering, tasks, trainings
from kaogan.studio.index import Catalogue
from kaogan.studio.jobs import BusyError, Jobs, Lane
from kaogan.studio.middleware import Guard
from kaogan.studio.rendering import Models
from kaogan.studio.trainings import Trainings
from kaogan.version import __version__

T = TypeVar("T")
Handler = Callable[["Studio", Request], Awaitable[Response]]
WAITING, LONG_WAITING = 12, 3  # calls that may wait for the one that is being worked on
PAGE = Path(str(resources.files("kaogan.studio").joinpath("page")))
KIT = Path(str(resources.files("kaogan.share.export").joinpath("page"))) / "kit"  # shared with the exported page
MOST_BODY = 16 * 2**10  # bytes


@dataclass
class Studio:
    """What all requests share: the folders, the models in memory, the queues."""

    catalogue: Catalogue
    trainings: Trainings
    models: Models = field(init=False)
    pictures: Lane = field(default_factory=lambda: Lane("pictures", WAITING))
    jobs: Jobs = field(default_factory=lambda: Jobs(Lane("long work", LONG_WAITING)))

    def __post_init__(self) -> None:
        self.models = Models(self.catalogue.directions)

    def close(self) -> None:
        self.trainings.close()
        self.jobs.close()
        self.pictures.close()


def build_app(
    catalogue: Catalogue, hosts: tuple[str, ...] = ("127.0.0.1", "localhost"), local: bool = True
) -> Starlette:
    """``hosts``: by which names the studio may be called, none for any; ``local``: whether it may train."""
    studio = Studio(catalogue, Trainings(catalogue, allowed=local))

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
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(Guard, hosts=hosts)],
        exception_handlers={KaoganError: _explain, MemoryError: _out_of_memory, 404: _nothing, 500: _bug},
    )


async def overview(studio: Studio, request: Request) -> Response:
    """All that can be chosen."""
    found = await asyncio.to_thread(studio.catalogue.found, True)
    return JSONResponse({
        "version": __version__, "models": list(found.all_models),
        "shipped": [name for name in found.shipped if name not in found.models],
        "runs": list(found.runs), "sets": list(found.sets),
        "recipes": await asyncio.to_thread(trainings.offered), "training": studio.trainings.allowed,
        **await asyncio.to_thread(rendering.abilities),
        "limits": {"count": params.MOST_FACES, "frames": params.MOST_FRAMES, "evaluated": params.MOST_EVALUATED},
    })  # fmt: skip


async def model(studio: Studio, request: Request) -> Response:
    words = request.query_params
    files = (await asyncio.to_thread(studio.catalogue.found)).directions

    def look_at() -> tuple[rendering.Loaded, list[str]]:
        loaded = _loaded(studio, words)
        return loaded, rendering.fitting(loaded, files)

    loaded, fitting = await _worked(studio, request, look_at)
    model, config = loaded.model, loaded.model.config
    return JSONResponse({
        "image_size": model.image_size, "channels": model.channels, "recipe": config.get("recipe", ""),
        "clock": config.get("clock", 0), "latent": model.latent_size, "styled": model.has_style_space,
        "directions": fitting,
        "attributes": [{"name": a.name, "values": a.values[:512]} for a in model.attributes.attributes],
        "most": max(1, min(params.MOST_FACES, params.MOST_PIXELS // model.image_size**2)),
    })  # fmt: skip


async def faces(studio: Studio, request: Request) -> Response:
    words = request.query_params

    def draw() -> Response:
        loaded = _loaded(studio, words)
        seed, count = params.seed(words), params.count(words, loaded.model.image_size)
        made = rendering.faces(loaded, seed, count, params.truncation(words), params.attributes(words))
        named = [f"{seed}.{number}" for number in range(count)]
        return _pictures(words, named, made, f"faces-{seed}")

    return await _worked(studio, request, draw)


async def around(studio: Studio, request: Request) -> Response:
    words = request.query_params

    def draw() -> Response:
        loaded = _loaded(studio, words)
        percent, count = params.whole(words, "radius", 50, 1, 100), params.count(words, loaded.model.image_size, 8)
        named, made = rendering.around(loaded, params.look(words), count, percent, params.truncation(words))
        return _pictures(words, [str(face) for face in named], made, "around")

    return await _worked(studio, request, draw)


async def face(studio: Studio, request: Request) -> Response:
    words = request.query_params

    def draw() -> Response:
        loaded, look = _loaded(studio, words), params.look(words)
        made = rendering.one(loaded, look, params.truncation(words), params.whole(words, "scale", 1, 1, 64))
        return _pictures(words, [str(look.face)], made, f"face-{look.face}")

    return await _worked(studio, request, draw)


async def morph(studio: Studio, request: Request) -> Response:
    words = request.query_params

    def draw() -> Response:
        loaded = _loaded(studio, words)
        steps = params.whole(words, "steps", 17, 2, params.MOST_STEPS)
        params.check_pixels(steps, loaded.model.image_size)
        ends = params.packed_look(words, "from"), params.packed_look(words, "to")
        made = rendering.morph(loaded, *ends, steps, params.truncation(words))
        return _pictures(words, [f"{number:02}" for number in range(steps)], made, "morph")

    return await _worked(studio, request, draw)


async def directions(studio: Studio, request: Request) -> Response:
    words = request.query_params

    def find() -> Response:
        method = words.get("method", "")
        if not method.startswith(rendering.FILE):
            method = params.choice(words, "method", tuple(rendering.METHODS))
        found = rendering.directions_of(_loaded(studio, words), method)
        return JSONResponse({"method": method, "names": list(found.names), "strongest": params.STRONGEST})

    return await _worked(studio, request, find)


async def start_job(studio: Studio, request: Request) -> Response:
    words = await _body(request)
    if words.get("job") == "film":
        ready = await _worked(studio, request, lambda: tasks.film(_loaded(studio, words), words))
    elif words.get("job") == "evaluation":
        word, data = words.get("model", ""), words.get("data", "")
        path = studio.catalogue.model(word)
        ready = tasks.evaluation(
            path, studio.catalogue.set(data) if data not in ("", trainings.AVATARS) else None, word, words
        )
    else:
        raise UsageError("a job is a film or an evaluation")
    return JSONResponse(studio.jobs.start(ready).to_json(), 202)


async def job(studio: Studio, request: Request) -> Response:
    return JSONResponse(studio.jobs.get(request.path_params["id"]).to_json())


async def cancel_job(studio: Studio, request: Request) -> Response:
    return JSONResponse(studio.jobs.cancel(request.path_params["id"]).to_json())


async def job_file(studio: Studio, request: Request) -> Response:
    """A file that a job has made; pages and pictures of it are never shown in the studio's own name."""
    made = studio.jobs.get(request.path_params["id"]).files
    name = request.path_params["name"]
    if name not in made:
        raise UsageError("there is no such file")
    kind = "inline" if name.startswith("film.") and "save" not in request.query_params else "attachment"
    return FileResponse(made[name], filename=name, content_disposition_type=kind)


async def run(studio: Studio, request: Request) -> Response:
    word = request.query_params.get("run", "")
    return JSONResponse(_finite(await asyncio.to_thread(studio.trainings.state, word)))


async def run_grid(studio: Studio, request: Request) -> Response:
    words = request.query_params
    clock = params.whole(words, "clock", 0, 0, 10**12)
    path = studio.catalogue.run(words.get("run", ""))
    return FileResponse(await asyncio.to_thread(trainings.grid_file, path, clock), media_type="image/png")


async def change_run(studio: Studio, request: Request) -> Response:
    words = await _body(request)
    what, word = request.path_params["what"], words.get("run", "")
    if what == "start":
        word = await asyncio.to_thread(studio.trainings.start, words)
    elif what == "resume":
        await asyncio.to_thread(studio.trainings.resume, word, words)
    elif what == "stop":
        studio.trainings.stop(word)
    else:
        raise UsageError("a run is started, resumed or stopped")
    return JSONResponse({"run": word})


async def index(studio: Studio, request: Request) -> Response:
    return FileResponse(PAGE / "index.html")


async def icon(studio: Studio, request: Request) -> Response:
    return RedirectResponse("/page/icon.svg")


ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", "/", index),
    ("GET", "/api/overview", overview),
    ("GET", "/api/model", model),
    ("GET", "/api/faces", faces),
    ("GET", "/api/around", around),
    ("GET", "/api/face", face),
    ("GET", "/api/morph", morph),
    ("GET", "/api/directions", directions),
    ("POST", "/api/jobs", start_job),
    ("GET", "/api/jobs/{id}", job),
    ("DELETE", "/api/jobs/{id}", cancel_job),
    ("GET", "/api/jobs/{id}/{name}", job_file),
    ("GET", "/api/run", run),
    ("GET", "/api/run/grid", run_grid),
    ("POST", "/api/run/{what}", change_run),
    ("GET", "/favicon.ico", icon),
]


def _loaded(studio: Studio, words: Mapping[str, str]) -> rendering.Loaded:
    return studio.models.get(studio.catalogue.model(words.get("model", "")))


def _pictures(words: Mapping[str, str], named: list[str], made: Any, title: str) -> Response:
    """As JSON for the page or, with ``save``, as a file: one PNG, a sheet, or a zip of everything."""
    kind = params.choice(words, "save", ("no", "png", "zip"))
    if kind == "no":
        shown = [{"face": name, "picture": rendering.data_url(each)} for name, each in zip(named, made, strict=True)]
        return JSONResponse({"faces": shown})
    if kind == "png":
        content = rendering.png(made[0]) if len(made) == 1 else rendering.sheet(made)
    else:
        content = rendering.archive(made, named, {"kaogan": __version__, **words})
    name = f"{title}.{kind}"
    return Response(content, media_type=f"image/{kind}" if kind == "png" else "application/zip",
                    headers={"Content-Disposition": f'attachment; filename="{name}"'})  # fmt: skip


async def _worked(studio: Studio, request: Request, call: Callable[[], T]) -> T:
    """``call`` in the queue of the pictures; taken out of it when the visitor has gone, as a moved slider does."""
    future: Future[T] = studio.pictures.submit(call)
    waiting: asyncio.Future[T] = asyncio.wrap_future(future)
    gone = asyncio.create_task(_gone(request))
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


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request) -> dict[str, str]:
    """The words of a JSON object. Raises UsageError."""
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > MOST_BODY:
            raise UsageError("this is too long")
    try:
        found = json.loads(content)
        return {str(key): str(value) for key, value in found.items()}
    except (ValueError, AttributeError, RecursionError):
        raise UsageError("a JSON object of words is needed") from None


def _finite(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and value - value != 0 else value


async def _explain(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 503 if isinstance(error, BusyError) else 400)


async def _out_of_memory(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "out of memory; ask for less"}, 503)


async def _nothing(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "there is nothing at this address"}, 404)


async def _bug(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "this went wrong inside of kaogan; the terminal says more"}, 500)
