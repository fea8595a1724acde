"""Bursts of small files by Python's ftplib, in one session.

Arguments: host, port, user, password, mode (passive or active), what to do, and for that: the local directory, the remote
one, the name of a new remote one. The local directory gets what is downloaded.
"""

import ftplib
import os
import socket
import sys
import time

# Longer than a burst goes on after its last transfer.
PAUSE = 1.2


def files(ftp, *directory):
    """Names alone, which some servers list with their directory, and without those of the directory itself."""
    names = (os.path.basename(name) for name in ftp.nlst(*directory))
    return sorted(name for name in names if not name.startswith("."))


def fetch(ftp, names, local):
    for name in names:
        with open(os.path.join(local, name), "wb") as file:
            ftp.retrbinary(f"RETR {name}", file.write)


def store(ftp, names, local):
    for name in names:
        with open(os.path.join(local, name), "rb") as file:
            ftp.storbinary(f"STOR {name}", file)


def whole(ftp, local, remote, new):
    """Down and up again, without anything in between."""
    names = files(ftp, remote)
    ftp.cwd(remote)
    fetch(ftp, names, local)
    ftp.cwd("..")
    ftp.mkd(new)
    ftp.cwd(new)
    store(ftp, names, local)


def mixed(ftp, local, remote, new):
    """Everything between two files that a client may do there."""
    ftp.cwd(remote)
    names = files(ftp)
    parts = [names[at::6] for at in range(6)]
    fetch(ftp, parts[0], local)
    try:
        fetch(ftp, ["missing"], local)
        raise AssertionError("there is no such file")
    except ftplib.error_perm as error:
        assert str(error).startswith("550"), error
    os.remove(os.path.join(local, "missing"))
    fetch(ftp, parts[1], local)
    assert files(ftp) == names, "a listing in the middle"
    assert names[0] in " ".join(lines(ftp, "LIST")), "another listing"
    fetch(ftp, parts[2], local)
    ftp.cwd("..")
    ftp.mkd(new)
    ftp.cwd(new)
    store(ftp, parts[0], local)
    ftp.cwd("..")
    ftp.cwd(remote)
    fetch(ftp, parts[3], local)
    # The mode changes, and changes back.
    ftp.set_pasv(not ftp.passiveserver)
    fetch(ftp, parts[4], local)
    ftp.set_pasv(not ftp.passiveserver)
    time.sleep(PAUSE)
    fetch(ftp, parts[5], local)


def aborted(ftp, local, remote, new):
    """A download that the client gives up, and files after it. The file `long` is larger than what is on its way."""
    names = files(ftp, remote)
    ftp.voidcmd("TYPE I")
    ftp.cwd(remote)
    half = len(names) // 2
    fetch(ftp, names[:half], local)
    ftp.cwd("..")
    data = ftp.transfercmd("RETR long")
    assert len(data.recv(1000, socket.MSG_WAITALL)) == 1000
    # A server that writes to a client that does not read sees no command: first let it fail to write.
    data.close()
    # As any command: a relay that records keeps no byte urgent.
    ftp.putcmd("ABOR")
    # How many replies an abort has depends on the server.
    ftp.putcmd("NOOP")
    while not ftp.getmultiline().startswith("200"):
        pass
    ftp.cwd(remote)
    fetch(ftp, names[half:], local)


def lines(ftp, command):
    found = []
    ftp.retrlines(command, found.append)
    return found


DEEDS = {"whole": whole, "mixed": mixed, "aborted": aborted}


def main(host, port, user, password, mode, deed, *directories):
    ftp = ftplib.FTP(timeout=60)
    ftp.connect(host, int(port))
    ftp.login(user, password)
    ftp.set_pasv(mode == "passive")
    DEEDS[deed](ftp, *directories)
    ftp.quit()


if __name__ == "__main__":
    main(*sys.argv[1:])
