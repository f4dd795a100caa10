# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A picture and a sound to ask about."""

from __future__ import annotations

import base64
import io
import math
import struct
import wave
import zlib


def png(color: tuple[int, int, int], width: int = 128, height: int = 96) -> str:
    """A picture of one color, as a URL with its data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    # Each row begins with its filter: none.
    rows = (b"\0" + bytes(color) * width) * height
    # 8 bits a channel, red, green and blue.
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def sine(hertz: float, seconds: float, rate: int = 16000) -> bytes:
    """A WAV file with a tone: one channel, 16 bits."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        count = int(seconds * rate)
        sound.writeframes(struct.pack(f"<{count}h", *(int(8000 * math.sin(2 * math.pi * hertz * index / rate)) for index in range(count))))
    return file.getvalue()
