"""A hash of every customer's key, the same on every machine and in every release, for all customers at once.

The key is a sequence of 64-bit words: an integer is one, a uuid two, a text its length in bytes and then its bytes, the
last word filled up with zeros. Each word is mixed into what the words before it gave. So keys that differ in one word
never share a hash, and others share one as often as chance has it.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from segjob.arrays import as_numpy

SALT = np.uint64(0x5E67_0B5E_6A0B_2026)
WORD = np.dtype("<u8")
BITS = np.uint64(8)  # of a byte


def splitmix64(values: np.ndarray) -> np.ndarray:
    """Scramble uint64 values, one to one (Steele, Lea, Flood 2014)."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def key_hashes(keys: pa.RecordBatch) -> np.ndarray:
    """Hash every customer's key to uint64, (n,).

    Parameters
    ----------
    keys : one to three columns without nulls, of int16, int32, int64, binary(16) or string
    """
    hashes = np.array([SALT])
    for column in keys.columns:
        if pa.types.is_string(column.type):
            hashes = with_text(hashes, column)
        else:
            for word in words_of(column):
                hashes = splitmix64(hashes ^ word)
    return hashes


def words_of(column: pa.Array) -> list[np.ndarray]:
    """The words of integers, whatever their width in the source, or of uuids; uint64, (n,) each."""
    if pa.types.is_integer(column.type):
        return [as_numpy(column.cast(pa.int64())).view(np.uint64)]
    whole = np.frombuffer(column.buffers()[1], WORD).reshape(-1, 2)[column.offset : column.offset + len(column)]
    return list(whole.T)


def with_text(hashes: np.ndarray, column: pa.Array) -> np.ndarray:
    """The hashes with texts mixed in, word by word; who has no more words is left alone."""
    places, words = laid_out(column)
    at, left = places[:-1], np.diff(places)
    hashes = splitmix64(hashes ^ left.view(np.uint64))
    rows = np.flatnonzero(left)
    at, left = at[rows], left[rows]
    while len(rows):
        unused = np.maximum(WORD.itemsize - left, 0).astype(np.uint64) * BITS
        hashes[rows] = splitmix64(hashes[rows] ^ (words_at(words, at) << unused >> unused))
        longer = left > WORD.itemsize
        rows, at, left = rows[longer], at[longer] + WORD.itemsize, left[longer] - WORD.itemsize
    return hashes


def laid_out(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Where each text begins and the last one ends, (n + 1,) int64, and all bytes as words, and one more word."""
    _, offsets, data = column.buffers()
    if not len(column):
        return np.zeros(1, np.int64), np.zeros(1, WORD)
    places = np.frombuffer(offsets, np.int32, len(column) + 1, 4 * column.offset).astype(np.int64)
    n_bytes = int(places[-1] - places[0])
    words = np.zeros(n_bytes // WORD.itemsize + 2, WORD)
    if n_bytes:
        words.view(np.uint8)[:n_bytes] = np.frombuffer(data, np.uint8, n_bytes, int(places[0]))
    return places - places[0], words


def words_at(words: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The word that begins at each byte: the end of one and the beginning of the next."""
    index, shift = places >> 3, (places & 7).astype(np.uint64) * BITS
    return np.asarray(words[index] >> shift | words[index + 1] << np.uint64(1) << np.uint64(63) - shift)
