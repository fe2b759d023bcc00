"""torch.utils.tensorboard's writer over mindspore.SummaryRecord, whose files MindInsight reads."""

import os
import socket
import time
import warnings

import mindspore
import numpy as np
from mindspore import Tensor


class SummaryWriter:
    """torch.utils.tensorboard.SummaryWriter: values by tag and step; MindSpore keeps one writer open at a time."""

    def __init__(self, log_dir=None, comment="", purge_step=None, max_queue=10, flush_secs=120, filename_suffix=""):
        if log_dir is None:
            log_dir = os.path.join("runs", time.strftime("%b%d_%H-%M-%S_") + socket.gethostname() + comment)
        self.log_dir = str(log_dir)
        self._suffix = filename_suffix or "_MS"
        os.makedirs(self.log_dir, exist_ok=True)
        self._record = mindspore.SummaryRecord(self.log_dir, file_suffix=self._suffix)

    def get_logdir(self):
        return self.log_dir

    def add_scalar(self, tag, scalar_value, global_step=None, walltime=None, new_style=False, double_precision=False):
        self._add("scalar", tag, np.float32(np.asarray(_array(scalar_value)).reshape(())), global_step)

    def add_scalars(self, main_tag, tag_scalar_dict, global_step=None, walltime=None):
        for name, value in tag_scalar_dict.items():
            self.add_scalar(f"{main_tag}/{name}", value, global_step)

    def add_histogram(self, tag, values, global_step=None, bins="tensorflow", walltime=None, max_bins=None):
        self._add("histogram", tag, _array(values).astype(np.float32), global_step)

    def add_image(self, tag, img_tensor, global_step=None, walltime=None, dataformats="CHW"):
        self.add_images(tag, _array(img_tensor)[None], global_step, walltime, "N" + dataformats)

    def add_images(self, tag, img_tensor, global_step=None, walltime=None, dataformats="NCHW"):
        array = _array(img_tensor)
        if "C" not in dataformats:
            array, dataformats = array[..., None], dataformats + "C"
        array = array.transpose([dataformats.index(axis) for axis in "NCHW"])
        scale = 255.0 if array.dtype == np.uint8 else 1.0
        self._add("image", tag, array.astype(np.float32) / scale, global_step)

    def add_text(self, tag, text_string, global_step=None, walltime=None):
        """MindSpore's records hold no text: it goes into a file beside them."""
        with open(os.path.join(self.log_dir, "text.md"), "a", encoding="utf-8") as file:
            file.write(f"## {tag} {'' if global_step is None else global_step}\n\n{text_string}\n\n")

    def add_hparams(self, hparam_dict, metric_dict, hparam_domain_discrete=None, run_name=None, global_step=None):
        self.add_text("hparams", "\n".join(f"- {name}: {value}" for name, value in hparam_dict.items()), global_step)
        for name, value in metric_dict.items():
            self.add_scalar(name, value, global_step)

    def add_graph(self, model, input_to_model=None, verbose=False, use_strict_trace=True):
        warnings.warn("the graph is not written: mindspore.SummaryCollector writes graphs as it trains", stacklevel=2)

    def flush(self):
        self._record.flush()

    def close(self):
        self._record.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def _add(self, plugin, tag, value, step):
        self._record.add_value(plugin, tag, Tensor(value))
        self._record.record(int(step or 0))


def _array(value):
    return value.asnumpy() if isinstance(value, Tensor) else np.asarray(value)
