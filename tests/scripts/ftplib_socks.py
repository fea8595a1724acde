"""Fetches, stores and lists with ftplib through a SOCKS 5 proxy, as programs do that replace socket.create_connection.

Arguments: the proxy's address and port, the FTP server's address and port, and `trust` or `distrust` in the address of a 227.
"""

import ftplib
import io
import ipaddress
import socket
import sys

proxy = (sys.argv[1], int(sys.argv[2]))
server = (sys.argv[3], int(sys.argv[4]))
connect_directly = socket.create_connection


def receive(sock, count):
    """Exactly as many bytes: the server's greeting may follow the proxy's answer at once."""
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        assert part, data
        data += part
    return data


def connect(address, timeout=None, source_address=None):
    sock = connect_directly(proxy, 30)
    sock.sendall(b"\x05\x01\x00")
    assert receive(sock, 2) == b"\x05\x00"
    host = ipaddress.IPv4Address(address[0]).packed
    sock.sendall(b"\x05\x01\x00\x01" + host + address[1].to_bytes(2, "big"))
    answer = receive(sock, 10)
    assert answer[1] == 0, answer
    return sock


socket.create_connection = connect
ftp = ftplib.FTP()
ftp.trust_server_pasv_ipv4_address = sys.argv[5] == "trust"
ftp.connect(*server)
ftp.login()
content = io.BytesIO()
ftp.retrbinary("RETR file", content.write)
print("fetched", len(content.getvalue()))
content.seek(0)
ftp.storbinary("STOR stored", content)
print(ftp.nlst())
ftp.quit()
