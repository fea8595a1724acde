"""FTP over TLS with Python's ftplib: python3 ftplib_tls.py SCENARIO PORT AUTHORITY"""

import ftplib
import io
import os
import socket
import ssl
import sys

LIMIT = 30


class Client(ftplib.FTP_TLS):
    """A client that can resume the session of the control connection for data, as FileZilla and lftp do."""

    resume = True
    resumed = None

    def ntransfercmd(self, cmd, rest=None):
        conn, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if self._prot_p:
            session = self.sock.session if self.resume else None
            conn = self.context.wrap_socket(conn, server_hostname=self.host, session=session)
            self.resumed = conn.session_reused
        return conn, size


def client(port, authority, protect=True, resume=True, context=None):
    context = context or ssl.create_default_context(cafile=authority)
    ftp = Client(context=context, timeout=LIMIT)
    ftp.resume = resume
    ftp.connect("localhost", port)
    ftp.login()
    if protect:
        ftp.prot_p()
    return ftp


def exchange(ftp, content):
    ftp.storbinary("STOR sent", io.BytesIO(content))
    received = io.BytesIO()
    ftp.retrbinary("RETR sent", received.write)
    assert received.getvalue() == content, f"{len(received.getvalue())} of {len(content)} bytes"


def failure(act):
    try:
        act()
    except ftplib.all_errors as error:
        return str(error)
    raise AssertionError("no error")


def matrix(port, authority):
    """Every direction and size, in both modes."""
    for passive in (True, False):
        with client(port, authority) as ftp:
            ftp.set_pasv(passive)
            for size in (3_000_000, 1, 0):
                exchange(ftp, os.urandom(size))
            lines = []
            ftp.retrlines("LIST", lines.append)
            assert any("sent" in line for line in lines), lines
            assert failure(lambda: ftp.retrbinary("RETR missing", print)).startswith("550")


def resumed(port, authority):
    """Data connections resume the session of the control connection."""
    with client(port, authority) as ftp:
        exchange(ftp, b"content")
        assert ftp.resumed, "the session was not resumed"


def not_resumed(port, authority):
    """The broker refuses data outside the session of the control connection, also with another session's ticket."""
    with client(port, authority, resume=False) as ftp:
        failure(lambda: exchange(ftp, b"content"))
        assert "did not resume" in failure(ftp.voidresp)
    with client(port, authority) as other, client(port, authority, context=other.context) as ftp:
        with ftplib.FTP.ntransfercmd(ftp, "STOR stolen")[0] as conn:
            session = other.sock.session
            stolen = ftp.context.wrap_socket(conn, server_hostname="localhost", session=session)
            stolen.settimeout(LIMIT)
            assert stolen.session_reused
            stolen.close()
        reply = failure(ftp.voidresp)
        assert "did not resume" in reply, reply


def clear_data(port, authority):
    """The broker refuses unprotected data."""
    with client(port, authority, protect=False) as ftp:
        reply = failure(lambda: ftp.retrlines("LIST"))
        assert reply.startswith("522"), reply


def optional(port, authority):
    """Unprotected data, and no TLS at all, where nothing is required."""
    with client(port, authority, protect=False) as ftp:
        exchange(ftp, b"content")
    with ftplib.FTP(timeout=LIMIT) as ftp:
        ftp.connect("localhost", port)
        ftp.login()
        ftp.retrlines("LIST", lambda line: None)


def clear_login(port, authority):
    """The broker refuses a login before TLS."""
    with ftplib.FTP(timeout=LIMIT) as ftp:
        ftp.connect("localhost", port)
        reply = failure(lambda: ftp.login("secret-user", "secret-password"))
        assert reply.startswith("530") and "AUTH TLS" in reply, reply


def injection(port, authority):
    """Bytes behind AUTH in the clear end the session."""
    with socket.create_connection(("localhost", port), LIMIT) as conn:
        replies = conn.makefile("r")
        assert replies.readline().startswith("220")
        conn.sendall(b"AUTH TLS\r\nUSER injected\r\n")
        reply = replies.readline()
        assert reply.startswith("421"), reply
        assert replies.readline() == ""


def end_tcp(conn):
    """Ends TCP in order, and reads until the other side ends it too."""
    conn.settimeout(LIMIT)
    conn.shutdown(socket.SHUT_WR)
    try:
        while conn.recv(4096):
            pass
    except ConnectionResetError:
        pass
    conn.close()


def truncated(port, authority):
    """Prints the reply to an upload whose TCP connection ends without TLS's close_notify."""
    with client(port, authority) as ftp:
        conn = ftp.transfercmd("STOR cut")
        conn.sendall(b"half of it")
        end_tcp(socket.socket(fileno=conn.detach()))
        try:
            print(ftp.voidresp())
        except ftplib.all_errors as error:
            print(error)


def certificate(port, authority):
    """Prints the serial number of the certificate."""
    with client(port, authority) as ftp:
        print(ftp.sock.getpeercert()["serialNumber"])


def main():
    scenario, port, authority = sys.argv[1:]
    globals()[scenario](int(port), authority)


main()
