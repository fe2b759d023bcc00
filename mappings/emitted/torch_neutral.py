"""What PyTorch's own machinery (TorchScript, hub, checks) becomes in plain Python."""

import contextlib
import hashlib
import os
import re
import urllib.parse
import urllib.request

import mindspore
from mindspore import ops

HASH_REGEX = re.compile(r'-([a-f0-9]*)\.')


def torch_check(cond, message=None):
    """torch._check."""
    assert cond, 'Expected cond to be True' if message is None else message()


def enable_grad():
    """torch.enable_grad: MindSpore has nothing to switch."""
    return contextlib.nullcontext()


def checkpoint_sequential(functions, input):
    """torch.utils.checkpoint.checkpoint_sequential, without recomputing."""
    for function in functions:
        input = function(input)
    return input


def torch_home():
    """torch.hub._get_torch_home."""
    cache = os.getenv('XDG_CACHE_HOME', '~/.cache')
    return os.path.expanduser(os.getenv('TORCH_HOME', os.path.join(cache, 'torch')))


def hub_dir():
    """torch.hub.get_dir."""
    return os.path.join(torch_home(), 'hub')


def download_url_to_file(url, dst, hash_prefix=None, progress=True):
    """torch.hub.download_url_to_file: the file appears only once it is whole and its SHA-256 has the prefix."""
    partial = f'{dst}.partial'
    urllib.request.urlretrieve(url, partial)
    with open(partial, 'rb') as file:
        digest = hashlib.file_digest(file, 'sha256').hexdigest()
    if hash_prefix and not digest.startswith(hash_prefix):
        os.remove(partial)
        raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{digest}")')
    os.replace(partial, dst)


def urlparse(url, scheme='', allow_fragments=True):
    """torch.hub.urlparse."""
    return urllib.parse.urlparse(url, scheme, allow_fragments)


def hash_search(string, pos=0, endpos=9223372036854775807):
    """torch.hub.HASH_REGEX.search."""
    return HASH_REGEX.search(string, pos, endpos)


@ops.constexpr
def cuda_is_available():
    """torch.cuda.is_available, answered when a graph is compiled."""
    return mindspore.get_context('device_target') == 'GPU'
