"""A private Kafka broker (KRaft, one node) and the few client verbs that tests need."""

import re
import subprocess
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from tests.lab.process import LabError, Process, wait_until

MAX_MESSAGE_BYTES = 110 * 1024 * 1024


def java(jars, heap, main_class, *arguments):
    """The command line of a Kafka class."""
    return ["java", f"-Xmx{heap}", "-Xms64m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError",
            "-Duser.timezone=UTC",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
            "-cp", f"{jars}/*", main_class, *map(str, arguments)]


class Broker:
    """One broker that is its own controller."""

    def __init__(self, directory, jars, port, controller_port):
        self.directory = Path(directory)
        self.jars = jars
        self.port = port
        self.controller_port = controller_port
        self.address = f"127.0.0.1:{port}"
        self.properties = self.directory / "broker.properties"
        self._process = None

    def create(self):
        """Writes the properties and formats the log directory."""
        self.directory.mkdir()
        self.properties.write_text(f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{self.controller_port}
listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{self.port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={self.directory}/logs
num.partitions=1
auto.create.topics.enable=true
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=1500
broker.heartbeat.interval.ms=300
message.max.bytes={MAX_MESSAGE_BYTES}
replica.fetch.max.bytes={MAX_MESSAGE_BYTES}
log.retention.ms=-1
log.retention.check.interval.ms=500
log.message.timestamp.after.max.ms=9223372036854775807
""")
        self._storage_tool("format", "-t", self._storage_tool("random-uuid"), "-c", self.properties)

    def start(self, wait=True):
        """Starts the broker; with `wait`, returns when it has accepted a record."""
        self._process = Process("broker", java(self.jars, "512m", "kafka.Kafka", self.properties),
                                self.directory / "broker.log")
        if wait:
            self.await_ready()

    def await_ready(self):
        wait_until(self._accepts_a_record, "the broker to accept a record", alive=self._process)

    def is_running(self):
        return self._process is not None and self._process.is_alive()

    def stop(self):
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self):
        """kill -9."""
        self._process.kill()
        self._process = None

    def topics(self, pattern=".*"):
        """Names and partition counts of the topics that match the whole pattern."""
        found = self._admin().list_topics(timeout=10).topics
        return {name: len(topic.partitions) for name, topic in found.items()
                if re.fullmatch(pattern, name)}

    def create_topic(self, name, partitions=1, settings=None):
        self.create_topics([name], partitions, settings)

    def create_topics(self, names, partitions=1, settings=None):
        """Creates topics all at once: a producer that has to make them does so one by one."""
        topics = [NewTopic(name, num_partitions=partitions, replication_factor=1,
                           config=settings or {}) for name in names]
        admin = self._admin()  # Has to outlive the futures.
        for future in admin.create_topics(topics).values():
            future.result(timeout=30)

    def delete_topics(self, pattern):
        names = list(self.topics(pattern))
        admin = self._admin()
        if names:
            for future in admin.delete_topics(names, operation_timeout=10).values():
                future.result(timeout=30)

    def retain_little(self, topic):
        """Lets records of the topic expire as soon as later ones follow."""
        self._configure(topic, {"retention.ms": "100", "segment.ms": "100",
                                "file.delete.delay.ms": "0"})

    def retain_again(self, topic):
        """As long as the broker does."""
        self._configure(topic, {})

    def _configure(self, topic, settings):
        admin = self._admin()
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, set_config=settings)
        for future in admin.alter_configs([resource]).values():
            future.result(timeout=30)

    def first_offset(self, topic):
        """Where the topic's partition 0 begins now."""
        consumer = self._consumer()
        try:
            return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[0]
        finally:
            consumer.close()

    def end_offsets(self, pattern):
        """The end offset of every (topic, partition) whose topic matches."""
        consumer = self._consumer()
        try:
            return {(name, partition):
                    consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=10)[1]
                    for name, count in self.topics(pattern).items() for partition in range(count)}
        finally:
            consumer.close()

    def record_count(self, pattern):
        """Records in all matching topics (as long as nothing is compacted or transactional)."""
        return sum(self.end_offsets(pattern).values())

    def records(self, pattern, timeout=30):
        """Every record of the matching topics, read from the beginning to the present end."""
        ends = {place: end for place, end in self.end_offsets(pattern).items() if end > 0}
        consumer = self._consumer()
        try:
            consumer.assign([TopicPartition(name, part, 0) for name, part in ends])
            found = []
            while ends:
                message = consumer.poll(timeout)
                if message is None:
                    raise LabError(f"no record for {timeout} s, still awaited: {ends}")
                if message.error() is not None:
                    raise KafkaException(message.error())
                found.append(message)
                place = (message.topic(), message.partition())
                if message.offset() + 1 >= ends.get(place, 0):
                    ends.pop(place, None)
            return found
        finally:
            consumer.close()

    def produce(self, topic, key, value, **options):
        """Writes one record and returns when it is acknowledged.  Options: partition, headers."""
        producer = Producer({"bootstrap.servers": self.address, "acks": "all",
                             "message.timeout.ms": 10000, "message.max.bytes": MAX_MESSAGE_BYTES})
        failures = []
        producer.produce(
            topic, key=key, value=value, **options, on_delivery=lambda error, _:
            failures.append(str(error)) if error is not None else None)
        if producer.flush(15) or failures:
            raise LabError(f"record for {topic} was not accepted: {failures}")

    def _admin(self):
        return AdminClient({"bootstrap.servers": self.address, "log_level": 0})

    def _consumer(self):
        return Consumer({"bootstrap.servers": self.address, "group.id": "lab", "log_level": 0,
                         "enable.auto.commit": False, "auto.offset.reset": "error",
                         "fetch.wait.max.ms": 50})

    def _accepts_a_record(self):
        producer = Producer({"bootstrap.servers": self.address, "acks": "all", "log_level": 0,
                             "message.timeout.ms": 3000, "reconnect.backoff.max.ms": 200})
        accepted = []  # A KafkaError must not be compared with None by ==: 1.7.0 breaks then.
        producer.produce("lab_probe", value=b"1",
                         on_delivery=lambda error, _: accepted.append(error is None))
        producer.flush(5)
        return accepted == [True]

    def _storage_tool(self, *arguments):
        done = subprocess.run(java(self.jars, "128m", "kafka.tools.StorageTool", *arguments),
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LabError(f"StorageTool {arguments[0]}: {done.stdout}{done.stderr}")
        return done.stdout.strip()
