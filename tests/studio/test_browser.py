"""The page in a real browser: every control does what it says, on a wide screen and on a phone."""

from __future__ import annotations

import io
import urllib.parse
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kaogan.data.avatars import write_set
from kaogan.generate.explore import load_directions, point, render
from kaogan.generate.model import load
from kaogan.studio import rendering
from tests.accessibility import violations
from tests.generate.conftest import filtered
from tests.studio.conftest import Served
from tests.studio.test_trainings import make_run

pytestmark = pytest.mark.timeout(180)
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


class Visitor:
    """A page that fails the test for an error of its own and for any request that leaves the machine."""

    def __init__(self, browser: Any, address: str, size: dict) -> None:
        self.context = browser.new_context(viewport=size, reduced_motion="reduce", accept_downloads=True)
        self.page, self.address, self.wrong = self.context.new_page(), address, []
        self.page.set_default_timeout(30_000)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self._check(request.url))

    def _check(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:")):
            self.wrong.append(url)

    def open(self, **query: Any) -> Any:
        self.page.goto(f"{self.address}/?{urllib.parse.urlencode(query)}")
        return self.page

    def query(self) -> dict[str, str]:
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.page.url).query))

    def shown(self, selector: str) -> list[str]:
        return self.page.eval_on_selector_all(selector, "all => all.map(each => each.src)")

    def wait_shown(self, selector: str, pictures: Any) -> None:
        expected = [rendering.data_url(picture) for picture in pictures]
        self.page.wait_for_function(
            "([selector, expected]) => [...document.querySelectorAll(selector)].map(e => e.src).join() === expected",
            arg=[selector, ",".join(expected)],
        )

    def close(self) -> None:
        self.context.close()
        assert not self.wrong


@pytest.fixture
def visit(browser, studio) -> Iterator[Any]:
    visitors = []

    def arrive(size: dict = WIDE) -> Visitor:
        visitors.append(Visitor(browser, studio.address, size))
        return visitors[-1]

    yield arrive
    for visitor in visitors:
        visitor.close()


def test_the_grid_shows_what_the_controls_say(visit, home):
    model, visitor = load(home / "tiny"), visit()
    page = visitor.open(model="tiny", count=4)
    visitor.wait_shown("#grid img", model.sample(4))
    page.fill("#seed", "7")
    visitor.wait_shown("#grid img", model.sample(4, seed=7))
    page.click("[aria-label='hair white']")
    visitor.wait_shown("#grid img", model.sample(4, seed=7, hair="white"))
    page.click("[aria-label='mix several values of hair']")
    page.click("[aria-label='hair orange']")
    visitor.wait_shown("#grid img", model.sample(4, seed=7, hair={"white": 0.5, "orange": 0.5}))
    page.click("[aria-label='any hair']")
    page.focus("#truncation")
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    visitor.wait_shown("#grid img", model.sample(4, seed=7, truncation=0.5))
    query = visitor.query()
    assert (query["seed"], query["truncation"]) == ("7", "0.5")
    with page.expect_download() as saved:
        page.click("text=Download all")
    with zipfile.ZipFile(saved.value.path()) as packed:
        assert packed.read("7.3.png") == rendering.png(model.sample(4, seed=7, truncation=0.5)[3])
    before = page.input_value("#seed")
    page.click("#dice")
    page.wait_for_function("before => document.querySelector('#seed').value !== before", arg=before)
    page.go_back()
    visitor.wait_shown("#grid img", model.sample(4, seed=7, truncation=0.5))


def test_directions_of_a_file_are_sliders(visit, home):
    """A file that fits the model is offered, one of another model is not; its slider, the address, and the morph."""
    model, visitor = load(home / "tiny"), visit()
    page = visitor.open(model="tiny", count=2, face="3.1", scale=1)
    page.wait_for_selector("#method option[value='file:mine.safetensors']", state="attached")
    assert page.locator("#method option[value*=odd]").count() == 0
    page.select_option("#method", "file:mine.safetensors")
    page.focus("#sliders input[data-move='smile']")
    page.keyboard.press("End")
    moved = load_directions(home / "mine.safetensors").bind(model).move(point(model, 3, 1), "smile", 5)
    visitor.wait_shown("#face", render(model, [moved]))
    assert visitor.query()["method"] == "file:mine.safetensors" and visitor.query()["m.smile"] == "5"
    page.click("#set-from")
    page.click("#reset-moves")
    visitor.wait_shown("#face", render(model, [point(model, 3, 1)]))
    page.click("#set-to")
    page.wait_for_function("() => document.querySelector('#morph-now').src")
    ends = [rendering.data_url(picture) for picture in render(model, [moved, point(model, 3, 1)])]
    assert visitor.shown("#morph-from, #morph-to") == ends
    other = visit()  # the address is all that another visitor needs
    other.page.goto(page.url)
    other.page.wait_for_function("() => document.querySelector('#morph-now').src")
    assert (
        other.shown("#morph-from, #morph-to") == ends and other.page.input_value("#method") == "file:mine.safetensors"
    )


