"""Writes a checkpoint as a stream, and puts it in place only when it is whole."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from porter.diagnostics import InputError
from porter.weights import ckpt, safetensors_file, torch_zip
from porter.weights.entries import Entry, Span

BUFFER = 1 << 20
LARGE = 1 << 18
Progress = Callable[[int], None]


class Sink:
    """A file being written: small pieces are gathered, large spans are copied inside the kernel."""

    def __init__(self, descriptor: int, progress: Progress | None = None) -> None:
        self.descriptor = descriptor
        self.at = 0
        self.pieces: list[bytes] = []
        self.waiting = 0
        self.progress = progress

    def write(self, data: bytes) -> None:
        self.pieces.append(data)
        self.waiting += len(data)
        self.at += len(data)
        if self.waiting >= BUFFER:
            self.flush()

    def flush(self) -> None:
        block = memoryview(self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces))
        self.pieces, self.waiting = [], 0
        while block:
            block = block[os.write(self.descriptor, block) :]

    def finish(self) -> None:
        if self.pieces:
            self.flush()

    def patch(self, at: int, data: bytes) -> None:
        """Overwrites bytes that were written before."""
        self.finish()
        os.pwrite(self.descriptor, data, at)

    def entry(self, entry: Entry, begin: int = 0, end: int | None = None) -> None:
        """The values of an entry from byte `begin` to `end`, in C order."""
        end = entry.nbytes if end is None else end
        if entry.strides is not None or entry.constant is not None:
            if (begin, end) != (0, entry.nbytes):
                raise ValueError("a strided entry is written whole")
            for chunk in entry.chunks():
                self.write(chunk)
                self._tell(len(chunk))
            return
        at = 0
        for span in entry.spans:
            first, last = max(begin - at, 0), min(end - at, span.length)
            if first < last:
                self.span(Span(span.file, span.offset + first, last - first))
            at += span.length

    def span(self, span: Span) -> None:
        if span.length < LARGE:
            self.write(span.file.read(span.offset, span.length))
            self._tell(span.length)
            return
        self.finish()
        done = self._copy_in_kernel(span)
        rest = Span(span.file, span.offset + done, span.length - done)
        for chunk in rest.chunks():
            self.write(chunk)
            self._tell(len(chunk))
        self.at += done

    def _copy_in_kernel(self, span: Span) -> int:
        done = 0
        while done < span.length:
            try:
                count = os.copy_file_range(
                    span.file.descriptor,
                    self.descriptor,
                    min(span.length - done, 1 << 24),
                    span.offset + done,
                )
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise
                return done
            except AttributeError:
                return done
            if count == 0:
                return done
            done += count
            self._tell(count)
        return done

    def _tell(self, count: int) -> None:
        if self.progress is not None:
            self.progress(count)


@contextmanager
def atomic(destination: str) -> Iterator[int]:
    """A descriptor to write to; the file appears as `destination`, whole, when the block ends without an error.

    The bytes go to a file without a name (O_TMPFILE), so that a killed process leaves nothing behind.
    """
    folder = os.path.dirname(os.path.abspath(destination))
    if os.path.isdir(destination):
        raise InputError(f"{destination} is a folder", "give a file name to -o")
    if os.path.exists(destination) and not os.path.isfile(destination):
        raise InputError(f"{destination} is no regular file", "give a file name to -o")
    temporary = os.path.join(folder, f".{os.path.basename(destination)[:200]}.{os.getpid()}.part")
    descriptor, named = -1, False
    try:
        descriptor, named = _open_temporary(folder, temporary)
        yield descriptor
        _publish(descriptor, named, temporary, destination)
    except OSError as error:
        if error.errno is None:
            raise
        raise InputError(f"cannot write {destination}: {error.strerror}", _advice(error.errno)) from None
    finally:
        if descriptor >= 0:
            os.close(descriptor)
        if named:
            with suppress(OSError):
                os.unlink(temporary)


def _open_temporary(folder: str, temporary: str) -> tuple[int, bool]:
    with suppress(OSError, AttributeError):
        if os.path.isdir("/proc/self/fd"):
            return os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666), False
    return os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666), True


def _publish(descriptor: int, named: bool, temporary: str, destination: str) -> None:
    target = os.path.realpath(destination)
    if os.path.exists(target):
        os.fsync(descriptor)  # a power cut must not cost the old file; a new one can be written again
        os.fchmod(descriptor, os.stat(target).st_mode & 0o777)
        if not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "the old file is read-only")
    if named:
        os.replace(temporary, target)
        return
    proc = f"/proc/self/fd/{descriptor}"
    source = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
    try:
        # linkat() with AT_SYMLINK_FOLLOW gives the nameless file a name; only rename() replaces an old file
        name = target
        if os.path.lexists(target):
            name = temporary
            with suppress(FileNotFoundError):
                os.unlink(name)
        os.link(proc, name, src_dir_fd=source, follow_symlinks=True)
        if name != target:
            try:
                os.replace(name, target)
            except OSError:
                os.unlink(name)
                raise
    finally:
        os.close(source)


def _advice(number: int) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "free some space; the old file, if any, is untouched"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "choose a folder and a file that you may write"
    if number in (errno.ENOENT, errno.ENOTDIR):
        return "make the folder first"
    return "the old file, if any, is untouched"


def write_ckpt(sink: Sink, entries: Mapping[str, Entry]) -> None:
    """MindSpore's .ckpt, as mindspore.save_checkpoint writes it; it has no form for an empty tensor."""
    for name, entry in entries.items():
        if entry.count == 0:
            continue
        at = 0
        parts = list(ckpt.headers(name, entry))
        if len(parts) > 1 and (entry.strides is not None or entry.constant is not None):
            _write_sliced(sink, parts, entry)
            continue
        for header, length in parts:
            sink.write(header)
            sink.entry(entry, at, at + length)
            at += length


def _write_sliced(sink: Sink, parts: list[tuple[bytes, int]], entry: Entry) -> None:
    left = 0
    rest = iter(parts)
    for chunk in entry.chunks():
        view = chunk
        while view:
            if left == 0:
                header, left = next(rest)
                sink.write(header)
            sink.write(view[:left])
            taken = min(left, len(view))
            view, left = view[taken:], left - taken


def write_safetensors(sink: Sink, entries: Mapping[str, Entry], metadata: Mapping[str, str]) -> None:
    sink.write(safetensors_file.header(entries, metadata))
    for name in safetensors_file.ordered(entries):
        sink.entry(entries[name])


def write_torch(sink: Sink, entries: Mapping[str, Entry], archive: str) -> None:
    """The zip archive of torch.save; entries with the same values under several names share a storage."""
    zip_file = torch_zip.ZipLayout(archive)
    keys, stored = torch_zip.storages(entries)
    zip_file.add(sink, "data.pkl", torch_zip.pickled(entries, keys))
    zip_file.add(sink, "byteorder", b"little")
    for key, entry in stored.items():
        checksum = 0
        place = zip_file.begin(sink, f"data/{key}", entry.nbytes)
        for chunk in entry.chunks():
            checksum = zlib.crc32(chunk, checksum)
            sink.write(chunk)
            sink._tell(len(chunk))
        zip_file.finish(sink, place, checksum)
    zip_file.add(sink, "version", b"3\n")
    zip_file.close(sink)
