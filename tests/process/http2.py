"""As little HTTP/2 as it takes to do what no library lets one do (RFC 9113; headers as literals of RFC 7541)."""

import socket
import struct
import threading

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
INITIAL_WINDOW_SIZE = 4  # a setting
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
    """A connection that has said hello, and reads what it is told, so that it knows how much DATA it may send."""

    def __init__(self, address, settings=b"", timeout=30, source="127.0.0.1"):
        host, port = address.rsplit(":", 1)
        self.address = address
        self.timeout = timeout
        self.socket = socket.create_connection((host, int(port)), timeout=timeout, source_address=(source, 0))
        self.changed = threading.Condition()
        self.window = 65535  # of the connection
        self.initial = 65535  # of a stream
        self.windows = {}
        self.told = {}  # by stream: its header blocks, not decoded
        self.ended = set()  # streams whose end has come
        self.closed = False
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))
        self.reader.start()

    def send(self, frames):
        self.socket.sendall(frames)

    def send_data(self, stream, messages, end=False):
        """gRPC messages, each in a frame, as the windows allow; TimeoutError when they stay shut."""
        for message in messages:
            size = len(message) + 5
            with self.changed:
                self.windows.setdefault(stream, self.initial)
                if not self.changed.wait_for(lambda: self._room(stream) >= size, self.timeout):
                    raise TimeoutError("the windows are shut")
                self.window -= size
                self.windows[stream] -= size
            self.send(data(stream, message, end))

    def wait_ended(self, count, timeout=None):
        """Until so many of its streams have ended; False when they do not."""
        with self.changed:
            return self.changed.wait_for(lambda: len(self.ended) >= count, timeout or self.timeout)

    def _room(self, stream):
        if self.closed:
            raise ConnectionError("the other side has closed")
        return min(self.window, self.windows[stream])

    def _read(self):
        received = b""
        try:
            while True:
                while len(received) >= 9:
                    size = int.from_bytes(received[:3], "big")
                    if len(received) < 9 + size:
                        break
                    self._take(received[3], received[4], int.from_bytes(received[5:9], "big"), received[9 : 9 + size])
                    received = received[9 + size :]
                chunk = self.socket.recv(65536)
                if not chunk:
                    break
                received += chunk
        except OSError:
            pass
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def _take(self, kind, flags, stream, payload):
        with self.changed:
            if kind == HEADERS:
                self.told[stream] = self.told.get(stream, b"") + payload
            if kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM):
                self.ended.add(stream)
            if kind == WINDOW_UPDATE and stream == 0:
                self.window += int.from_bytes(payload, "big")
            elif kind == WINDOW_UPDATE:
                self.windows[stream] = self.windows.get(stream, self.initial) + int.from_bytes(payload, "big")
            elif kind == SETTINGS and not flags & ACK:
                for at in range(0, len(payload), 6):
                    name, value = struct.unpack(">HI", payload[at : at + 6])
                    if name == INITIAL_WINDOW_SIZE:
                        self.windows = {key: window + value - self.initial for key, window in self.windows.items()}
                        self.initial = value
                self.send(frame(SETTINGS, ACK, 0))
            self.changed.notify_all()

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)  # or the reader would keep it open
        except OSError:
            pass
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