def test_mistakes_are_told_and_mended(visit, home):
    visitor = visit(PHONE)
    page = visitor.open(model="tiny", count=2)
    page.fill("#seed", "sakura")
    page.wait_for_selector("text=the seed must be a whole number")
    assert page.get_attribute("#seed", "aria-invalid") == "true"
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    seen = page.evaluate(
        "(e => [scrollY, e.top, e.bottom])(document.querySelector('#message').getBoundingClientRect())"
    )
    assert seen[0] > 0 and 0 <= seen[1] < seen[2] < PHONE["height"], "in sight although the field is far down"
    page.fill("#seed", "3")
    visitor.wait_shown("#grid img", load(home / "tiny").sample(2, seed=3))
    assert page.is_hidden("#message") and page.get_attribute("#seed", "aria-invalid") is None
    page.fill("#count", "1000000000")
    page.wait_for_selector("text=the count must be from 1 to 100")


def test_a_face_is_explored_moved_and_morphed_with_the_keyboard(visit, home):
    visitor = visit()
    page = visitor.open(model="deep/styled", count=4, scale=1)
    page.focus("#grid button")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector("#around button")
    assert page.evaluate("document.activeElement.id") == "face-title", "the reader hears where it is"
    plain = page.get_attribute("#face", "src")
    page.click("#set-from")
    page.focus("#sliders input[data-move='sefa-1']")
    page.keyboard.press("End")
    page.wait_for_function("before => document.querySelector('#face').src !== before", arg=plain)
    assert visitor.query()["m.sefa-1"] == "5"
    page.click("#reset-moves")
    page.wait_for_function("before => document.querySelector('#face').src === before", arg=plain)
    page.click("#around button >> nth=3")
    page.wait_for_function("before => document.querySelector('#face').src !== before", arg=plain)
    assert visitor.query()["face"] == "0.1~50.3"
    page.wait_for_function("() => document.querySelector('#face').getAttribute('aria-busy') === 'false'")
    there = page.get_attribute("#face", "src")
    page.click("#set-to")
    page.wait_for_function("() => document.querySelector('#morph-now').src")
    assert visitor.shown("#morph-from, #morph-to") == [plain, there]
    page.focus("#way")
    page.keyboard.press("Home")
    assert visitor.shown("#morph-now") == [plain]
    page.keyboard.press("End")
    assert visitor.shown("#morph-now") == [there]

    other = visit()  # the address is all that another visitor needs
    other.page.goto(page.url)
    other.page.wait_for_function("() => document.querySelector('#morph-now').src")
    assert other.shown("#morph-from, #morph-now, #morph-to") == [plain, there, there]
    page.click("#swap")
    page.wait_for_function("there => document.querySelector('#morph-from').src === there", arg=there)
    page.click("#clear-morph")
    page.click("#close-face")
    assert page.is_hidden("#face-panel") and "face" not in visitor.query()
    assert other.shown("#morph-from, #morph-to") == [plain, there], "one visitor does not disturb the other"


