"""ftplib.abort() in the middle of a download, and the session used again afterwards.

Arguments: host, port, the file to download. ftplib sends ABOR as urgent data.
"""

import ftplib
import socket
import sys


def main(host, port, name):
    ftp = ftplib.FTP(timeout=60)
    ftp.connect(host, int(port))
    ftp.login()
    ftp.voidcmd("TYPE I")
    data = ftp.transfercmd(f"RETR {name}")
    assert len(data.recv(1000, socket.MSG_WAITALL)) == 1000
    # A server that writes to a client that does not read sees no command: first let it fail to write.
    data.close()
    # The transfer and ABOR are each answered, in this order.
    print("abort:", ftp.abort(), ftp.getmultiline())
    # From here on each command must have its own answer.
    assert ftp.sendcmd("NOOP").startswith("200"), "the session is out of step"
    assert name in ftp.nlst(), "no listing after an abort"
    ftp.quit()


if __name__ == "__main__":
    main(*sys.argv[1:])
