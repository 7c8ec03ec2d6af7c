"""The page in a real browser: what a visitor does with it, and that nothing but its own server is asked."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from kaogan.aux_models.upscaler import load_upscaler
from kaogan.core.rng import draw_latents, torch_generator
from kaogan.core.schema import Schema
from kaogan.generate.latent_filter import LatentFilter
from kaogan.generate.model import Model
from kaogan.share.export import web
from tests.accessibility import violations
from tests.generate.conftest import any_filter, tiny_model
from tests.share.export.conftest import Site

pytestmark = pytest.mark.timeout(300)  # a trace is a long calculation where many share a core

READY = "html[data-backend]"
PICTURE = "() => (({ width, height, data }) => [width, height, Array.from(data)])(kaogan.picture())"


class Visit:
    def __init__(self, browser: Any, url: str, **options: Any):
        self.url, self.asked, self.complaints = url, [], []  # type: ignore[var-annotated]
        self.context = browser.new_context(viewport={"width": 390, "height": 844}, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)

    def open(self, address: str = "") -> None:
        self.page.goto(self.url + address)
        self.page.wait_for_selector(READY, state="attached")
        self.page.get_by_role("radio", name="16 px", exact=True).check()

    def picture(self) -> np.ndarray:
        """The picture on the stage (H, W, 3), once nothing is at work any more."""
        self.page.evaluate("async () => void (await kaogan.settled())")
        width, height, data = self.page.evaluate(PICTURE)
        return np.array(data, np.uint8).reshape(height, width, 4)[..., :3]


@pytest.fixture(scope="module")
def visit(browser: Any, page_folder: Path) -> Iterator[Visit]:
    site = Site(page_folder)
    visit = Visit(browser, site.url)
    visit.open()
    yield visit
    visit.context.close()
    site.close()
    assert not visit.complaints
    assert all(url.startswith((site.url, "blob:", "data:")) for url in visit.asked)


def wanted(model: Model, seed: int, number: int = 0, **asked: Any) -> np.ndarray:
    return model.sample(number + 1, seed=seed, **asked)[number].astype(int)


def downloaded(page: Any, first: str = "") -> np.ndarray:
    """The picture that the button saves, at once after the button with the id ``first``."""
    with page.expect_download() as waiting:
        if first:
            page.evaluate(f"() => ['{first}', 'download'].forEach((id) => document.getElementById(id).click())")
        else:
            page.get_by_role("button", name="Download", exact=True).click()
    assert waiting.value.suggested_filename.endswith(".png")
    return np.asarray(Image.open(io.BytesIO(Path(waiting.value.path()).read_bytes())).convert("RGB"))


def test_a_seed_has_pythons_face(visit: Visit, coded: Model) -> None:
    for seed, hair, truncation in ((3, "orange", 1.0), (42, "pink", 0.5)):
        visit.open(f"#seed={seed}&t={truncation}&v.hair={hair}&v.eyes=black")
        visit.page.wait_for_selector(f"#caption:has-text('Seed {seed} ')")
        found = visit.picture()
        right = wanted(coded, seed, truncation=truncation, hair=hair, eyes="black")
        assert np.abs(found - right).max() <= 2
        assert np.abs(found - wanted(coded, seed + 1, hair=hair, eyes="black")).max() > 8  # a test that can fail


def test_latents_are_pythons(visit: Visit) -> None:
    cases = [(128, "normal", 1, 0), (100, "normal", 2**40 + 1, 7), (9, "normal", 5, 2), (33, "uniform", 0, 3)]
    draw = "(cases) => import('./latents.js').then((m) => cases.map((c) => [...m.drawLatents(...c)]))"
    for case, found in zip(cases, visit.page.evaluate(draw, cases), strict=True):
        size, distribution, seed, number = case
        right = draw_latents(1, size, distribution, torch_generator(seed, "sample/latent", number))[0]
        assert np.abs(np.array(found) - right.numpy()).max() < 2e-6, case


def test_latents_of_a_filter_are_pythons(visit: Visit) -> None:
    rng = torch.Generator().manual_seed(0)
    shapes = [(20, 24), (9, 20), (1, 9)]
    layers = [(torch.randn(s, generator=rng).double(), torch.randn(s[0], generator=rng).double()) for s in shapes]
    fresh = LatentFilter(layers, torch.zeros(101))(torch.randn(4000, 24, generator=rng))
    latent_filter = LatentFilter(layers, fresh.quantile(torch.linspace(0, 1, 101).double()))
    model = tiny_model(Schema())
    model.latent_filter = latent_filter
    packed = web._filter(model)["filter"]
    draw = """([filter, cases]) => import('./latents.js').then(
        (m) => cases.map((c) => [...m.filteredLatents(m.unpacked(filter), ...c)]))"""
    cases = [(keep, 24, law, 7, n) for keep in (0.8, 0.333, 0.02, 1) for law in ("normal", "uniform") for n in range(9)]
    for case, found in zip(cases, visit.page.evaluate(draw, [packed, cases]), strict=True):
        keep, size, distribution, seed, number = case
        first = draw_latents(1, size, distribution, torch_generator(seed, "sample/latent", number))
        right = latent_filter.draw(keep, seed, number, distribution) if keep < 1 else first
        assert np.abs(np.array(found) - right[0].numpy()).max() < 2e-6, case


def test_a_filter_can_be_switched_off(browser: Any, page_folder: Path, coded: Model, tmp_path: Path) -> None:
    model = Model(coded.generator, coded.attributes, coded.config, latent_filter=any_filter())
    folder = Path(shutil.copytree(page_folder, tmp_path / "web"))
    about = {**json.loads((folder / "model.json").read_text()), **web._filter(model)}
    about["start"] |= {"keep": 0.8}
    about.pop("checksum")
    (folder / "model.json").write_bytes(web._sealed(about))
    number = next(n for n in range(99) if not torch.equal(model.latents(1, 5, start=n), coded.latents(1, 5, start=n)))
    site = Site(folder)
    visit = Visit(browser, site.url)
    visit.open(f"#seed=5&n={number}&keep=0.8&v.hair=pink&v.eyes=black")
    values = {"hair": "pink", "eyes": "black"}
    kept, raw = wanted(model, 5, number, **values), wanted(coded, 5, number, **values)
    switch = visit.page.get_by_role("checkbox", name="Only the best 80 % of the faces")
    assert np.abs(kept - raw).max() > 8 and switch.is_checked()
    assert np.abs(visit.picture() - kept).max() <= 2
    assert "keep=0.8)" in visit.page.text_content("#python").replace(', hair="pink", eyes="black"', "")
    switch.uncheck()
    assert np.abs(visit.picture() - raw).max() <= 2 and "keep" not in visit.page.url
    switch.check()
    assert np.abs(visit.picture() - kept).max() <= 2 and "keep=0.8" in visit.page.url
    assert not violations(visit.page)
    visit.context.close()
    site.close()
    assert not visit.complaints


def test_the_face_follows_the_pointer(browser: Any, page_folder: Path, coded: Model, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(page_folder, tmp_path / "web"))
    about = json.loads((folder / "model.json").read_text())
    about["follow"] = (2 * torch.eye(coded.latent_size)[:2]).tolist()
    about.pop("checksum")
    (folder / "model.json").write_bytes(web._sealed(about))
    site = Site(folder)
    address = "#seed=5&v.hair=pink&v.eyes=black"
    for motion in ("no-preference", "reduce"):
        visit = Visit(browser, site.url, reduced_motion=motion)
        visit.open(address)
        straight = visit.picture().astype(int)
        switch = visit.page.get_by_role("checkbox", name="The face follows the pointer")
        assert switch.is_checked() == (motion == "no-preference"), "off where motion is to be reduced"
        box = visit.page.locator("#face").bounding_box()
        corner = (box["x"] + box["width"] - 1, box["y"] + 1)
        visit.page.mouse.move(*corner)
        if motion == "reduce":
            assert (visit.picture() == straight).all()
            switch.check()
            visit.page.mouse.move(corner[0] - 1, corner[1])
        # Right and up by a whole step each, with the length kept.
        latents = coded.latents(1, 5)
        moved = latents + torch.tensor(about["follow"]).sum(0)
        moved *= latents.norm() / moved.norm()
        right = coded.generate(moved, coded.conditions(1, 5, hair="pink", eyes="black"))[0].astype(int)
        visit.page.wait_for_function(
            "() => kaogan.looking()[0] > 0.95 && kaogan.looking()[1] > 0.95 && !kaogan.settled()"
        )
        assert np.abs(right - straight).max() > 8 and np.abs(visit.picture() - right).max() <= 6
        switch.uncheck()
        visit.page.wait_for_function("() => !kaogan.looking().some(Boolean) && !kaogan.settled()")
        assert np.abs(visit.picture() - straight).max() <= 2
        assert not violations(visit.page) and not visit.complaints
        visit.context.close()
    site.close()


def test_what_a_visitor_does(visit: Visit, coded: Model) -> None:
    page = visit.page
    visit.open("#seed=42&t=0.5&v.hair=pink&v.eyes=black")
    page.wait_for_selector("#caption:has-text('Seed 42 ')")
    page.get_by_role("radio", name="white").first.check()
    page.get_by_role("spinbutton", name="Seed").fill("9")
    page.keyboard.press("Enter")
    white = visit.picture()
    assert np.abs(white - wanted(coded, 9, hair="white", eyes="black", truncation=0.5)).max() <= 2

    # The other way about: another swatch by the keyboard, and back to the same face.
    page.get_by_role("radio", name="white").first.focus()
    page.keyboard.press("ArrowLeft")
    assert np.abs(visit.picture().astype(int) - white).max() > 8
    page.keyboard.press("ArrowRight")
    assert (visit.picture() == white).all()

    slider = page.get_by_role("slider", name="Morph")
    slider.fill("1")
    end = visit.picture()
    slider.fill("0.5")
    middle = visit.picture()
    assert len({each.tobytes() for each in (white, middle, end)}) == 3
    slider.fill("0")
    assert (visit.picture() == white).all()

    page.get_by_role("button", name="New face").click()
    assert not (visit.picture() == white).all()
    page.locator("#history button").nth(1).click()  # the one before
    assert (visit.picture() == white).all()
    assert "seed=9" in page.url

    page.get_by_label("What to draw").select_option("eyes")
    page.get_by_role("button", name="Draw", exact=True).click()
    page.wait_for_selector("#save-grid:enabled")
    tiles = page.locator("#grid button")
    assert tiles.count() == 10
    tiles.nth(9).click()
    assert np.abs(visit.picture() - wanted(coded, 9, hair="white", eyes="blue", truncation=0.5)).max() <= 2


def test_downloads(visit: Visit) -> None:
    shown = visit.picture()

    def download(size: str) -> np.ndarray:
        visit.page.get_by_label("Size of the download").select_option(size)
        return downloaded(visit.page)

    assert (download("original") == shown).all()
    assert download("enlarged").shape == (512, 512, 3)
    twice = download("2")  # by the upscaler of the tests, which repeats pixels and inverts them
    assert np.abs(twice.astype(int) - (255 - shown.repeat(2, 0).repeat(2, 1))).max() <= 1
    visit.page.get_by_label("Size of the download").select_option("original")
    new = downloaded(visit.page, "new")
    assert (new == visit.picture()).all() and (new != shown).any()


def test_a_face_is_enlarged_four_times_unless_another_size_is_chosen(visit: Visit, coded: Model) -> None:
    visit.page.goto(f"{visit.url}#seed=5&v.hair=pink&v.eyes=red")
    visit.page.reload()
    visit.page.wait_for_selector(READY, state="attached")
    visit.page.wait_for_selector("#caption:has-text('Seed 5 ')")
    small = wanted(coded, 5, hair="pink", eyes="red").astype(np.uint8)
    right = load_upscaler("kao-sr", "cpu", "fp32").upscale(small[None], 4)
    assert np.abs(visit.picture().astype(int) - right[0]).max() <= 2
    assert visit.page.locator("#size").input_value() == "4"
    visit.page.locator("#grid button").nth(23).wait_for(state="attached")
    visit.open("#seed=5&v.hair=pink&v.eyes=red")


def test_enlarging(visit: Visit, coded: Model) -> None:
    """On the stage and as a file, what kaogan's own upscaler makes of the face; back to the face itself at the end."""
    shown = visit.picture()
    upscaler = load_upscaler("kao-sr", "cpu", "fp32")
    for scale in (8, 4):
        visit.page.get_by_role("radio", name=f"×{scale}: {16 * scale} px").check()
        right = upscaler.upscale(shown[None], scale)[0].astype(int)
        assert np.abs(visit.picture() - right).max() <= 2 and right.std() > 8
        assert visit.page.locator("#size").input_value() == str(scale)
        assert np.abs(downloaded(visit.page) - right).max() <= 2
    visit.page.get_by_role("slider", name="Morph").fill("0.5")
    assert visit.picture().shape == (64, 64, 3)
    visit.page.get_by_role("slider", name="Morph").fill("0")
    visit.page.get_by_role("radio", name="16 px", exact=True).check()
    assert (visit.picture() == shown).all() and visit.page.locator("#loading").is_hidden()


