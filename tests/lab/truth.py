#!/usr/bin/python3
"""A second opinion on what a recorded capture holds, which shares no code with the decoder under test.

    truth.py FILE.pcap...            print what was said, for a person
    truth.py --json FILE.pcap...     the same as JSON: fixtures/captures/truth.json is made this way
    truth.py --table FILE.pcap...    one Markdown row for each: the table in fixtures/captures/README.md

Written for the complete, lossless loopback captures that record.sh makes: classic pcap, Ethernet, IPv4, every
connection from its SYN. Needs Debian's python3-hpack.
"""

import argparse
import json
import pathlib
import struct
from collections import Counter

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
STREAM_ERRORS = {0: "NO_ERROR", 2: "INTERNAL_ERROR", 5: "STREAM_CLOSED", 7: "REFUSED_STREAM", 8: "CANCEL"}
PACKET_KINDS = ("STAT", "REQ", "DATA", "FIN", "ERR")
TUNNELS = ("/moby.buildkit.v1.Control/Session",)
DIFF_COPY = ("/moby.filesync.v1.FileSync/DiffCopy", "/moby.filesync.v1.FileSend/DiffCopy")
BYTES_MESSAGES = ("/moby.sshforward.v1.SSH/ForwardAgent",)


def connections(path):
    """The two byte streams (from the side that dialled, to it) of each TCP connection, in order of their SYNs."""
    data = path.read_bytes()
    assert data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"), "not a little-endian classic pcap"
    assert struct.unpack_from("<I", data, 20)[0] & 0xFFFF == 1, "not Ethernet"
    found, offset = {}, 24
    while offset < len(data):
        captured, original = struct.unpack_from("<II", data, offset + 8)
        assert captured == original, "a packet was cut short"
        frame = data[offset + 16 : offset + 16 + captured]
        offset += 16 + captured
        if frame[12:14] != b"\x08\x00" or frame[23] != 6:
            continue
        ip = frame[14:]
        header, total = (ip[0] & 15) * 4, struct.unpack_from(">H", ip, 2)[0]
        # The kernel leaves 0 for packets beyond 65535 bytes.
        segment = ip[header : total or len(ip)]
        source, target, seq = struct.unpack_from(">HHI", segment)
        ends = ((ip[12:16], source), (ip[16:20], target))
        flags, payload = segment[13], segment[(segment[12] >> 4) * 4 :]
        if flags & 0x12 == 0x02:
            found[ends] = {"from": bytearray(), "to": bytearray(), "base": {}}
        side, key = ("from", ends) if ends in found else ("to", ends[::-1])
        stream = found[key]
        if flags & 0x02:
            stream["base"][side] = seq + 1
            continue
        start = (seq - stream["base"][side]) % 2**32
        have = len(stream[side])
        if payload and start <= have:
            stream[side] += payload[have - start :]
        else:
            assert not payload, "a segment is missing"
    return [(bytes(each["from"]), bytes(each["to"])) for each in found.values()]


def head(data):
    """One HTTP/1.1 head: its first line, its headers as pairs, and what follows; or None."""
    if b"\r\n\r\n" not in data:
        return None
    raw, rest = data.split(b"\r\n\r\n", 1)
    lines = raw.decode("latin-1").split("\r\n")
    pairs = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
    return lines[0], [(name.lower(), value) for name, value in pairs], rest


def body(headers, rest):
    """The body that the headers announce, and what follows."""
    fields = dict(headers)
    if fields.get("transfer-encoding") == "chunked":
        whole = b""
        while b"\r\n" in rest:
            size, rest = rest.split(b"\r\n", 1)
            size = int(size.split(b";")[0], 16)
            whole, rest = whole + rest[:size], rest[size + 2 :]
            if size == 0:
                break
        return whole, rest
    size = int(fields.get("content-length", 0))
    return rest[:size], rest[size:]


def unframe_stdcopy(data):
    """The stdout payloads of docker's multiplexed stream."""
    out = b""
    while len(data) >= 8:
        kind, size = data[0], struct.unpack_from(">I", data, 4)[0]
        if kind in (0, 1):
            out += data[8 : 8 + size]
        data = data[8 + size :]
    return out


def frames(data):
    while len(data) >= 9:
        size = int.from_bytes(data[:3], "big")
        yield data[3], data[4], int.from_bytes(data[5:9], "big") & 0x7FFFFFFF, data[9 : 9 + size]
        data = data[9 + size :]


def unpad(kind, flags, payload):
    if flags & 0x08:
        payload = payload[1 : len(payload) - payload[0]]
    if kind == 1 and flags & 0x20:
        payload = payload[5:]
    return payload


