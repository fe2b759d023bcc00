"""Data-parallel training: two processes that msrun starts end with the parameters of one process with twice the batch."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import torch

from mappings.emitted import serialization
from porter.convert import convert_source

SCRIPT = textwrap.dedent('''\
    import os
    import sys

    import numpy as np
    import torch
    import torch.distributed as dist
    import torch.multiprocessing as mp
    import torch.nn.functional as F
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel as DDP
    from torch.utils.data import DataLoader, Dataset, DistributedSampler


    class Points(Dataset):
        def __init__(self, count):
            numbers = np.random.default_rng(7)
            self.x = numbers.normal(size=(count, 6)).astype(np.float32)
            self.y = numbers.integers(0, 3, count)

        def __len__(self):
            return len(self.x)

        def __getitem__(self, index):
            return self.x[index], self.y[index]


    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(6, 16)
            self.fc2 = nn.Linear(16, 3)

        def forward(self, x):
            return self.fc2(torch.tanh(self.fc1(x)))


    def train(output, batch_size):
        distributed = int(os.environ.get("RANK", -1)) != -1
        rank, world_size = 0, 1
        if distributed:
            dist.init_process_group(backend="gloo")
            rank, world_size = int(os.environ["RANK"]), int(os.getenv("WORLD_SIZE", "1"))
            assert (rank, world_size) == (dist.get_rank(), dist.get_world_size())
            assert int(os.environ["LOCAL_RANK"]) == rank
        torch.manual_seed(1 + rank)
        data = Points(48)
        sampler = DistributedSampler(data, shuffle=False) if distributed else None
        loader = DataLoader(data, batch_size=batch_size // world_size, sampler=sampler)
        model = Net()
        network = DDP(model) if distributed else model
        if rank == 0:
            torch.save(model.state_dict(), output + ".start")
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
        network.train()
        for epoch in range(3):
            if distributed:
                sampler.set_epoch(epoch)
            for x, y in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(network(x), y)
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 0.4)
                optimizer.step()
        mean = loss.detach()
        if distributed:
            dist.all_reduce(mean, op=dist.ReduceOp.SUM)
            dist.barrier()
        if rank == 0:
            torch.save({"model": model.state_dict(), "loss": mean.item() / world_size}, output)
        return rank


    def normalize(rank, output):
        norm = nn.BatchNorm1d(6)
        network = DDP(norm)
        network.train()
        x = torch.from_numpy(np.random.default_rng(rank).normal(size=(2, 5, 6)).astype(np.float32))
        network(x[0])
        network(x[1])
        torch.save({"mean": norm.running_mean}, output + f".mean{rank}")


    def run(index, output):
        rank = train(output, 12)
        assert index == rank
        normalize(rank, output)
        dist.destroy_process_group()


    if __name__ == "__main__":
        mp.spawn(run, args=(sys.argv[1],), nprocs=2)
''')


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launch(folder: Path, workers: int, *arguments: str) -> None:
    """Runs a script under msrun on this machine; ends it after three minutes."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [
        sys.executable, "-m", "mindspore.parallel.cluster.run", f"--worker_num={workers}", f"--local_worker_num={workers}",
        "--master_addr=127.0.0.1", f"--master_port={free_port()}", "--join=True", "--cluster_time_out=60",
        f"--log_dir={folder / 'logs'}", "train.py", *arguments,
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        said, _ = process.communicate(timeout=180)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    logs = "\n".join(p.read_text("utf-8", "replace")[-2000:] for p in sorted((folder / "logs").glob("*.log")))
    assert process.returncode == 0, said + logs


