package main

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func (n names) topicsAndGroupsAreAdministered(ctx context.Context) {
	admin := n.admin()
	defer admin.Close()
	brokers, err := admin.ListBrokers(ctx)
	check(err, "listing brokers")
	same(len(brokers), 1, "brokers")
	n.create(ctx, 2, map[string]*string{"retention.ms": kadm.StringPtr("3600000")})
	_, err = admin.CreateTopic(ctx, 2, 1, nil, n.topic)
	refused(err, kerr.TopicAlreadyExists)
	n.configurationsAreChanged(ctx, admin)

	refused(n.grow(ctx, admin, 2), kerr.InvalidPartitions)
	check(n.grow(ctx, admin, 5), "more partitions")
	topics, err := admin.ListTopics(ctx, n.topic)
	check(err, "listing topics")
	same(topics[n.topic].Partitions.Numbers(), []int32{0, 1, 2, 3, 4}, "partitions")
	n.fill(ctx, 0, 100, 1)
	offsets := kadm.Offsets{}
	offsets.AddOffset(n.topic, 0, 30, -1)
	deleted, err := admin.DeleteRecords(ctx, offsets)
	check(err, "deleting records")
	same(deleted[n.topic][0].LowWatermark, int64(30), "the first offset that is left")
	n.groupsAreAdministered(ctx, admin)
	_, err = admin.DeleteTopic(ctx, n.topic)
	check(err, "deleting the topic")
	// A client remembers topics for a while, so another one looks.
	other := n.admin()
	defer other.Close()
	topics, err = other.ListTopics(ctx)
	check(err, "listing topics")
	same(topics.Has(n.topic), false, "the deleted topic is listed")
}

func (n names) grow(ctx context.Context, admin *kadm.Client, count int) error {
	answers, err := admin.UpdatePartitions(ctx, count, n.topic)
	return errors.Join(err, answers[n.topic].Err)
}

func (n names) configurationsAreChanged(ctx context.Context, admin *kadm.Client) {
	alter := func(operation kadm.IncrementalOp, value *string) error {
		change := kadm.AlterConfig{Op: operation, Name: "retention.ms", Value: value}
		answers, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{change}, n.topic)
		check(err, "altering")
		return answers[0].Err
	}
	same(n.config(ctx, admin, "retention.ms"), "3600000", "what was set")
	check(alter(kadm.SetConfig, kadm.StringPtr("7200000")), "setting")
	same(n.config(ctx, admin, "retention.ms"), "7200000", "what was altered")
	check(alter(kadm.DeleteConfig, nil), "deleting")
	same(n.config(ctx, admin, "retention.ms"), "604800000", "what was deleted is the default")
	refused(alter(kadm.SetConfig, kadm.StringPtr("soon")), kerr.InvalidConfig)
}

func (n names) config(ctx context.Context, admin *kadm.Client, name string) string {
	resources, err := admin.DescribeTopicConfigs(ctx, n.topic)
	check(err, "describing")
	check(resources[0].Err, "describing")
	for _, each := range resources[0].Configs {
		if each.Key == name {
			return each.MaybeValue()
		}
	}
	return "nothing"
}

func (n names) groupsAreAdministered(ctx context.Context, admin *kadm.Client) {
	reader := n.member()
	same(numbers(take(ctx, reader.client, 70)), span(30, 100), "what is left of the records")
	check(reader.client.CommitUncommittedOffsets(ctx), "committing")
	listed, err := admin.ListGroups(ctx)
	check(err, "listing groups")
	same([]string{listed[n.group].ProtocolType, listed[n.group].State}, []string{"consumer", "Stable"}, "the listed group")
	described, err := admin.DescribeGroups(ctx, n.group)
	check(err, "describing groups")
	group := described[n.group]
	same([]string{group.State, group.Protocol}, []string{"Stable", "cooperative-sticky"}, "the group")
	same(len(group.Members), 1, "members")
	same(group.Members[0].ClientID, "describes itself", "the member")
	assigned := group.AssignedPartitions()
	same(assigned.Sorted()[0].Partitions, []int32{0, 1, 2, 3, 4}, "its assignment")
	_, err = admin.DeleteGroup(ctx, n.group)
	refused(err, kerr.NonEmptyGroup)
	reader.client.Close()
	set := kadm.TopicsSet{}
	set.Add(n.topic, 0)
	forgotten, err := admin.DeleteOffsets(ctx, n.group, set)
	check(err, "deleting offsets")
	check(forgotten.Error(), "deleting an offset")
	_, err = admin.DeleteGroup(ctx, n.group)
	check(err, "deleting the group")
	listed, err = admin.ListGroups(ctx)
	check(err, "listing groups")
	_, there := listed[n.group]
	same(there, false, "the deleted group is listed")
}

func refused(err, expected error) {
	if !errors.Is(err, expected) {
		fail("%v instead of %v", err, expected)
	}
}
