"""One operation of Python's ftplib against an FTP server, with the commands sent printed to standard error.

Arguments: host, port, mode (passive or active), operation, and the operation's own. Names are bytes, so that any can
be told to the server: the file system's encoding keeps them on the way in, latin-1 on the way out.
"""

import ftplib
import os
import sys


class Client(ftplib.FTP):
    """Says what it sends, as the other clients do."""

    def putcmd(self, line):
        print(">", self.sanitize(line), file=sys.stderr)
        super().putcmd(line)

    def sanitize(self, line):
        return line


def name(argument):
    return os.fsencode(argument).decode("latin-1")


def listing(ftp):
    ftp.retrbinary("LIST", sys.stdout.buffer.write)


def get(ftp, remote, local):
    with open(local, "wb") as file:
        ftp.retrbinary(f"RETR {name(remote)}", file.write)


def put(ftp, local, remote):
    with open(local, "rb") as file:
        ftp.storbinary(f"STOR {name(remote)}", file)


def reget(ftp, remote, local):
    with open(local, "ab") as file:
        ftp.retrbinary(f"RETR {name(remote)}", file.write, rest=file.tell())


def reput(ftp, local, remote):
    ftp.voidcmd("TYPE I")
    with open(local, "rb") as file:
        file.seek(ftp.size(name(remote)))
        ftp.storbinary(f"STOR {name(remote)}", file, rest=file.tell())


def rename(ftp, old, new):
    ftp.rename(name(old), name(new))


def delete(ftp, remote):
    ftp.delete(name(remote))


OPERATIONS = {
    "list": listing,
    "get": get,
    "put": put,
    "reget": reget,
    "reput": reput,
    "rename": rename,
    "delete": delete,
}


def main(host, port, mode, operation, *arguments):
    ftp = Client(timeout=60, encoding="latin-1")
    ftp.connect(host, int(port))
    ftp.login()
    ftp.set_pasv(mode == "passive")
    OPERATIONS[operation](ftp, *arguments)
    ftp.quit()


if __name__ == "__main__":
    main(*sys.argv[1:])