def test_everything_has_a_name_and_fits_a_phone(visit: Visit) -> None:
    names = visit.page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, canvas[role], progress, a")].filter(
            (e) => e.checkVisibility() && !(e.ariaLabel || e.labels?.length || e.innerText?.trim() ||
                   e.getAttribute("aria-labelledby"))).map((e) => e.outerHTML)"""
    )
    assert names == []
    assert visit.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    assert violations(visit.page) == []


def test_a_single_file_opens_from_a_disk(browser: Any, single_page: Path, coded: Model) -> None:
    """By a double click: no server, and nothing is asked for."""
    visit = Visit(browser, single_page.as_uri())
    visit.context.set_offline(True)
    visit.open("#seed=11&v.hair=orange&v.eyes=red")
    face = visit.picture()
    assert np.abs(face - wanted(coded, 11, hair="orange", eyes="red")).max() <= 2
    visit.page.get_by_role("radio", name="×4: 64 px").check()
    right = load_upscaler("kao-sr", "cpu", "fp32").upscale(face[None], 4)[0].astype(int)
    assert np.abs(visit.picture() - right).max() <= 2
    assert downloaded(visit.page).shape == (64, 64, 3)
    visit.context.close()
    assert not visit.complaints
    assert all(url.startswith((single_page.as_uri(), "blob:", "data:")) for url in visit.asked)


def test_a_single_file_of_a_server_is_the_same(browser: Any, single_page: Path, coded: Model) -> None:
    site = Site(single_page.parent)
    visit = Visit(browser, f"{site.url}{single_page.name}")
    visit.open("#seed=3&v.hair=pink&v.eyes=black")
    assert np.abs(visit.picture() - wanted(coded, 3, hair="pink", eyes="black")).max() <= 2
    visit.context.close()
    site.close()
    assert not visit.complaints and {path.split("?")[0] for path in site.asked} <= {
        f"/{single_page.name}",
        "/favicon.ico",
    }


def test_without_a_network_after_the_first_visit(browser: Any, page_folder: Path, coded: Model) -> None:
    site = Site(page_folder)
    visit = Visit(browser, site.url)
    visit.open("#seed=11&v.hair=orange&v.eyes=red")
    visit.page.evaluate("() => navigator.serviceWorker.ready.then(() => 0)")
    kept = "async () => (await caches.match('upscaler-8.onnx')) && (await caches.match('upscaler-4.onnx')) && true"
    visit.page.wait_for_function(kept)
    site.close()  # no server at all
    visit.context.set_offline(True)
    visit.page.reload()
    visit.page.wait_for_selector(READY, state="attached")
    visit.page.get_by_role("radio", name="16 px", exact=True).check()
    face = visit.picture()
    assert np.abs(face - wanted(coded, 11, hair="orange", eyes="red")).max() <= 2
    visit.page.get_by_role("radio", name="×8: 128 px").check()
    right = load_upscaler("kao-sr", "cpu", "fp32").upscale(face[None], 8)[0].astype(int)
    assert np.abs(visit.picture() - right).max() <= 2
    visit.context.close()
    assert not visit.complaints


@pytest.mark.parametrize("name", ["model.json", "model.onnx"])
def test_a_flipped_bit_is_told_in_the_page(name: str, browser: Any, page_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(page_folder, tmp_path / "web"))
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    site = Site(folder)
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(site.url)
    page.wait_for_selector("#status.bad", state="attached")
    assert f"{name} is damaged" in page.text_content("#status")
    context.close()
    site.close()
