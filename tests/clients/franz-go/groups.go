package main

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const partitions = 4

// member is a consumer that knows which partitions it has now, and commits what it reads.
type member struct {
	client     *kgo.Client
	lock       sync.Mutex
	share      []int32
	rebalances int
}

func (n names) member(options ...kgo.Opt) *member {
	m := &member{}
	taken := func(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
		m.lock.Lock()
		defer m.lock.Unlock()
		m.share = slices.DeleteFunc(m.share, func(each int32) bool { return slices.Contains(gone[n.topic], each) })
	}
	options = append(
		options, kgo.ConsumerGroup(n.group), kgo.ConsumeTopics(n.topic), kgo.HeartbeatInterval(200*time.Millisecond),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, added map[string][]int32) {
			m.lock.Lock()
			defer m.lock.Unlock()
			m.share = append(m.share, added[n.topic]...)
			m.rebalances++
		}),
		kgo.OnPartitionsRevoked(taken), kgo.OnPartitionsLost(taken),
	)
	m.client = n.client(options...)
	return m
}

func (m *member) has() []int32 {
	m.lock.Lock()
	defer m.lock.Unlock()
	return slices.Sorted(slices.Values(m.share))
}

// readUntil has members read beside each other until a condition holds.
func readUntil(ctx context.Context, seen map[int]bool, what string, done func() bool, members ...*member) {
	for !done() {
		if ctx.Err() != nil {
			fail("never: %s", what)
		}
		for _, each := range members {
			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			fetches := each.client.PollFetches(short)
			cancel()
			for _, value := range numbers(fetches.Records()) {
				seen[value] = true
			}
			// What is refused while others join or leave comes again, or is committed with the next.
			_ = each.client.CommitUncommittedOffsets(ctx)
		}
	}
}

func (n names) membersComeAndGo(ctx context.Context) {
	n.create(ctx, partitions, nil)
	n.fill(ctx, 0, 200, partitions)
	seen := map[int]bool{}
	first := n.member()
	all := func(of *member) func() bool { return func() bool { return len(of.has()) == partitions } }
	readUntil(ctx, seen, "the first member has all", all(first), first)
	readUntil(ctx, seen, "the first member reads all", func() bool { return len(seen) == 200 }, first)
	second := n.member()
	shared := func() bool { return len(first.has()) == 2 && len(second.has()) == 2 }
	readUntil(ctx, seen, "two members share the partitions", shared, first, second)
	same(slices.Sorted(slices.Values(append(first.has(), second.has()...))), []int32{0, 1, 2, 3}, "shares")
	n.fill(ctx, 200, 400, partitions)
	readUntil(ctx, seen, "two members read all", func() bool { return len(seen) == 400 }, first, second)
	first.client.Close()
	readUntil(ctx, seen, "what the first had is taken over", all(second), second)
	n.fill(ctx, 400, 600, partitions)
	readUntil(ctx, seen, "the second member reads all", func() bool { return len(seen) == 600 }, second)
	if second.rebalances < 2 {
		fail("the second member saw no rebalance")
	}
	second.client.Close()
}

// annotate gives the commits of a context their metadata.
func annotate(ctx context.Context, metadata string) context.Context {
	return kgo.PreCommitFnContext(ctx, func(request *kmsg.OffsetCommitRequest) error {
		for t := range request.Topics {
			for p := range request.Topics[t].Partitions {
				request.Topics[t].Partitions[p].Metadata = &metadata
			}
		}
		return nil
	})
}

func (n names) commitsAreResumed(ctx context.Context) {
	n.create(ctx, 1, nil)
	n.fill(ctx, 0, 100, 1)
	admin := n.admin()
	defer admin.Close()
	for _, begin := range []int{0, 40} {
		reader := n.member()
		records := take(ctx, reader.client, 40)
		same(numbers(records), span(begin, begin+40), "values")
		metadata := "up to " + strconv.Itoa(begin+40)
		check(reader.client.CommitRecords(annotate(ctx, metadata), records...), "committing")
		reader.client.Close()
		found, err := admin.FetchOffsets(ctx, n.group)
		check(err, "fetching offsets")
		offset, _ := found.Lookup(n.topic, 0)
		same([]any{offset.At, offset.Metadata}, []any{int64(begin + 40), metadata}, "committed")
	}
	lags, err := admin.Lag(ctx, n.group)
	check(err, "the lag")
	lag, _ := lags[n.group].Lag.Lookup(n.topic, 0)
	same(lag.Lag, int64(20), "lag of the group")
	check(admin.CommitAllOffsets(ctx, n.group, kadm.OffsetsFromRecords(kgo.Record{Topic: n.topic, Offset: 89})), "setting")
	last := n.member()
	same(numbers(take(ctx, last.client, 10)), span(90, 100), "values after the offset that was set")
	last.client.Close()
}
