"""The HTTP listener, as a load balancer and a metrics collector see it."""

import urllib.error
import urllib.request

from scenario import equal, scenario


def get(context, path):
    with urllib.request.urlopen(context.http + path, timeout=20) as answer:
        return answer.status, answer.headers.get_content_type(), answer.read().decode()


@scenario(only_firth=True)
def health_and_metrics_are_served(context):
    equal(get(context, "/healthz")[0], 200, "the status of /healthz")
    status, content_type, text = get(context, "/metrics")
    equal((status, content_type), (200, "text/plain"), "the head of /metrics")
    samples = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert samples, "/metrics has no sample"
    for sample in samples:
        float(sample.rsplit(" ", 1)[1])


@scenario(only_firth=True)
def an_unknown_path_is_not_found(context):
    try:
        get(context, "/no/such/page")
    except urllib.error.HTTPError as refusal:
        equal(refusal.code, 404, "the status")
        return
    raise AssertionError("an unknown path was answered with success")
