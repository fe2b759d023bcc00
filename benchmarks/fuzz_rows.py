"""Runs random calls of every proven row of the table on both frameworks, and tells what became of them.

    python benchmarks/fuzz_rows.py [ROW ...] [--calls 100] [--seed 0] [--jobs 1] [--mode graph] [--log FILE] [--again] [--record]

The calls are drawn from each row's signature and examples (shapes, dtypes, axes, flags); those that torch takes are
ported and run in PYNATIVE mode, or as a compiled Cell with `--mode graph`. What becomes of them:

equal        the values are torch's
refused      a guard of the row
limited      loud: a limit that the row states
stated       another value, where a limit of the row says so
no kernel    loud: MindSpore's CPU kernel does not take the dtype
no elements  loud: MindSpore's CPU kernel does not take, or make, a tensor without elements
raised       loud, and no guard
wrong        another value
empty        another value where a tensor has no elements

Gradients are compared for ten of the equal calls of each row whose examples differentiate.

A row that the log holds for the mode is not run again unless --again is given, so a run that was broken off goes on; a kernel that
crashes or hangs costs its call. --record writes the counts of the log into mappings/proofs.json. Exit status 1 where a
value is wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from porter.parity.command import select  # noqa: E402
from porter.parity.pool import Job, prove_rows  # noqa: E402
from porter.parity.proofs import RowResult, keyed_rows, proofs_file, read_proofs  # noqa: E402
from porter.table import load_table  # noqa: E402

Entry = Mapping[str, Any]


def main() -> int:
    options = _options()
    options.log.parent.mkdir(parents=True, exist_ok=True)
    known = keyed_rows(load_table())
    proven = [key for key, proof in read_proofs().items() if proof.state == "proven" and key in known]
    keys = select(options.rows, list(known)) if options.rows else proven
    mode = "GRAPH" if options.mode == "graph" else "PYNATIVE"
    done = read_log(options.log, options.calls, options.seed, mode)
    left = keys if options.again else [key for key in keys if key not in done]
    job = Job(mutants=False, fuzz=options.calls, seed=options.seed, mode=mode, examples=False)
    with options.log.open("a", encoding="utf-8") as log:
        for number, result in enumerate(prove_rows(left, job, options.jobs), start=1):
            entry = entry_of(result, options.calls, options.seed, mode)
            done[result.key] = entry
            log.write(json.dumps(entry, ensure_ascii=False) + "\n")
            log.flush()
            print(f"{number}/{len(left)} {result.key} {result.seconds:.1f} s {entry['counts']}", file=sys.stderr)
    if options.record:
        record(done)
    chosen = [done[key] for key in keys if key in done]
    print(summary(chosen, verbose=bool(options.rows)))
    return 1 if any(entry["counts"].get("wrong") for entry in chosen) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help="names, or parts of names with *; all proven rows")
    parser.add_argument("--calls", type=int, default=100, help="of each row")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--mode", choices=("pynative", "graph"), default="pynative")
    parser.add_argument("--log", type=Path, default=ROOT / "build" / "fuzz_rows.jsonl")
    parser.add_argument("--again", action="store_true", help="run rows that the log holds")
    parser.add_argument("--record", action="store_true", help="write the counts into mappings/proofs.json")
    options = parser.parse_args()
    if options.record and options.mode == "graph":
        parser.error("--record writes the counts of PYNATIVE mode")
    return options


def entry_of(result: RowResult, calls: int, seed: int, mode: str) -> dict[str, Any]:
    """A line of the log: the counts of a row, and each call that was not equal."""
    lost = [str(failure) for failure in result.failures if failure.stage not in (mode, "gradient")]
    return {
        "row": result.key,
        "calls": calls,
        "seed": seed,
        "mode": mode,
        "counts": dict(result.proof.fuzz),
        "lost": lost,
        "wrong": [str(f) for f in result.failures] if not lost else [],
        "raised": [str(f) for f in result.raised],
        "stated": [str(f) for f in result.stated],
        "gradients": [str(f) for f in result.gradients],
        "seconds": round(result.seconds, 1),
    }


def read_log(path: Path, calls: int, seed: int, mode: str) -> dict[str, Entry]:
    """The last line of each row that was run with these settings."""
    if not path.exists():
        return {}
    entries = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return {e["row"]: e for e in entries if (e["calls"], e["seed"], e.get("mode", "PYNATIVE")) == (calls, seed, mode)}


def record(done: Mapping[str, Entry]) -> None:
    """Writes the counts beside the proofs of the rows."""
    path = proofs_file()
    content = json.loads(path.read_text("utf-8"))
    lines = path.read_text("utf-8").splitlines()
    for number, line in enumerate(lines):
        key = json.loads(line.partition('": ')[0] + '"') if line.startswith('  "') else ""
        if key in done and key in content["rows"]:
            entry = {**content["rows"][key], "fuzz": done[key]["counts"]}
            comma = "," if line.endswith(",") else ""
            lines[number] = f"  {json.dumps(key)}: {json.dumps(entry, ensure_ascii=False)}{comma}"
    path.write_text("\n".join(lines) + "\n", "utf-8")


def summary(entries: list[Entry], verbose: bool) -> str:
    """The totals; the rows that have something to mend, and for chosen rows each call."""
    counts: Counter[str] = Counter()
    for entry in entries:
        counts.update(entry["counts"])
    lines = []
    for entry in entries:
        if verbose:
            found = [f"  {kind}: {text}" for kind in ("lost", "wrong", "raised", "stated", "gradients") for text in entry.get(kind, ())]
            lines += [f"{entry['row']} {entry['counts']}", *found]
        elif entry["lost"] or entry["wrong"]:
            lines.append(f"{entry['row']}: {(entry['lost'] or entry['wrong'])[0]}")
    values = {outcome: n for outcome, n in counts.most_common() if "gradient" not in outcome}
    gradients = {outcome.partition(" ")[0]: n for outcome, n in counts.most_common() if "gradient" in outcome}
    lines.append(f"{len(entries)} rows, {sum(values.values())} calls: {told(values)}; gradients: {told(gradients)}")
    return "\n".join(lines)


def told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {outcome}" for outcome, number in counts.items()) or "none"


if __name__ == "__main__":
    sys.exit(main())
