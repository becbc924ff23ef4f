"""As little HTTP/2 as it takes to do what no library lets one do (RFC 9113; headers as literals of RFC 7541)."""

import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0, 1, 3, 4, 6, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def string(text):
    size = len(text)
    if size < 127:
        return bytes([size]) + text
    out, size = b"\x7f", size - 127
    while size > 127:
        out, size = out + bytes([size & 127 | 128]), size >> 7
    return out + bytes([size]) + text


def header(name, value):
    return b"\x00" + string(name) + string(value)


class Connection:
    """A connection that has said hello. `ack` false: the server's SETTINGS are never acknowledged."""

    def __init__(self, address, settings=b"", ack=True, timeout=30):
        host, port = address.rsplit(":", 1)
        self.address = address
        self.socket = socket.create_connection((host, int(port)), timeout=timeout)
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))
        if ack:
            self.send(frame(SETTINGS, ACK, 0))

    def send(self, frames):
        self.socket.sendall(frames)

    def close(self):
        self.socket.close()


def head(address, method, extra=b""):
    return (
        header(b":method", b"POST")
        + header(b":scheme", b"http")
        + header(b":path", b"/cairn.v1." + method.encode())
        + header(b":authority", address.encode())
        + header(b"content-type", b"application/grpc")
        + header(b"te", b"trailers")
        + extra
    )


def headers(connection, stream, method):
    return frame(HEADERS, END_HEADERS, stream, head(connection.address, method))


def data(stream, message, end=False):
    """One gRPC message of at most 16 KiB."""
    return frame(DATA, END_STREAM if end else 0, stream, b"\0" + struct.pack(">I", len(message)) + message)


def rst(stream):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
