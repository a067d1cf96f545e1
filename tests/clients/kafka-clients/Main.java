import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** kafka-clients: Apache Kafka's own. Groups, the administration and what consoles ask are in files of their own. */
final class Main {
    static final long FIRST_TIMESTAMP_MS = 1_700_000_000_000L;
    static final Duration PATIENCE = Duration.ofSeconds(40);

    final String bootstrap;
    final String topic;
    final String group;

    private Main(String bootstrap, String topic, String group) {
        this.bootstrap = bootstrap;
        this.topic = topic;
        this.group = group;
    }

    public static void main(String[] arguments) throws Exception {
        Main main = new Main(arguments[1], arguments[2], arguments[3]);
        switch (arguments[0]) {
            case "records_come_back_whole" -> main.recordsComeBackWhole(arguments[4]);
            case "members_come_and_go" -> new Groups(main).membersComeAndGo();
            case "commits_are_resumed" -> new Groups(main).commitsAreResumed();
            case "times_and_ends_are_found" -> main.timesAndEndsAreFound();
            case "topics_and_groups_are_administered" -> new Administration(main).run();
            case "consoles_are_answered" -> main.consolesAreAnswered();
            default -> throw new IllegalArgumentException(arguments[0] + " is no scenario");
        }
    }

    private void consolesAreAnswered() throws Exception {
        try (Admin admin = admin()) {
            new Consoles(this, admin).ask();
        }
    }

    private void recordsComeBackWhole(String codec) throws Exception {
        create(2, Map.of());
        List<Row> sent = new ArrayList<>();
        List<Future<RecordMetadata>> reports = new ArrayList<>();
        Properties settings = settings(Map.of("compression.type", codec, "linger.ms", "20"));
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            for (int n = 0; n < 1500; n++) {
                String value = ("value " + n + " ").repeat(n % 20 + 1);
                Row row = new Row(n % 2, n / 2, FIRST_TIMESTAMP_MS + n, "key " + n % 9, value, "" + n);
                sent.add(row);
                List<Header> headers = List.of(new RecordHeader("n", row.header.getBytes()));
                reports.add(producer.send(
                        new ProducerRecord<>(topic, row.partition, row.timestampMs, row.key, row.value, headers)));
            }
        }
        for (int n = 0; n < sent.size(); n++) {
            RecordMetadata report = reports.get(n).get();
            same(List.of(report.partition(), report.offset()), List.of(n % 2, n / 2L), "delivery report");
        }
        try (var consumer = consumer(Map.of())) {
            consumer.assign(partitions(2));
            consumer.seekToBeginning(consumer.assignment());
            List<Row> found = take(consumer, sent.size()).stream().map(Row::of).toList();
            for (int partition = 0; partition < 2; partition++) {
                same(Row.in(found, partition), Row.in(sent, partition), "records of partition " + partition);
            }
        }
    }

    private void timesAndEndsAreFound() throws Exception {
        create(1, Map.of());
        fill(IntStream.range(0, 100), 1);
        TopicPartition partition = partitions(1).get(0);
        try (var consumer = consumer(Map.of())) {
            consumer.assign(List.of(partition));
            same(consumer.beginningOffsets(List.of(partition)), Map.of(partition, 0L), "beginning");
            same(consumer.endOffsets(List.of(partition)), Map.of(partition, 100L), "end");
            OffsetAndTimestamp found =
                    consumer.offsetsForTimes(Map.of(partition, FIRST_TIMESTAMP_MS + 405)).get(partition);
            List<Long> expected = List.of(41L, FIRST_TIMESTAMP_MS + 410);
            same(List.of(found.offset(), found.timestamp()), expected, "the first record at or after a time");
            var later = consumer.offsetsForTimes(Map.of(partition, FIRST_TIMESTAMP_MS + 9999));
            same(later.get(partition), null, "after the last record");
            consumer.seek(partition, found.offset());
            same(numbers(take(consumer, 59)), range(41, 100), "values after the seek");
        }
    }

    /** A record as it is compared. */
    private record Row(int partition, long offset, long timestampMs, String key, String value, String header) {
        static Row of(ConsumerRecord<String, String> from) {
            String header = new String(from.headers().lastHeader("n").value());
            return new Row(from.partition(), from.offset(), from.timestamp(), from.key(), from.value(), header);
        }

        static List<Row> in(List<Row> rows, int partition) {
            return rows.stream().filter(row -> row.partition == partition).toList();
        }
    }

    Properties settings(Map<String, String> more) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("client.id", "describes itself");
        settings.putAll(more);
        return settings;
    }

    Admin admin() {
        return Admin.create(settings(Map.of()));
    }

    KafkaConsumer<String, String> consumer(Map<String, String> more) {
        Properties settings = settings(more);
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "earliest");
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }

    List<TopicPartition> partitions(int count) {
        return IntStream.range(0, count).mapToObj(n -> new TopicPartition(topic, n)).toList();
    }

    void create(int partitions, Map<String, String> configs) throws Exception {
        try (Admin admin = admin()) {
            NewTopic newTopic = new NewTopic(topic, partitions, (short) 1).configs(configs);
            admin.createTopics(List.of(newTopic)).all().get();
        }
    }

    /** Records whose values are numbers, one after the other to each partition, ten milliseconds apart. */
    void fill(IntStream values, int partitions) {
        try (var producer = new KafkaProducer<>(settings(Map.of()), new StringSerializer(), new StringSerializer())) {
            values.forEach(n -> producer.send(
                    new ProducerRecord<>(topic, n % partitions, FIRST_TIMESTAMP_MS + 10L * n, null, "" + n)));
        }
    }

    static List<ConsumerRecord<String, String>> take(KafkaConsumer<String, String> consumer, int count) {
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (records.size() < count && System.nanoTime() < deadline) {
            consumer.poll(Duration.ofMillis(100)).forEach(records::add);
        }
        same(records.size(), count, "records that arrived in time");
        return records;
    }

    static List<Integer> numbers(Collection<ConsumerRecord<String, String>> records) {
        return records.stream().map(record -> Integer.valueOf(record.value())).toList();
    }

    static List<Integer> range(int begin, int end) {
        return IntStream.range(begin, end).boxed().toList();
    }

    static void same(Object actual, Object expected, String what) {
        if (!Objects.equals(actual, expected)) {
            throw new AssertionError(what + ": " + actual + " instead of " + expected);
        }
    }

    /** Waits for an answer that has to be an error of this class. */
    static void refused(Future<?> answer, Class<? extends Exception> expected) throws InterruptedException {
        try {
            throw new AssertionError(answer.get() + " instead of " + expected.getSimpleName());
        } catch (ExecutionException failure) {
            same(failure.getCause().getClass(), expected, "the error");
        }
    }
}
