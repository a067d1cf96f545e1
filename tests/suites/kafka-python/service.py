"""What the fixtures import as `test.service`, which the source package leaves out.

The broker runs already, so of the two only `ExternalService` is ever made; a test that starts a broker itself fails here.
"""


class ExternalService:
    """A broker that somebody else started and will end."""

    def __init__(self, host, port):
        self.host = host
        self.port = port

    def open(self):
        pass

    def close(self):
        pass


class SpawnedService:
    """Apache Kafka or ZooKeeper, from their distributions."""

    def __init__(self, *_):
        raise RuntimeError("this test starts a broker from Apache Kafka's distribution")
