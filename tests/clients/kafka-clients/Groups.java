import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.BooleanSupplier;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;

/** Members that come and go, with both kinds of rebalancing, and what they commit. */
final class Groups {
    private static final int PARTITIONS = 4;

    private final Main main;
    private final Set<Integer> seen = new TreeSet<>();

    Groups(Main main) {
        this.main = main;
    }

    void membersComeAndGo() throws Exception {
        main.create(PARTITIONS, Map.of());
        main.fill(IntStream.range(0, 200), PARTITIONS);
        for (Class<?> assignor : List.of(RangeAssignor.class, CooperativeStickyAssignor.class)) {
            seen.clear();
            comeAndGo(assignor.getName(), main.group + assignor.getSimpleName());
        }
    }

    private void comeAndGo(String assignor, String group) {
        Member first = new Member(assignor, group);
        readUntil(() -> first.share.size() == PARTITIONS && seen.size() >= 200, "the first reads all", first);
        Member second = new Member(assignor, group);
        BooleanSupplier shared = () -> first.share.size() == 2 && second.share.size() == 2;
        readUntil(shared, "two members share the partitions", first, second);
        Set<Integer> together = new TreeSet<>(first.share);
        together.addAll(second.share);
        Main.same(together, new TreeSet<>(Main.range(0, PARTITIONS)), "the partitions of both");
        int count = seen.size();
        main.fill(IntStream.range(1000 + count, 1200 + count), PARTITIONS);
        readUntil(() -> seen.size() >= count + 200, "two members read all", first, second);
        first.consumer.close();
        readUntil(() -> second.share.size() == PARTITIONS, "what the first had is taken over", second);
        main.fill(IntStream.range(1200 + count, 1300 + count), PARTITIONS);
        readUntil(() -> seen.size() >= count + 300, "the second member reads all", second);
        Main.same(second.rebalances >= 2, true, "the second member saw a rebalance");
        second.consumer.close();
    }

    private void readUntil(BooleanSupplier done, String what, Member... members) {
        long deadline = System.nanoTime() + Main.PATIENCE.toNanos();
        while (!done.getAsBoolean()) {
            Main.same(System.nanoTime() < deadline, true, "in time: " + what);
            for (Member member : members) {
                member.read();
            }
        }
    }

    /** A consumer that knows which partitions it has now, and commits what it reads. */
    private final class Member implements ConsumerRebalanceListener {
        final KafkaConsumer<String, String> consumer;
        final Set<Integer> share = new TreeSet<>();
        int rebalances = 0;

        Member(String assignor, String group) {
            consumer = member(Map.of("group.id", group, "partition.assignment.strategy", assignor));
            consumer.subscribe(List.of(main.topic), this);
        }

        void read() {
            var records = consumer.poll(Duration.ofMillis(50));
            records.forEach(record -> seen.add(Integer.valueOf(record.value())));
            try {
                consumer.commitSync();
            } catch (CommitFailedException | RebalanceInProgressException meanwhile) {
                // Another member joins or leaves; what was read here comes again, or is committed with the next.
                return;
            }
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> added) {
            added.forEach(each -> share.add(each.partition()));
            rebalances++;
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> taken) {
            taken.forEach(each -> share.remove(each.partition()));
        }
    }

    private KafkaConsumer<String, String> member(Map<String, String> settings) {
        Map<String, String> all = new HashMap<>(settings);
        all.put("heartbeat.interval.ms", "200");
        return main.consumer(all);
    }

    void commitsAreResumed() throws Exception {
        main.create(1, Map.of());
        main.fill(IntStream.range(0, 100), 1);
        TopicPartition partition = main.partitions(1).get(0);
        for (int begin : List.of(0, 40)) {
            try (var member = member(Map.of("group.id", main.group, "max.poll.records", "40"))) {
                member.subscribe(List.of(main.topic));
                Main.same(Main.numbers(Main.take(member, 40)), Main.range(begin, begin + 40), "values");
                OffsetAndMetadata offset = new OffsetAndMetadata(begin + 40, "up to " + (begin + 40));
                member.commitSync(Map.of(partition, offset));
                Main.same(member.committed(Set.of(partition)), Map.of(partition, offset), "what is committed");
            }
        }
        try (Admin admin = main.admin()) {
            var found = admin.listConsumerGroupOffsets(main.group).partitionsToOffsetAndMetadata().get();
            Main.same(found, Map.of(partition, new OffsetAndMetadata(80, "up to 80")), "offsets of the group");
        }
    }
}