def http2(client, server):
    """The calls of one HTTP/2 connection, whoever dialled it: `client` is the side which sends the preface."""
    calls = {}
    for side, data in (("client", client.removeprefix(PREFACE)), ("server", server)):
        tables, block = hpack.Decoder(max_header_list_size=1 << 24), b""
        tables.max_allowed_table_size = 1 << 16
        for kind, flags, stream, payload in frames(data):
            if kind in (1, 9):
                block += unpad(kind, flags, payload)
                if flags & 0x04:
                    fields = [(str(name), str(value)) for name, value in tables.decode(block)]
                    block = b""
                    call = calls.setdefault(stream, {"client": [], "server": [], "data": {"client": b"", "server": b""}})
                    call[side].append(fields)
            elif kind == 0:
                calls[stream]["data"][side] += unpad(kind, flags, payload)
            elif kind == 3:
                code = int.from_bytes(payload, "big")
                calls[stream].setdefault("reset", []).append(f"{side} {STREAM_ERRORS.get(code, code)}")
            if kind in (0, 1) and flags & 0x01:
                calls[stream].setdefault("ended", []).append(side)
    return [calls[stream] | {"stream": stream} for stream in sorted(calls) if calls[stream]["client"]]


def messages(data):
    """The gRPC messages in the DATA of one direction."""
    found = []
    while len(data) >= 5:
        size = struct.unpack_from(">I", data, 1)[0]
        if len(data) < 5 + size:
            break
        assert data[0] == 0, "compressed"
        found.append(data[5 : 5 + size])
        data = data[5 + size :]
    return found


def varint(data, offset):
    value = shift = 0
    while True:
        byte = data[offset]
        value, shift, offset = value | (byte & 127) << shift, shift + 7, offset + 1
        if byte < 128:
            return value, offset


def fields(data):
    """Top-level protobuf fields: number and value (int, or bytes)."""
    offset = 0
    while offset < len(data):
        tag, offset = varint(data, offset)
        if tag & 7 == 0:
            value, offset = varint(data, offset)
        elif tag & 7 == 2:
            size, offset = varint(data, offset)
            value, offset = data[offset : offset + size], offset + size
        else:
            size = {1: 8, 5: 4}[tag & 7]
            value, offset = data[offset : offset + size], offset + size
        yield tag >> 3, value


def packets(found):
    """Counts of fsutil packets, and the paths that were announced."""
    counts, paths, size = Counter(), [], 0
    for message in found:
        packet = dict(fields(message))
        kind = PACKET_KINDS[packet.get(1, 0)]
        if kind == "STAT" and 2 not in packet:
            kind = "final STAT"
        elif kind == "STAT":
            paths.append(dict(fields(packet[2]))[1].decode())
        elif kind == "DATA":
            size += len(packet.get(4, b""))
            kind = "DATA" if packet.get(4) else "end of file"
        counts[kind] += 1
    summary = dict(sorted(counts.items()))
    if paths:
        summary["paths"] = paths
    if size:
        summary["bytes"] = size
    return summary


def describe_call(call):
    """One call as a dictionary of plain values."""
    request = call["client"][0]
    path = dict(request).get(":path", "?")
    replies = [dict(block) for block in call["server"]]
    sent = {side: messages(call["data"][side]) for side in ("client", "server")}
    told = {"stream": call["stream"], "path": path}
    told["messages"] = [len(sent["client"]), len(sent["server"])]
    told["grpc_status"] = next((int(each["grpc-status"]) for each in replies if "grpc-status" in each), None)
    for each in replies:
        if each.get("grpc-message"):
            told["grpc_message"] = each["grpc-message"]
    wanted = ("dir-name", "include-patterns", "exclude-patterns", "followpaths", "buildkit-attachable-exporter-id")
    metadata = {}
    for name, value in request:
        if name in wanted:
            metadata.setdefault(name, []).append(value)
    if metadata:
        told["metadata"] = metadata
    told["reset"] = call.get("reset", [])
    told["ended"] = call.get("ended", [])
    if path in DIFF_COPY:
        first = next((each for side in sent.values() for each in side), None)
        if first is not None and first[:1] == b"\x0a":
            told["shape"] = "BytesMessage"
            told["bytes"] = sum(len(value) for each in sent["client"] for _, value in fields(each))
        else:
            told["shape"] = "Packet"
            told["caller"], told["callee"] = packets(sent["client"]), packets(sent["server"])
    elif path in BYTES_MESSAGES:
        told["bytes"] = [sum(len(v) for each in sent[side] for _, v in fields(each)) for side in ("client", "server")]
    elif path in TUNNELS:
        inner = [b"".join(v for each in sent[side] for _, v in fields(each)) for side in ("server", "client")]
        told["advertised"] = sorted(v for n, v in request if n == "x-docker-expose-session-grpc-method")
        told["tunnel"] = [describe_call(each) for each in http2(*inner)]
    return told


