#!/usr/bin/env python3
"""A TLS server in front of a plain one, for tests of TLS clients.

tls-front.py CERTIFICATE KEY PORT ALPN [AUTHORITY]

Listens on a port of 127.0.0.1 that the system chooses, prints it, and passes what it decrypts on to PORT and back.
ALPN is what it agrees to speak (h2, http/1.1). With AUTHORITY clients must have a certificate that is signed by that.
"""
import socket
import ssl
import sys
import threading


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def serve(context, client, port):
    try:
        outer = context.wrap_socket(client, server_side=True)
    except (ssl.SSLError, OSError):
        return
    inner = socket.create_connection(("127.0.0.1", port))
    threading.Thread(target=pump, args=(outer, inner), daemon=True).start()
    pump(inner, outer)


def main():
    certificate, key, port, alpn, *authority = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols([alpn])
    if authority:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority[0])
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(context, client, int(port)), daemon=True).start()


main()
