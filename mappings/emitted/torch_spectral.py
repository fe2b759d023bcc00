"""Fourier transforms of torch.* that mindspore.ops has not, or with a wrong gradient."""

import mindspore
import numpy as np
from mindspore import Tensor, ops

from mappings.emitted.torch_indexing import roll


def _padded_window(window, win_length, n_fft, dtype):
    """The window, ones where there is none, centred in n_fft points."""
    window = ops.ones((win_length,), dtype) if window is None else window
    left = (n_fft - win_length) // 2
    return window if win_length == n_fft else ops.pad(window, (left, n_fft - win_length - left))


def _frame_index(frames, hop_length, n_fft):
    """For each frame the positions of its samples, shape (frames, n_fft)."""
    return Tensor(np.arange(frames)[:, None] * hop_length + np.arange(n_fft), mindspore.int32)


def stft(input, n_fft, hop_length=None, win_length=None, window=None, center=True, pad_mode='reflect',
         normalized=False, onesided=None, return_complex=None, align_to_window=None):
    """torch.stft: input (time) or (batch, time); gives (batch, frequency, frame), complex or with a last axis of 2."""
    hop_length = n_fft // 4 if hop_length is None else hop_length
    win_length = n_fft if win_length is None else win_length
    signal = input if input.ndim == 2 else input.reshape(1, -1)
    if center:
        signal = ops.pad(signal, (n_fft // 2, n_fft // 2), mode=pad_mode)
    count = 1 + (signal.shape[-1] - n_fft) // hop_length
    frames = ops.gather(signal, _frame_index(count, hop_length, n_fft), 1)
    frames = frames * _padded_window(window, win_length, n_fft, input.dtype)
    transformed = ops.fft(frames, dim=-1) if onesided is False else ops.rfft(frames, dim=-1)
    real = ops.swapaxes(ops.real(transformed), 1, 2)
    imag = ops.swapaxes(ops.imag(transformed), 1, 2)
    if normalized:
        real, imag = real * n_fft**-0.5, imag * n_fft**-0.5
    if input.ndim == 1:
        real, imag = real[0], imag[0]
    return ops.Complex()(real, imag) if return_complex else ops.stack((real, imag), axis=-1)


def istft(input, n_fft, hop_length=None, win_length=None, window=None, center=True, normalized=False, onesided=None,
          length=None, return_complex=False):
    """torch.istft: input (frequency, frame) or (batch, frequency, frame), complex; gives (batch, time)."""
    hop_length = n_fft // 4 if hop_length is None else hop_length
    win_length = n_fft if win_length is None else win_length
    half = n_fft // 2 + 1
    real, imag = ops.real(input)[..., :half, :], ops.imag(input)[..., :half, :]
    if input.ndim == 2:
        real, imag = real.expand_dims(0), imag.expand_dims(0)
    count = real.shape[-1]
    spectrum = ops.Complex()(ops.swapaxes(real, 1, 2), ops.swapaxes(imag, 1, 2))
    frames = ops.irfft(spectrum, n=n_fft, dim=-1)
    if normalized:
        frames = frames * n_fft**0.5
    window = _padded_window(window, win_length, n_fft, frames.dtype)
    total = n_fft + hop_length * (count - 1)
    index = _frame_index(count, hop_length, n_fft).reshape(-1)
    columns = (frames * window).reshape(real.shape[0], -1).swapaxes(0, 1)
    summed = ops.unsorted_segment_sum(columns, index, total).swapaxes(0, 1)
    envelope = ops.unsorted_segment_sum(ops.tile(window * window, (count,)), index, total)
    start = n_fft // 2 if center else 0
    stop = start + length if length is not None else total - start
    signal = summed[:, start:stop] / envelope[start:stop]
    if length is not None and stop > total:
        signal = ops.pad(signal, (0, stop - total))
    return signal[0] if input.ndim == 2 else signal


def _opposite(norm):
    """The normalisation of the inverse transform that scales as this one does."""
    return {'forward': 'backward', 'ortho': 'ortho'}.get(norm, 'forward')


def hfft(input, n=None, dim=-1, norm=None):
    """torch.fft.hfft; mindspore.ops.hfft gives the conjugate on its second call on CPU."""
    return ops.irfft(ops.conj(input), n=n, dim=dim, norm=_opposite(norm))


def ihfft(input, n=None, dim=-1, norm=None):
    """torch.fft.ihfft; mindspore.ops.ihfft gives the conjugate on its second call on CPU."""
    return ops.conj(ops.rfft(input, n=n, dim=dim, norm=_opposite(norm)))


def hfftn(input, s=None, dim=None, norm=None):
    """torch.fft.hfftn and hfft2, by the inverse transform of the conjugate."""
    return ops.irfftn(ops.conj(input), s=s, dim=dim, norm=_opposite(norm))


def ihfftn(input, s=None, dim=None, norm=None):
    """torch.fft.ihfftn and ihfft2, by the conjugate of the transform."""
    return ops.conj(ops.rfftn(input, s=s, dim=dim, norm=_opposite(norm)))


def magnitude(input):
    """torch.abs, whose result is real for complex tensors as well."""
    if not input.is_complex():
        return ops.abs(input)
    square = ops.real(input) ** 2 + ops.imag(input) ** 2
    zero = square == 0
    return ops.where(zero, ops.zeros_like(square), ops.sqrt(ops.where(zero, ops.ones_like(square), square)))


def complex_product(input, other):
    """input * other where one may be complex: MindSpore's product of two has no gradient, and takes no real tensor beside a complex one."""
    input_parts, other_parts = _real_and_imag(input), _real_and_imag(other)
    if len(input_parts) + len(other_parts) == 2:
        return input * other
    if len(other_parts) == 1:
        input_parts, other_parts = other_parts, input_parts
    real, imag = other_parts
    if len(input_parts) == 1:
        return ops.Complex()(input_parts[0] * real, input_parts[0] * imag)
    return ops.Complex()(input_parts[0] * real - input_parts[1] * imag, input_parts[0] * imag + input_parts[1] * real)


def _real_and_imag(value):
    """The real and the imaginary part of a complex value; a real one alone."""
    if isinstance(value, Tensor):
        return (ops.real(value), ops.imag(value)) if value.is_complex() else (value,)
    return (value.real, value.imag) if isinstance(value, complex) else (value,)


def times_imaginary(input, imag):
    """input * 1j * imag."""
    if not isinstance(input, Tensor):
        return input * complex(0, imag)
    if input.is_complex():
        return ops.Complex()(ops.imag(input) * -imag, ops.real(input) * imag)
    return ops.Complex()(ops.zeros_like(input), input * imag)


def complex_quotient(input, other):
    """input / other where one may be complex: the gradient of MindSpore's quotient is that of another function."""
    if isinstance(other, Tensor) and not other.is_complex() and not (isinstance(input, Tensor) and input.is_complex()):
        return input / other
    return complex_product(input, 1 / other if isinstance(other, (complex, float, int)) else ops.reciprocal(other))


def fftshift(input, dim=None):
    """torch.fft.fftshift: the zero frequency in the middle of each axis."""
    axes = _axes(input, dim)
    return roll(input, [input.shape[axis] // 2 for axis in axes], axes)


def ifftshift(input, dim=None):
    """torch.fft.ifftshift: what fftshift did, undone."""
    axes = _axes(input, dim)
    return roll(input, [-(input.shape[axis] // 2) for axis in axes], axes)


def _axes(input, dim):
    """The axes that torch.fft's dim means: all for None."""
    return list(range(input.ndim)) if dim is None else [dim] if isinstance(dim, int) else list(dim)
