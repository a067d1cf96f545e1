import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** Topics, configurations, partitions and groups through the admin client. */
final class Administration {
    private final Main main;
    private final ConfigResource resource;

    Administration(Main main) {
        this.main = main;
        resource = new ConfigResource(ConfigResource.Type.TOPIC, main.topic);
    }

    void run() throws Exception {
        try (Admin admin = main.admin()) {
            Main.same(admin.describeCluster().nodes().get().size(), 1, "nodes");
            main.create(2, Map.of("retention.ms", "3600000"));
            Main.refused(admin.createTopics(List.of(new NewTopic(main.topic, 1, (short) 1))).all(), TopicExistsException.class);
            configurations(admin);
            partitions(admin);
            main.fill(IntStream.range(0, 100), 1);
            TopicPartition first = main.partitions(1).get(0);
            var deleted = admin.deleteRecords(Map.of(first, RecordsToDelete.beforeOffset(30)));
            Main.same(deleted.lowWatermarks().get(first).get().lowWatermark(), 30L, "the first offset that is left");
            var earliest = admin.listOffsets(Map.of(first, OffsetSpec.earliest())).partitionResult(first);
            Main.same(earliest.get().offset(), 30L, "the earliest offset");
            groups(admin, first);
            admin.deleteTopics(List.of(main.topic)).all().get();
            Main.same(admin.listTopics().names().get().contains(main.topic), false, "the deleted topic is listed");
            Main.refused(
                    admin.describeTopics(List.of(main.topic)).allTopicNames(), UnknownTopicOrPartitionException.class);
        }
    }

    private void configurations(Admin admin) throws Exception {
        ConfigEntry found = config(admin, "retention.ms");
        Main.same(List.of(found.value(), found.isDefault()), List.of("3600000", false), "what was set");
        alter(admin, "retention.ms", "7200000", AlterConfigOp.OpType.SET).get();
        alter(admin, "cleanup.policy", "compact", AlterConfigOp.OpType.APPEND).get();
        Main.same(config(admin, "retention.ms").value(), "7200000", "what was altered");
        Main.same(config(admin, "cleanup.policy").value(), "delete,compact", "what was appended");
        alter(admin, "retention.ms", null, AlterConfigOp.OpType.DELETE).get();
        Main.same(config(admin, "retention.ms").isDefault(), true, "what was deleted is the default");
        // Records may be deleted by their offset only where none is kept for its key.
        alter(admin, "cleanup.policy", "compact", AlterConfigOp.OpType.SUBTRACT).get();
        Main.refused(
                alter(admin, "retention.ms", "soon", AlterConfigOp.OpType.SET), InvalidConfigurationException.class);
    }

    private ConfigEntry config(Admin admin, String name) throws Exception {
        return admin.describeConfigs(List.of(resource)).all().get().get(resource).get(name);
    }

    private KafkaFuture<Void> alter(
            Admin admin, String name, String value, AlterConfigOp.OpType operation) {
        AlterConfigOp change = new AlterConfigOp(new ConfigEntry(name, value), operation);
        return admin.incrementalAlterConfigs(Map.of(resource, List.of(change))).all();
    }

    private void partitions(Admin admin) throws Exception {
        var five = Map.of(main.topic, NewPartitions.increaseTo(5));
        admin.createPartitions(five).all().get();
        Main.refused(admin.createPartitions(five).all(), InvalidPartitionsException.class);
        TopicDescription described =
                admin.describeTopics(List.of(main.topic)).allTopicNames().get().get(main.topic);
        List<Integer> found = described.partitions().stream().map(each -> each.partition()).toList();
        Main.same(found, Main.range(0, 5), "partitions");
        int node = described.partitions().get(0).leader().id();
        var directories = admin.describeLogDirs(List.of(node)).allDescriptions().get().get(node).values();
        Set<TopicPartition> stored = directories.stream()
                .flatMap(directory -> directory.replicaInfos().keySet().stream())
                .collect(Collectors.toSet());
        Main.same(stored.containsAll(main.partitions(5)), true, "all partitions are in a log directory");
        Main.same(admin.listPartitionReassignments().reassignments().get(), Map.of(), "reassignments");
    }

    private void groups(Admin admin, TopicPartition first) throws Exception {
        try (var member = main.consumer(Map.of("group.id", main.group))) {
            member.subscribe(List.of(main.topic));
            Main.same(Main.numbers(Main.take(member, 70)), Main.range(30, 100), "what is left of the records");
            member.commitSync();
            GroupListing listed = listed(admin).get(main.group);
            Main.same(
                    List.of(listed.protocol(), listed.groupState().get()),
                    List.of("consumer", GroupState.STABLE), "the group in the list");
            ConsumerGroupDescription described =
                    admin.describeConsumerGroups(List.of(main.group)).all().get().get(main.group);
            Main.same(described.partitionAssignor(), "range", "the assignor");
            var only = described.members().iterator().next();
            Main.same(only.clientId(), "describes itself", "the member");
            Main.same(only.assignment().topicPartitions(), Set.copyOf(main.partitions(5)), "its assignment");
            Main.refused(admin.deleteConsumerGroups(List.of(main.group)).all(), GroupNotEmptyException.class);
        }
        admin.alterConsumerGroupOffsets(main.group, Map.of(first, new OffsetAndMetadata(50))).all().get();
        var offsets = admin.listConsumerGroupOffsets(main.group).partitionsToOffsetAndMetadata().get();
        Main.same(offsets.get(first).offset(), 50L, "the offset that was set");
        admin.deleteConsumerGroupOffsets(main.group, Set.of(first)).all().get();
        offsets = admin.listConsumerGroupOffsets(main.group).partitionsToOffsetAndMetadata().get();
        Main.same(offsets.containsKey(first), false, "the offset that was deleted is there");
        admin.deleteConsumerGroups(List.of(main.group)).all().get();
        Main.same(listed(admin).containsKey(main.group), false, "the deleted group is listed");
    }

    private Map<String, GroupListing> listed(Admin admin) throws Exception {
        return admin.listGroups().all().get().stream().collect(Collectors.toMap(GroupListing::groupId, each -> each));
    }
}
