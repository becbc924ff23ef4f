"""Writes a file as a C array: embed.py FILE SYMBOL HEADER SOURCE."""

import sys


def main():
    path, symbol, header, source = sys.argv[1:]
    with open(path, "rb") as file:
        data = file.read()
    with open(header, "w", encoding="ascii") as out:
        out.write(
            "/* Generated: a file of the source tree, as bytes. */\n"
            "#pragma once\n\n#include <stddef.h>\n\n"
            f"extern const unsigned char {symbol}[];\nextern const size_t {symbol}_size;\n"
        )
    with open(source, "w", encoding="ascii") as out:
        out.write(f"#include <stddef.h>\n\nextern const unsigned char {symbol}[];\nextern const size_t {symbol}_size;\n\n")
        out.write(f"const unsigned char {symbol}[] = {{\n")
        for start in range(0, len(data), 16):
            out.write("    " + ", ".join(f"0x{byte:02x}" for byte in data[start : start + 16]) + ",\n")
        # One zero more than its size, so that text can be used as a string.
        out.write(f"    0x00,\n}};\n\nconst size_t {symbol}_size = {len(data)};\n")


main()