def test_a_film_is_made_shown_and_saved(visit):
    visitor = visit(PHONE)
    page = visitor.open(model="tiny", count=2)
    page.select_option("#film-kind", "webp")
    page.fill("#film-faces", "2")
    page.fill("#film-steps", "3")
    assert "6 frames" in page.inner_text("#film-what")
    page.click("text=Make the film")
    page.wait_for_function("() => document.querySelector('#film-shown img')?.naturalWidth === 256")
    with page.expect_download() as saved:
        page.click("text=Download the film")
    assert Image.open(io.BytesIO(saved.value.path().read_bytes())).n_frames == 6


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_pages_fit_and_every_control_has_a_name(visit, size):
    visitor = visit(size)
    page = visitor.open(model="tiny", count=4, face="0.1")
    page.wait_for_selector("#around button")
    page.wait_for_selector("#sliders input")
    for name in ("Make", "Pictures", "Evaluate", "Train"):
        page.click(f"nav >> text={name}")
        page.wait_for_selector(f"section#{name.lower()}:not([hidden])")
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('input, select, button, a, img, progress, video')].filter((e) =>
                e.checkVisibility() && e.tagName !== 'IMG' && !(e.labels?.length || e.ariaLabel || e.textContent.trim())
            ).map((e) => e.outerHTML.slice(0, 80))"""
        )
        assert not nameless
        assert page.get_attribute("nav [aria-current]", "data-page") == name.lower()


def test_measuring_shows_a_table(visit):
    visitor = visit()
    page = visitor.open(page="evaluate", model="tiny")
    page.select_option("#evaluate-data", "avatars")
    page.fill("#evaluate-count", "50")
    page.click("text=Measure")
    page.wait_for_selector("#evaluate-shown table", timeout=120_000)  # it calculates for seconds
    assert "hair as asked" in page.inner_text("#evaluate-shown tbody")
    assert page.locator("text=Open the whole page").get_attribute("href").endswith("evaluation.html")


def test_measuring_waits_for_pictures_where_the_models_own_are_not_here(visit):
    page = visit().open(page="evaluate", model="kao")
    page.wait_for_selector("text=The pictures that kao was trained on")
    assert "do not come with it" in page.inner_text("#evaluate-set") and page.input_value("#evaluate-data") == ""
    page.click("text=Measure")
    assert page.evaluate("!document.querySelector('#evaluate-data').validity.valid"), "nothing is measured"
    page.select_option("#evaluate-data", "avatars")
    assert page.is_hidden("#evaluate-set")
    page.select_option("#evaluate-model", "tiny")
    page.wait_for_selector("text=The pictures that tiny was trained on (faces) are not in the studio's folders")
    assert page.input_value("#evaluate-data") == ""


def test_a_training_is_started_watched_and_stopped(visit, home):
    visitor = visit()
    page = visitor.open(page="train", model="tiny")
    page.wait_for_selector("#start")
    page.select_option("#train-data", "avatars")
    for name, value in {"name": "first", "images": "1000000", "image_size": "16", "batch_size": "8"}.items():
        page.fill(f"#train-{name}", value)
    page.click("#start")
    page.wait_for_function("() => document.querySelector('#run-grid').naturalWidth > 0", timeout=90_000)
    page.wait_for_selector("#stop:enabled")
    page.click("#stop")
    page.wait_for_selector("#resume:enabled", timeout=60_000)
    page.wait_for_selector("#curves svg")
    assert "stopped" in page.inner_text("#run-state") and visitor.query()["run"] == "runs/first"
    assert list((home / "runs/first/checkpoints").glob("*.safetensors"))
    page.click("#to-make")
    page.wait_for_selector("#grid button")
    assert page.input_value("#model") == "runs/first"


def test_what_is_wrong_with_a_run_is_shown(browser, tmp_path):
    run = make_run(tmp_path / "run", 2)
    stats = (run / "stats.jsonl").read_text().splitlines()[0]
    (run / "stats.jsonl").write_text(stats[:-1] + ', "warning_text": "the set has 24 pictures"}\n')
    make_run(tmp_path / "well", 2)
    served = Served(tmp_path)
    visitor = Visitor(browser, served.address, PHONE)
    try:
        page = visitor.open(page="train", run="run")
        page.wait_for_selector("#run-warning:not([hidden])")
        assert page.inner_text("#run-warning") == "the set has 24 pictures" and violations(page) == []
        page.select_option("#run", "well")
        page.wait_for_selector("#run-warning", state="hidden")
    finally:
        visitor.close()
        served.close()


def test_a_face_is_upscaled(visit):
    pytest.importorskip("kaogan.aux_models.upscaler", reason="this kaogan has no upscaler")
    visitor = visit()
    page = visitor.open(model="tiny", count=2, face="0.1")
    page.wait_for_function("() => document.querySelector('#face').naturalWidth === 64")
    assert page.input_value("#scale") == "4" and "scale=4" in page.get_attribute("#save-face", "href")
    page.select_option("#scale", "1")
    page.wait_for_function("() => document.querySelector('#face').naturalWidth === 16")
    assert visitor.query()["scale"] == "1"
    page.select_option("#grid-scale", "2")
    page.wait_for_function("() => [...document.querySelectorAll('#grid img')].every((e) => e.naturalWidth === 32)")


def test_an_empty_folder_opens_on_the_shipped_model(browser, tmp_path):
    served = Served(tmp_path)
    visitor = Visitor(browser, served.address, WIDE)
    try:
        page = visitor.open(count=2)
        visitor.wait_shown("#grid img", load("kao").sample(2))
        assert page.input_value("#model") == "kao" and page.is_enabled("#model")
        assert page.get_attribute("#model optgroup", "label") == "comes with kaogan"
    finally:
        visitor.close()
        served.close()


def test_a_filter_is_switched_off_and_on(browser, tmp_path):
    model = filtered()
    model.save(tmp_path / "m", preview=np.zeros((8, 8, 3), np.uint8))
    served = Served(tmp_path)
    visitor = Visitor(browser, served.address, WIDE)
    try:
        page = visitor.open(model="m", count=6)
        visitor.wait_shown("#grid img", model.sample(6))
        page.get_by_role("checkbox", name="Only the best 80 % of the faces").uncheck()
        visitor.wait_shown("#grid img", model.sample(6, keep=1))
        assert visitor.query()["keep"] == "1"
        page.get_by_role("checkbox", name="Only the best 80 % of the faces").check()
        visitor.wait_shown("#grid img", model.sample(6))
    finally:
        visitor.close()
        served.close()


def test_a_folder_becomes_a_set_to_train_on(browser, tmp_path):
    """Pictures are uploaded and prepared, and the page of trainings opens on them."""
    drawn = tmp_path / "drawn"
    write_set(drawn, 24, 64)
    served = Served(tmp_path)
    visitor = Visitor(browser, served.address, WIDE)
    try:
        page = visitor.open(page="pictures")
        page.fill("#set-name", "mine")
        page.select_option("#set-crop", "none")
        page.set_input_files("#pictures-files", [*sorted(drawn.rglob("*.png"))[:12], tmp_path / "drawn/labels.csv"])
        page.wait_for_selector("text=12 files in mine; 1 others were left out")
        page.click("#prepare")
        page.wait_for_selector("#prepared:not([hidden]) >> text=Train on them", timeout=60_000)
        kept = page.inner_text("#prepared p").split()[0]
        with page.expect_popup() as report:
            page.click("text=Open the report")
        report.value.wait_for_selector("h1:has-text('mine')")
        assert f"{kept} pictures" in report.value.inner_text(".lead")
        page.click("text=Train on them")
        page.wait_for_function("() => document.querySelector('#train-data').value === 'sets/mine'")
        assert page.input_value("#recipe") == "kao", "not the one for drawn avatars"
        assert len(list((tmp_path / "pictures/mine").iterdir())) == 12
    finally:
        visitor.close()
        served.close()


def test_a_picture_becomes_a_face_that_is_changed_and_remembered(visit, home, tmp_path):
    given = tmp_path / "given.png"
    Image.fromarray(load(home / "tiny").sample(1, seed=9)[0]).save(given)
    visitor = visit()
    page = visitor.open(model="tiny", count=2)
    page.wait_for_selector("#grid img")  # before that nobody listens
    page.set_input_files("#find-file", given)
    page.click("#find-shown >> text=Change it", timeout=90_000)
    page.wait_for_selector("text=Your face")
    assert visitor.query()["face"].startswith("u")
    page.wait_for_selector("#sliders img")
    page.wait_for_selector("#history button")
    there = page.get_attribute("#face", "src")
    page.click("#close-face")
    page.click("#history button")
    page.wait_for_function("there => document.querySelector('#face').src === there", arg=there)
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--hue')") != "350"
    assert page.is_visible("#find-shown")
    page.evaluate("() => { history.pushState(null, '', '?model=deep/styled'); dispatchEvent(new Event('popstate')); }")
    assert page.is_hidden("#find-shown"), "of another model the same latent is another face"


@pytest.mark.timeout(300)  # a trace is a long calculation where many share a core
def test_a_model_becomes_a_page(visit):
    visitor = visit()
    page = visitor.open(model="tiny", count=2)
    page.click("#share")
    with page.expect_download(timeout=240_000) as saved:
        page.click("text=Download tiny.html", timeout=240_000)
    assert saved.value.path().read_bytes().startswith(b"<!doctype html>")
