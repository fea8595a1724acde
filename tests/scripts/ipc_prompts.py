"""Opens a tunnel and answers the prompt for it on the same connection: SOCKET PASSWORD."""

import json
import socket
import sys

path, password = sys.argv[1:]
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(30)
connection.connect(path)
answers = connection.makefile("r")


def send(**requests):
    """Sends requests in one write, each with its method as its id."""
    lines = [
        json.dumps({"jsonrpc": "2.0", "id": name, "method": name.replace("_", "-"), "params": params})
        for name, params in requests.items()
    ]
    connection.sendall("".join(line + "\n" for line in lines).encode())


def receive(*names):
    """The results of these requests, in whatever order they come."""
    results = {}
    while len(results) < len(names):
        answer = json.loads(answers.readline())
        assert answer["id"] in names, answer
        results[answer["id"]] = answer["result"]
    return [results[name] for name in names]


tunnel = {"kind": "ftp", "listen_port": 0, "dst_host": "127.0.0.1", "dst_port": 21, "target": "work"}
send(hello={"protocol": 1})
receive("hello")
send(attend_prompts={"target": "work"})
receive("attend_prompts")
send(next_prompt={}, open_tunnel_listener=tunnel, status={})
# The status comes while the tunnel waits for the prompt, and the prompt for its answer.
shown, status = receive("next_prompt", "status")
prompt = shown["prompt"]
assert prompt["kind"] == "password", prompt
assert status["tunnels"] == 2, status
send(answer_prompt={"id": prompt["id"], "texts": [password]}, next_prompt={"shown": prompt["id"]})
answered, shown, opened = receive("answer_prompt", "next_prompt", "open_tunnel_listener")
assert answered == {}, answered
assert shown["prompt"] is None, shown
assert opened["state"] == "listening", opened
