"""Is attribute accuracy the tagger's own on real pictures, and chance on shuffled labels?

python -m benchmarks.attributes --folder SETS

On the held-out parts of the labelled sets, which the tagger was not trained on. Prints Markdown; needs no network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks import SET_FOLDER
from kaogan.core.rng import numpy_generator
from kaogan.metrics.attribute_accuracy import accuracy
from kaogan.metrics.collect import measure
from kaogan.metrics.features.tagger import load
from kaogan.metrics.stats.estimate import Estimate
from tools.tagger.data import SETS, TAGGED, parted, read_set

SHUFFLES = 200


def main(folder: Annotated[Path, typer.Option(help="Where the sets are.")] = SET_FOLDER) -> None:
    extractor = load("tagger", None, False)
    print("| held-out part | attribute | pictures | tagger's own | as asked | labels shuffled 200 times | chance |")
    print("|---|---|---|---|---|---|---|")
    for name in TAGGED:
        if not (folder / SETS[name][0]).exists():
            print(f"skipped: no {folder / SETS[name][0]}")
            continue
        held_out = parted(read_set(name, folder))["test"]
        seen = measure(extractor, [held_out.images], len(held_out)).seen
        own = extractor.tagger.predict(held_out.images)
        for attribute, values in extractor.tagger.values.items():
            labels = held_out.labels[attribute]
            known = labels >= 0
            right = (own.best(attribute)[0] == labels)[known].mean()
            overall = accuracy(labels, seen[attribute], values)
            random = numpy_generator(0, f"attributes/{attribute}")
            shuffled = [
                accuracy(random.permutation(labels), seen[attribute], values).accuracy.value for _ in range(SHUFFLES)
            ]
            by_chance = Estimate(float(np.mean(shuffled)), *np.quantile(shuffled, (0.025, 0.975)))
            chance = sum(overall.confusion.sum(1) * overall.confusion.sum(0)) / overall.confusion.sum() ** 2
            count = int(np.count_nonzero(known))
            print(
                f"| {name} | {attribute} | {count:,} | {100 * right:.1f} % | {percent(overall.accuracy)} | "
                f"{percent(by_chance)} | {100 * chance:.1f} % |"
            )


def percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f} % ({100 * estimate.low:.1f} … {100 * estimate.high:.1f})"


if __name__ == "__main__":
    typer.run(main)
