"""What no AMQP client can do: users, virtual hosts and alarms, by the HTTP API that RabbitMQ's management plugin has."""

import base64
import json
import subprocess
import urllib.parse
import urllib.request
from contextlib import contextmanager

COMMAND_S = 60
WATERMARK = "2GB"


def ask(context, method, *path, body=None):
    assert context.http, "without --http nobody can be asked"
    url = "/".join([context.http.rstrip("/"), "api", *(urllib.parse.quote(part, safe="") for part in path)])
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), method=method)
    request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=COMMAND_S) as answer:
        text = answer.read()
    return json.loads(text) if text else None


@contextmanager
def virtual_host(context, name):
    """A virtual host to which guest may do everything."""
    ask(context, "PUT", "vhosts", name, body={})
    try:
        permit(context, name, "guest")
        yield name
    finally:
        ask(context, "DELETE", "vhosts", name)


@contextmanager
def user(context, name, password, tags=""):
    ask(context, "PUT", "users", name, body={"password": password, "tags": tags})
    try:
        yield name
    finally:
        ask(context, "DELETE", "users", name)


def permit(context, vhost, name, configure=".*", write=".*", read=".*"):
    ask(context, "PUT", "permissions", vhost, name, body={"configure": configure, "write": write, "read": read})


def limit(context, vhost, name, value):
    ask(context, "PUT", "vhost-limits", vhost, name, body={"value": value})


@contextmanager
def alarm(context):
    """Memory is said to be short."""
    assert context.rabbitmqctl, "without --rabbitmqctl nobody raises an alarm"

    def watermark(bytes_max):
        command = [context.rabbitmqctl, "set_vm_memory_high_watermark", "absolute", bytes_max]
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=COMMAND_S)

    watermark("1")
    try:
        yield
    finally:
        watermark(WATERMARK)
