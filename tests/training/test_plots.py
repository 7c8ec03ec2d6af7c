"""The plots and films of a run, opened again and compared."""

from __future__ import annotations

import json
import math

import av
import numpy as np
import pytest
from PIL import Image

from kaogan.core.errors import KaoganError
from kaogan.training import plots

COLOURS = [(200, 40, 40), (40, 180, 60), (50, 60, 210), (230, 200, 40), (20, 20, 20)]


def stats(count=200):
    return [
        {
            "clock": 1000 * (i + 1),
            "loss_d": 1.2 - i / 400,
            "loss_g": 1 + i / 200,
            "real_score": 0.7,
            "fake_score": 0.3,
            "attributes_d/hair": 2.4 * math.exp(-i / 90),
            "attributes_g/hair": 2.4 * math.exp(-i / 150),
        }
        for i in range(count)
    ]


def lines(axes):
    """The labelled lines: {label: (x, y)}."""
    return {line.get_label(): line.get_xydata().T for line in axes.lines if not line.get_label().startswith("_")}


@pytest.fixture
def frames(tmp_path):
    return save_frames(tmp_path, COLOURS)


def save_frames(folder, colours, size=(121, 61)):
    paths = []
    for number, colour in enumerate(colours):
        paths.append(folder / f"{number:09}.png")
        Image.new("RGB", size, colour).save(paths[-1])
    return paths


def test_broken_lines_are_left_out(tmp_path):
    path = tmp_path / "stats.jsonl"
    path.write_text('{"clock": 1, "loss_d": 2}\n\n[3]\n{"loss_d": 1}\n{"clock": 5, "loss_d": NaN}\n{"clock": 6, "los')
    assert [entry["clock"] for entry in plots.read_stats(path)] == [1, 5]
    with pytest.raises(KaoganError, match="nothing"):
        plots.read_stats(tmp_path / "nothing.jsonl")


def test_a_series_has_finite_numbers_only():
    entries = [
        {"clock": 1, "a": 2.0},
        {"clock": 2, "a": math.nan},
        {"clock": 3},
        {"clock": 4, "a": None},
        {"clock": 5, "a": 7},
    ]
    clocks, values = plots.series(entries, "a")
    assert clocks.tolist() == [1, 5] and values.tolist() == [2, 7]


def test_smoothing_keeps_constants_and_lines_and_drops_a_spike():
    np.testing.assert_allclose(plots.smooth(np.full(300, 3.0)), 3)
    line = np.arange(300.0)
    np.testing.assert_allclose(plots.smooth(line)[50:250], line[50:250])
    noise = np.random.default_rng(0).normal(0, 1, 400)
    assert plots.smooth(noise).std() < 0.35
    spike = np.zeros(300)
    spike[100] = 1e5
    assert plots.smooth(spike).max() == 0
    assert plots.smooth(np.array([4.0])).tolist() == [4]


@pytest.mark.parametrize("count", [0, 1, 2, 200])
def test_the_loss_plot_is_drawn_whatever_the_number_of_points(tmp_path, count):
    path = plots.loss_plot(stats(count), tmp_path / "loss.png", "acgan: $100 and _more_")
    with Image.open(path) as picture:
        assert picture.size == (1200, 700) and picture.format == "PNG"
    losses, scores = plots.loss_figure(stats(count), "title").axes
    assert len(lines(losses)) == len(lines(scores)) == (2 if count else 0)
    if count:
        x, y = lines(losses)["generator"]
        assert x[-1] == 1000 * count and y[-1] == pytest.approx(1 + (count - 1) / 200, abs=0.05)


def test_one_spike_does_not_flatten_the_losses():
    entries = stats()
    entries[100]["loss_g"] = 1e5
    losses, _ = plots.loss_figure(entries, "title").axes
    assert losses.get_ylim()[1] < 5


def test_attribute_losses_are_drawn_only_if_there_are_any(tmp_path):
    path = tmp_path / "attributes.png"
    assert not plots.attribute_plot([{"clock": 1, "loss_d": 1.0}], path, "title") and not path.exists()
    assert plots.attribute_plot(stats(), path, "title") and path.exists()
    figure = plots.attribute_figure([*stats(), {"clock": 300_000, "attributes_d/hair": 0.0}], "title")
    (axes,) = figure.axes
    assert set(lines(axes)) == {"hair, real pictures", "hair, generated pictures"}
    assert axes.get_yscale() == "log" and all((y > 0).all() for _, y in lines(axes).values())