def describe_connection(dialled, answered):
    """What was said on one TCP connection."""
    told = {"exchanges": []}
    if dialled.startswith(PREFACE):
        told["calls"] = [describe_call(each) for each in http2(dialled, answered)]
        return told
    while (request := head(dialled)) is not None:
        line, headers, rest = request
        method, target, _ = line.split(" ")
        _, dialled = body(headers, rest)
        exchange = {"request": f"{method} {target.split('?')[0]}"}
        told["exchanges"].append(exchange)
        if (response := head(answered)) is None:
            break
        status, reply_headers, rest = response
        exchange["status"] = int(status.split(" ")[1])
        if exchange["status"] != 101:
            payload, answered = body(reply_headers, rest) if method != "HEAD" else (b"", rest)
            if target.split("?")[0].endswith("/build"):
                lines = [json.loads(each) for each in payload.splitlines() if each]
                exchange["progress"] = dict(sorted(Counter(each.get("id") or "error" for each in lines).items()))
                exchange["errors"] = [each["error"] for each in lines if "error" in each]
            continue
        methods = sorted(v for n, v in headers if n == "x-docker-expose-session-grpc-method")
        if methods:
            exchange["advertised"] = methods
        if "/exec/" in target:
            rest = unframe_stdcopy(rest)
        sides = (rest, dialled) if target == "/session" else (dialled, rest)
        told["calls"] = [describe_call(each) for each in http2(*sides)]
        break
    return told


def print_calls(calls, indent):
    for call in calls:
        notes = {name: value for name, value in call.items() if name not in ("path", "stream", "tunnel", "advertised")}
        print(f"{indent}{call['stream']:3} {call['path']}  {json.dumps(notes)}")
        print_calls(call.get("tunnel", []), indent + "        ")


def session_calls(connections_told):
    """The calls that the daemon made on sessions, with the way each session was reached."""
    for connection in connections_told:
        if any(each["request"] == "POST /session" for each in connection["exchanges"]):
            yield from (("POST /session", call) for call in connection.get("calls", []))
        for outer in connection.get("calls", []):
            yield from (("Control/Session", call) for call in outer.get("tunnel", []))


def in_words(call):
    """One session call, short enough for a cell of a table."""
    service, method = call["path"].rsplit(".", 1)[-1].split("/")
    words = f"{service}/{method}"
    words += "".join(f" `{name}`" for name in call.get("metadata", {}).get("dir-name", []))
    if call.get("shape") == "Packet":
        both = {kind: call["caller"].get(kind, 0) + call["callee"].get(kind, 0) for kind in ("STAT", "REQ", "DATA")}
        words += ": " + ", ".join(f"{count} {kind}" for kind, count in both.items())
        words += f", {max(call[side].get('bytes', 0) for side in ('caller', 'callee'))} bytes"
    elif call.get("shape") == "BytesMessage":
        words += f": BytesMessage, {call['messages'][0]} messages, {call['bytes']} bytes"
    elif isinstance(call.get("bytes"), list):
        words += f": {call['bytes'][0]} bytes asked, {call['bytes'][1]} answered"
    if call["grpc_status"] != 0:
        status = "no status" if call["grpc_status"] is None else f"status {call['grpc_status']}"
        words += f" ({', '.join([status, *call['reset']])})"
    return words


def outcome(connections_told):
    """How the build ended, as the protocol tells it."""
    for connection in connections_told:
        for exchange in connection["exchanges"]:
            if exchange.get("errors"):
                return exchange["errors"][0]
        for call in connection.get("calls", []):
            if call["path"].endswith("Control/Solve") and call["grpc_status"] != 0:
                return call.get("grpc_message") or ", ".join(call["reset"])
    return "ok"


def print_row(name, connections_told):
    calls = list(session_calls(connections_told))
    ways = sorted({way for way, _ in calls})
    told = "<br>".join(in_words(call) for _, call in calls)
    print(f"| `{name}` | {len(connections_told)} | {', '.join(ways)} | {told} | {outcome(connections_told)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--table", action="store_true", help="print rows of a Markdown table")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    told = {path.stem: [describe_connection(*pair) for pair in connections(path)] for path in options.files}
    if options.json:
        print(json.dumps(told, indent=1, sort_keys=False))
        return
    if options.table:
        for name, each in told.items():
            print_row(name, each)
        return
    for name, each in told.items():
        print(f"== {name}")
        for number, connection in enumerate(each):
            print(f"  connection {number}")
            for exchange in connection["exchanges"]:
                print(f"    {json.dumps(exchange)}")
            print_calls(connection.get("calls", []), "    ")


if __name__ == "__main__":
    main()
