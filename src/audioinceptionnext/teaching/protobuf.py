"""The wire format of protocol buffers, as far as ONNX files need it: a message as a list of fields.

A message is a sequence of fields. Each begins with a number, ``field << 3 | type``, in base 128, lowest digits first
(a varint). Of type 0, another varint follows; of type 1, 8 bytes; of type 5, 4 bytes; of type 2, a varint with a
length, and so many bytes: text, packed numbers, or another message. Nothing else is in a file, so a message that is
read and written again field by field is the same to its reader, known fields or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

VARINT, BYTES = 0, 2
_FIXED = {1: 8, 5: 4}  # the sizes of the other types


class Field(NamedTuple):
    """A field of a message.

    Attributes:
        number: which field of the message it is.
        value: an integer of type 0; bytes of any other.
        type: of the wire format.
    """

    number: int
    value: int | bytes
    type: int = BYTES


def read_fields(message: bytes) -> Iterator[Field]:
    """Yield the fields of a message, in order.

    Raises:
        ValueError: this is no message.
    """
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, place = _varint(message, place)
            yield Field(number, value, kind)
            continue
        if kind == BYTES:
            size, place = _varint(message, place)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise ValueError(f"a field of type {kind} at byte {place}")
        if place + size > len(message):
            raise ValueError("a field that is longer than what is there")
        yield Field(number, message[place : place + size], kind)
        place += size


def write_fields(fields: Iterable[Field]) -> bytes:
    """A message of these fields.

    >>> write_fields([Field(1, b"waveform")])
    b'\\n\\x08waveform'
    """
    message = bytearray()
    for number, value, kind in fields:
        message += _as_varint(number << 3 | kind)
        if isinstance(value, int):
            message += _as_varint(value)
        else:
            message += (_as_varint(len(value)) if kind == BYTES else b"") + value
    return bytes(message)


def texts(fields: Iterable[Field], number: int) -> list[str]:
    """The texts in all fields of this number."""
    return [field.value.decode() for field in fields if field.number == number and isinstance(field.value, bytes)]


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(message) or shift > 63:
            raise ValueError("a number that does not end")
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


def _as_varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])