def test_a_film_shows_every_grid_in_its_colours(tmp_path, frames):
    gif, mp4 = tmp_path / "f.gif", tmp_path / "f.mp4"
    assert plots.film(frames, gif, mp4, fps=8, hold=1.5) is None
    with Image.open(gif) as film:
        assert film.n_frames == 5 and film.size == (121, 61) and film.info["loop"] == 0
        durations = []
        for number, colour in enumerate(COLOURS):
            film.seek(number)
            durations.append(film.info["duration"])
            assert np.abs(np.asarray(film.convert("RGB")) - np.array(colour)).max() <= 2
    assert durations == [120, 130, 130, 120, 1500], "8 a second, in hundredths"
    with av.open(str(mp4)) as container:
        stream = container.streams.video[0]
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 8
    assert len(decoded) == 4 + 12 and decoded[0].shape == (62, 122, 3)
    for picture, colour in zip(decoded, COLOURS, strict=False):
        assert np.abs(picture.astype(int) - np.array(colour)).mean() < 6
    assert sorted(p.name for p in tmp_path.iterdir() if "partial" in p.name) == []


def test_a_detailed_grid_survives_both_films(tmp_path):
    """Smooth colour across the frame: a poor palette or a swapped channel shows at once."""
    y, x = np.mgrid[0:120, 0:160]
    picture = np.stack([x * 255 / 159, y * 255 / 119, 255 - x * 255 / 159], -1).astype(np.uint8)
    path = tmp_path / "0.png"
    Image.fromarray(picture).save(path)
    assert plots.film([path], tmp_path / "f.gif", tmp_path / "f.mp4") is None
    with Image.open(tmp_path / "f.gif") as film:
        assert np.abs(np.asarray(film.convert("RGB")).astype(int) - picture).mean() < 8
    with av.open(str(tmp_path / "f.mp4")) as container:
        decoded = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(decoded.astype(int) - picture).mean() < 4


def test_long_runs_are_thinned_and_wide_grids_scaled(tmp_path):
    frames = save_frames(tmp_path, [(i, 0, 255 - i) for i in range(0, 250, 5)], size=(1000, 100))
    assert plots.film(frames, tmp_path / "f.gif", None, limit=7) is None
    with Image.open(tmp_path / "f.gif") as film:
        assert film.n_frames == 7 and film.size == (800, 80)
        assert film.convert("RGB").getpixel((5, 5)) == (0, 0, 255)
        film.seek(6)
        assert film.convert("RGB").getpixel((5, 5)) == (245, 0, 10)
    assert not (tmp_path / "f.mp4").exists()
    items = list(range(50))
    assert plots.thin(items, 1) == [49] and plots.thin(items, 2) == [0, 49] and plots.thin(items, 99) == items
    steps = np.diff(plots.thin(items, 7))
    assert steps.max() - steps.min() <= 1


def test_broken_and_foreign_frames_are_left_out(tmp_path, frames):
    frames[1].write_bytes(frames[1].read_bytes()[:60])
    Image.new("RGB", (50, 50)).save(frames[2])
    assert plots.film([*frames, tmp_path / "absent.png"], tmp_path / "f.gif", None) is None
    with Image.open(tmp_path / "f.gif") as film:
        assert film.n_frames == 3
    assert "no grid" in plots.film([tmp_path / "absent.png"], tmp_path / "g.gif", None)


def test_without_a_codec_there_is_a_note_and_a_gif(tmp_path, frames, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", frozenset())
    note = plots.film(frames, tmp_path / "f.gif", tmp_path / "f.mp4")
    assert "no f.mp4" in note and "H.264" in note
    assert (tmp_path / "f.gif").exists() and not (tmp_path / "f.mp4").exists()


def test_the_stats_file_and_the_plot_agree(tmp_path):
    path = tmp_path / "stats.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in stats(3)))
    losses, _ = plots.loss_figure(plots.read_stats(path), "title").axes
    np.testing.assert_allclose(lines(losses)["discriminator"][1], [entry["loss_d"] for entry in stats(3)])
