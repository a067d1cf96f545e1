import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueStore;

/** Counts words, until it is killed. */
final class Main {
    private Main() {}

    public static void main(String[] arguments) throws Exception {
        String application = arguments[1];
        Path directory = Path.of(arguments[2]);
        String guarantee = arguments[3];

        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, directory.toString());
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee);
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 200);
        // What was read of a repartition topic is deleted with DeleteRecords, by default twice a minute.
        settings.put(StreamsConfig.REPARTITION_PURGE_INTERVAL_MS_CONFIG, 500);
        // The least that brokers allow: an instance that is killed keeps its tasks for so long.
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG), 6000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG), 500);
        settings.put(StreamsConfig.RECONNECT_BACKOFF_MAX_MS_CONFIG, 200);

        CountDownLatch end = new CountDownLatch(1);
        try (KafkaStreams streams = new KafkaStreams(topology(application), settings)) {
            streams.setUncaughtExceptionHandler(failure -> {
                failure.printStackTrace();
                end.countDown();
                return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
            });
            streams.start();
            while (end.getCount() > 0) {
                say(directory.resolve("tasks"), tasks(streams));
                Thread.sleep(100);
            }
        }
        System.exit(3);
    }

    private static Topology topology(String application) {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, String> lines = builder.stream(application + "-lines");
        Materialized<String, Long, KeyValueStore<Bytes, byte[]>> store = Materialized.as("counts");
        lines.flatMapValues(line -> List.of(line.split(" ")))
                .groupBy((key, word) -> word)
                .count(store)
                .toStream()
                .mapValues(count -> "" + count)
                .to(application + "-counts", Produced.with(Serdes.String(), Serdes.String()));
        return builder.build();
    }

    /** How many tasks this instance runs now. */
    private static int tasks(KafkaStreams streams) {
        if (streams.state() != KafkaStreams.State.RUNNING) {
            return 0;
        }
        return streams.metadataForLocalThreads().stream().mapToInt(thread -> thread.activeTasks().size()).sum();
    }

    private static void say(Path file, int tasks) throws Exception {
        Path partial = file.resolveSibling("tasks.partial");
        Files.writeString(partial, "" + tasks);
        Files.move(partial, file, StandardCopyOption.ATOMIC_MOVE);
    }
}
