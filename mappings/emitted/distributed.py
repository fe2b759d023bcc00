"""Data-parallel runs: torch.distributed over mindspore.communication, one process for each device."""

import contextlib
import os

import mindspore
from mindspore import Tensor, nn, ops
from mindspore.communication import get_group_size, get_rank, init


def init_process_group(
    backend=None, init_method=None, timeout=None, world_size=-1, rank=-1, store=None, group_name="", pg_options=None,
    device_id=None,
):  # fmt: skip
    """torch.distributed.init_process_group: joins the processes that msrun started."""
    init()
    mindspore.set_auto_parallel_context(
        parallel_mode=mindspore.ParallelMode.DATA_PARALLEL, gradients_mean=True, device_num=get_group_size()
    )


def spawn(fn, args=(), nprocs=1, join=True, daemon=False, start_method="spawn"):
    """torch.multiprocessing.spawn: msrun has started the processes, and this is one of them. Raises RuntimeError where it has not."""
    started = int(os.environ.get("MS_WORKER_NUM", 1))
    if nprocs > started or started % max(nprocs, 1):
        raise RuntimeError(f"start the script with msrun --worker_num={nprocs} --local_worker_num={nprocs}; {started} processes run it")
    if nprocs > 0:
        fn(int(os.environ.get("RANK_ID", 0)) % nprocs, *args)


def is_initialized():
    """torch.distributed.is_initialized."""
    try:
        return get_group_size() > 0
    except RuntimeError:
        return False


def distributed_rank(group=None):
    """torch.distributed.get_rank: 0 in a run of one process that joined no group."""
    return get_rank()


def all_reduce(tensor, op="sum"):
    """torch.distributed.all_reduce; the result is returned, since a tensor does not change in place."""
    total = ops.AllReduce("sum" if op == "mean" else op)(tensor)
    return total / get_group_size() if op == "mean" else total


def all_gather(tensor):
    """torch.distributed.all_gather: the tensors of all processes, in the order of their ranks."""
    whole = ops.AllGather()(tensor.expand_dims(0))
    return [whole[i] for i in range(get_group_size())]


def broadcast(tensor, src):
    """torch.distributed.broadcast; the result is returned, since a tensor does not change in place."""
    return ops.Broadcast(src)((tensor,))[0]


def barrier(group=None, async_op=False, device_ids=None, timeout=None):
    """torch.distributed.barrier: an all-reduce of one number, which every device has."""
    ops.AllReduce()(Tensor([1.0], mindspore.float32)).asnumpy()


class DistributedDataParallel(nn.Cell):
    """torch.nn.parallel.DistributedDataParallel: the same network in every process, gradients averaged over them.

    Parameters start as those of process 0, and so do buffers in every step of training, unless `broadcast_buffers` is
    false. The average is taken where the gradients are used: see `reduce_gradients`.
    """

    def __init__(self, module, device_ids=None, output_device=None, dim=0, broadcast_buffers=True, find_unused_parameters=False,
                 gradient_as_bucket_view=False, static_graph=False):  # fmt: skip
        super().__init__(auto_prefix=False)
        self.module = module
        self.several = get_group_size() > 1
        if self.several:
            for parameter in module.get_parameters():
                parameter.set_data(ops.Broadcast(0)((Tensor(parameter.asnumpy()),))[0])
        buffers = [p for p in module.get_parameters() if not p.requires_grad]
        self.shared = buffers if self.several and broadcast_buffers else []

    def construct(self, *args, **kwargs):
        if self.training:
            for buffer in self.shared:
                ops.assign(buffer, ops.Broadcast(0)((buffer,))[0])
        return self.module(*args, **kwargs)

    def no_sync(self):
        """Nothing to hold back: gradients that are added up before they are averaged have the same average."""
        return contextlib.nullcontext()


def reduce_gradients(gradients):
    """Gradients averaged over all processes of a data-parallel run; of a single process, as they are."""
    if mindspore.get_auto_parallel_context("parallel_mode") != mindspore.ParallelMode.DATA_PARALLEL or get_group_size() == 1:
        return gradients
    reduce = ops.AllReduce()
    return tuple(reduce(g) / get_group_size() for g in gradients)


class DataParallel(nn.Cell):
    """torch.nn.DataParallel: one process has one device in MindSpore, so the network runs as it is."""

    def __init__(self, module, device_ids=None, output_device=None, dim=0):
        super().__init__(auto_prefix=False)
        self.module = module

    def construct(self, *args, **kwargs):
        return self.module(*args, **kwargs)


def set_device(device):
    """torch.cuda.set_device: names the device of this process where MindSpore runs on a GPU or an Ascend chip."""
    target = mindspore.get_context("device_target")
    index = device if isinstance(device, int) else getattr(device, "index", None)
    if target != "CPU" and index is not None:
        mindspore.set_device(target, index)
