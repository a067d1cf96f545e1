import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreatePartitionsOptions;
import org.apache.kafka.clients.admin.DescribeClusterOptions;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ElectionNotNeededException;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.InvalidRequestException;
import org.apache.kafka.common.errors.ResourceNotFoundException;
import org.apache.kafka.common.errors.SecurityDisabledException;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/** What consoles ask when they start and on their pages: AKHQ, kafbat, Redpanda Console. */
final class Consoles {
    private final Main main;
    private final Admin admin;

    Consoles(Main main, Admin admin) {
        this.main = main;
        this.admin = admin;
    }

    void ask() throws Exception {
        main.create(2, Map.of());
        main.fill(IntStream.range(0, 100), 2);
        int node = cluster();
        topics();
        configurations(node);
        offsets();
        groups();
        security();
        transactions();
        TopicPartition first = main.partitions(1).get(0);
        var replica = new TopicPartitionReplica(main.topic, 0, node);
        var directory = admin.describeReplicaLogDirs(List.of(replica)).all().get().get(replica);
        Main.same(directory.getCurrentReplicaLogDir() != null, true, "the partition is in a log directory");
        var producers = admin.describeProducers(List.of(first)).partitionResult(first).get().activeProducers();
        Main.same(producers.size(), 1, "producers of a partition");
        Main.same(producers.get(0).lastSequence(), 49, "the last sequence of its producer");
        var election = admin.electLeaders(ElectionType.PREFERRED, Set.of(first)).partitions().get();
        Main.same(election.get(first).get().getClass(), ElectionNotNeededException.class, "the election");
    }

    private int cluster() throws Exception {
        var asked = new DescribeClusterOptions().includeAuthorizedOperations(true);
        var cluster = admin.describeCluster(asked);
        Main.same(cluster.controller().get(), cluster.nodes().get().iterator().next(), "the controller");
        Main.same(cluster.clusterId().get().length(), 22, "length of the cluster's id");
        Main.same(cluster.authorizedOperations().get().size(), 7, "what may be done to the cluster");
        // kafbat takes the release for this level, and without it believes that the broker can do nothing.
        var features = admin.describeFeatures().featureMetadata().get();
        short level = features.finalizedFeatures().get("metadata.version").maxVersionLevel();
        Main.same(level >= 29, true, "the release is 4.2 or later");
        int id = cluster.controller().get().id();
        var quorum = admin.describeMetadataQuorum().quorumInfo().get();
        Main.same(List.of(quorum.leaderId(), quorum.voters().size(), quorum.observers().size()), List.of(id, 1, 0), "the quorum");
        Main.same(quorum.voters().get(0).logEndOffset(), quorum.highWatermark(), "what the quorum's leader has");
        return id;
    }

    private void topics() throws Exception {
        var listed = admin.listTopics(new ListTopicsOptions().listInternal(true)).namesToListings().get();
        TopicCollection ids = TopicCollection.ofTopicIds(List.of(listed.get(main.topic).topicId()));
        var asked = new DescribeTopicsOptions().includeAuthorizedOperations(true);
        TopicDescription named = admin.describeTopics(List.of(main.topic), asked).allTopicNames().get().get(main.topic);
        TopicDescription identified = admin.describeTopics(ids).allTopicIds().get().get(named.topicId());
        Main.same(List.of(identified.name(), identified.partitions().size()), List.of(main.topic, 2), "the topic by its id");
        Main.same(named.authorizedOperations().size(), 8, "what may be done to the topic");
        var validated = new CreatePartitionsOptions().validateOnly(true);
        admin.createPartitions(Map.of(main.topic, NewPartitions.increaseTo(3)), validated).all().get();
        named = admin.describeTopics(List.of(main.topic)).allTopicNames().get().get(main.topic);
        Main.same(named.partitions().size(), 2, "partitions after they were validated only");
    }