def torch_training(start: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], float]:
    """The parameters that torch reaches in one process from the same start, and its last loss."""
    scope: dict[str, object] = {"__name__": "reference"}
    exec(compile(SCRIPT, "train.py", "exec"), scope)
    model, data = scope["Net"](), scope["Points"](48)
    model.load_state_dict({k: torch.from_numpy(v) for k, v in start.items()})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    for _ in range(3):
        for i in range(0, 48, 12):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(torch.from_numpy(data.x[i : i + 12])), torch.from_numpy(data.y[i : i + 12]))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.4)
            optimizer.step()
    return {k: v.numpy() for k, v in model.state_dict().items()}, loss.item()


def test_two_workers_train_as_one_with_twice_the_batch(tmp_path: Path) -> None:
    ported = convert_source(SCRIPT, path="train.py")
    assert not ported.diagnostics, "\n".join(map(str, ported.diagnostics))
    (tmp_path / "train.py").write_text(ported.text, "utf-8")
    (tmp_path / "ms_extras.py").write_text(ported.extras, "utf-8")
    launch(tmp_path, 2, str(tmp_path / "two.ckpt"))
    start = {k: v.asnumpy() for k, v in serialization.load(tmp_path / "two.ckpt.start").items()}
    end = serialization.load(tmp_path / "two.ckpt")
    expected, loss = torch_training(start)
    for name, value in expected.items():
        assert np.abs(end["model"][name].asnumpy() - value).max() <= 1e-6, name
        assert np.abs(value - start[name]).max() > 1e-2, name
    assert abs(end["loss"] - loss) <= 1e-6
    # buffers: each step starts from those of process 0
    batches = [np.random.default_rng(rank).normal(size=(2, 5, 6)).astype(np.float32) for rank in range(2)]
    first = 0.1 * batches[0][0].mean(0)
    for rank in range(2):
        mean = serialization.load(tmp_path / f"two.ckpt.mean{rank}")["mean"].asnumpy()
        assert np.abs(mean - (0.9 * first + 0.1 * batches[rank][1].mean(0))).max() <= 1e-6


def test_processes_that_msrun_did_not_start_are_asked_for(tmp_path: Path) -> None:
    ported = convert_source("import torch.multiprocessing as mp\n\n\ndef run(rank):\n    print('rank', rank)\n\n\nmp.spawn(run, nprocs=2)\n")
    assert not ported.diagnostics
    (tmp_path / "ms_extras.py").write_text(ported.extras, "utf-8")
    (tmp_path / "train.py").write_text(ported.text, "utf-8")
    alone = subprocess.run([sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True)
    assert alone.returncode and "msrun --worker_num=2 --local_worker_num=2" in alone.stderr and "rank" not in alone.stdout
    beside = convert_source("import torch.multiprocessing as mp\n\n\nmp.spawn(print, nprocs=2, join=False)\n")
    assert [d.code for d in beside.diagnostics] == ["MSP201"]


def test_names_of_the_launcher_are_changed_only_where_they_are_read_from_the_environment() -> None:
    source = textwrap.dedent("""\
        import os
        import torch
        import torch.distributed as dist

        settings = {"RANK": 3}
        rank = settings["RANK"]
        print("LOCAL_RANK", settings.get("WORLD_SIZE"))
        local = int(os.environ["LOCAL_RANK"]) if "RANK" in os.environ else int(os.getenv("LOCAL_RANK", 0))
        os.environ["MASTER_ADDR"] = "127.0.0.1"
        each = os.environ["LOCAL_WORLD_SIZE"]
    """)
    ported = convert_source(source)
    assert 'rank = settings["RANK"]\nprint("LOCAL_RANK", settings.get("WORLD_SIZE"))\n' in ported.text
    assert """int(os.environ["DEVICE_ID"]) if "RANK_ID" in os.environ else int(os.getenv("DEVICE_ID", 0))""" in ported.text
    assert 'os.environ["MASTER_ADDR"]' in ported.text
    assert [(d.code, d.location.line) for d in ported.diagnostics] == [("MSP201", 10)]
    alone = 'import os\nimport torch\n\nrank = os.environ["RANK"]\n'
    assert 'os.environ["RANK"]' in convert_source(alone).text
