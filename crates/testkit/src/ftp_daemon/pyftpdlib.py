"""An FTP server for one user, who may do everything in one directory.

Arguments: address, port, user, password, directory, greeting.
"""

import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

address, port, user, password, directory, greeting = sys.argv[1:]

authorizer = DummyAuthorizer()
authorizer.add_user(user, password, directory, perm="elradfmwMT")
FTPHandler.authorizer = authorizer
FTPHandler.banner = greeting
FTPServer((address, int(port)), FTPHandler).serve_forever()