    private void configurations(int node) throws Exception {
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, "" + node);
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, main.topic);
        var asked = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
        var found = admin.describeConfigs(List.of(broker, topic), asked).all().get();
        for (String name : List.of("delete.topic.enable", "log.dirs", "num.partitions", "message.max.bytes")) {
            Main.same(found.get(broker).get(name) != null, true, "the broker says its " + name);
        }
        for (ConfigEntry entry : found.get(topic).entries()) {
            Main.same(entry.documentation().isEmpty(), false, entry.name() + " without documentation");
        }
        var resources = admin.listConfigResources().all().get();
        ConfigResource logger = new ConfigResource(ConfigResource.Type.BROKER_LOGGER, "" + node);
        Main.same(resources.containsAll(List.of(broker, logger, topic)), true, "resources with configurations");
        ConfigResource everyBroker = new ConfigResource(ConfigResource.Type.BROKER, "");
        ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, main.group);
        found = admin.describeConfigs(List.of(everyBroker, group, logger)).all().get();
        Main.same(found.get(group).get("consumer.session.timeout.ms").value(), "45000", "a setting of a group");
        Main.same(found.get(logger).get("root") != null, true, "the root logger has a level");
        var unchangeable = new AlterConfigOp(new ConfigEntry("num.partitions", "3"), AlterConfigOp.OpType.SET);
        for (ConfigResource each : List.of(broker, everyBroker)) {
            var altered = admin.incrementalAlterConfigs(Map.of(each, List.of(unchangeable)));
            Main.refused(altered.all(), InvalidRequestException.class);
        }
    }

    private void offsets() throws Exception {
        TopicPartition first = main.partitions(1).get(0);
        Map<OffsetSpec, Long> expected = Map.of(
                OffsetSpec.earliest(), 0L, OffsetSpec.latest(), 50L, OffsetSpec.maxTimestamp(), 49L,
                OffsetSpec.earliestLocal(), 0L, OffsetSpec.latestTiered(), -1L,
                OffsetSpec.forTimestamp(Main.FIRST_TIMESTAMP_MS + 25), 2L);
        for (var each : expected.entrySet()) {
            var found = admin.listOffsets(Map.of(first, each.getKey())).partitionResult(first).get();
            Main.same(found.offset(), each.getValue(), each.getKey().getClass().getSimpleName());
        }
    }

    private void groups() throws Exception {
        try (var member = main.consumer(Map.of("group.id", main.group))) {
            member.subscribe(List.of(main.topic));
            Main.take(member, 100);
            member.commitSync();
        }
        var all = new ListConsumerGroupOffsetsSpec();
        var offsets = admin.listConsumerGroupOffsets(Map.of(main.group, all, main.group + "-none", all)).all().get();
        Main.same(offsets.get(main.group).size(), 2, "offsets of the group");
        Main.same(offsets.get(main.group + "-none"), Map.of(), "offsets of a group that is not");
        var described = admin.describeConsumerGroups(List.of(main.group + "-none"));
        Main.refused(described.all(), GroupIdNotFoundException.class);
    }

    /** Without an authorizer consoles hide their pages of access control, if they are told so. */
    private void security() throws Exception {
        var pattern = new ResourcePattern(ResourceType.TOPIC, main.topic, PatternType.LITERAL);
        var entry = new AccessControlEntry("User:ada", "*", AclOperation.READ, AclPermissionType.ALLOW);
        var acl = new AclBinding(pattern, entry);
        Main.refused(admin.describeAcls(AclBindingFilter.ANY).values(), SecurityDisabledException.class);
        Main.refused(admin.createAcls(List.of(acl)).all(), SecurityDisabledException.class);
        Main.refused(admin.deleteAcls(List.of(acl.toFilter())).all(), SecurityDisabledException.class);
        Main.same(admin.describeUserScramCredentials().all().get(), Map.of(), "users");
        var described = admin.describeUserScramCredentials(List.of("ada"));
        Main.refused(described.description("ada"), ResourceNotFoundException.class);
        admin.describeClientQuotas(ClientQuotaFilter.all()).entities().get();
    }

    private void transactions() throws Exception {
        var ours = admin.listTransactions().all().get().stream();
        Main.same(ours.anyMatch(each -> each.transactionalId().startsWith(main.topic)), false, "transactions");
        var ongoing = new ListTransactionsOptions().filterStates(List.of(TransactionState.ONGOING)).filterOnDuration(5);
        Main.same(admin.listTransactions(ongoing).all().get(), List.of(), "transactions that go on");
    }
}
