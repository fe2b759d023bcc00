"""Writes weights for a reference model that has none: seeded, perturbed, BatchNorm calibrated on the sample inputs.

Runs as `python -m porter.sample_weights`, a process of its own, as what it imports is the user's code.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from porter.diagnostics import InputError
from porter.parity.samples import draw_all, parse_spec, perturb


def write_sample_weights(spec: str, inputs: Sequence[str], path: str, seed: int) -> int:
    """Saves the state dict of MODULE:EXPR to `path`; returns the number of its entries."""
    import torch

    from porter.parity.sides import build

    torch.manual_seed(seed)
    module = build(spec)
    if not isinstance(module, torch.nn.Module):
        raise InputError(f"{spec} is a {type(module).__name__}, not a torch.nn.Module")
    arrays = draw_all([parse_spec(text) for text in inputs], seed)
    perturb(module, seed, [torch.from_numpy(a) for a in arrays])
    state = module.state_dict()
    torch.save(state, path)
    return len(state)


def main() -> int:
    """Carries out the job on stdin; errors are one JSON line on stdout."""
    job = json.load(sys.stdin)
    sys.path[:0] = job["paths"]
    try:
        count = write_sample_weights(job["spec"], job["inputs"], job["path"], job["seed"])
    except Exception as error:
        text = (
            Exception.__str__(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        )
        print(json.dumps({"error": " ".join(text.split())[:300]}))
        return 2
    print(json.dumps({"entries": count}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
