// franz-go: a client in pure Go, idempotent and with cooperative rebalancing unless told otherwise.
// Groups and the administration are in files of their own.
package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	patience         = 40 * time.Second
	firstTimestampMs = 1_700_000_000_000
)

// names are what a scenario is given: the broker, and what is the scenario's alone.
type names struct {
	bootstrap, topic, group string
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	given := names{os.Args[2], os.Args[3], os.Args[4]}
	switch os.Args[1] {
	case "records_come_back_whole":
		given.recordsComeBackWhole(ctx, os.Args[5])
	case "members_come_and_go":
		given.membersComeAndGo(ctx)
	case "commits_are_resumed":
		given.commitsAreResumed(ctx)
	case "times_and_ends_are_found":
		given.timesAndEndsAreFound(ctx)
	case "topics_and_groups_are_administered":
		given.topicsAndGroupsAreAdministered(ctx)
	default:
		fail("%s is no scenario", os.Args[1])
	}
}

// row is a record as it is compared.
type row struct {
	Partition                int32
	Offset, TimestampMs      int64
	Key, Value, Name, Header string
}

func rowOf(r *kgo.Record) row {
	header := kgo.RecordHeader{}
	if len(r.Headers) == 1 {
		header = r.Headers[0]
	}
	return row{
		r.Partition, r.Offset, r.Timestamp.UnixMilli(), string(r.Key), string(r.Value), header.Key, string(header.Value),
	}
}

func (n names) recordsComeBackWhole(ctx context.Context, codec string) {
	n.create(ctx, 2, nil)
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	producer := n.client(
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(20*time.Millisecond),
		kgo.ProducerBatchCompression(codecs[codec]),
	)
	defer producer.Close()
	sent := map[int32][]row{}
	var records []*kgo.Record
	for i := range 1500 {
		record := &kgo.Record{
			Topic: n.topic, Partition: int32(i % 2), Timestamp: time.UnixMilli(firstTimestampMs + int64(i)),
			Key:     []byte(fmt.Sprintf("key %d", i%9)),
			Value:   []byte(strings.Repeat(fmt.Sprintf("value %d ", i), i%20+1)),
			Headers: []kgo.RecordHeader{{Key: "n", Value: []byte(strconv.Itoa(i))}},
		}
		records = append(records, record)
		expected := rowOf(record)
		expected.Offset = int64(i / 2)
		sent[record.Partition] = append(sent[record.Partition], expected)
	}
	for _, report := range producer.ProduceSync(ctx, records...) {
		check(report.Err, "producing")
	}
	for i, record := range records {
		same(record.Offset, int64(i/2), "offset in the delivery report")
	}

	reader := n.client(n.from(0, 1, kgo.NewOffset().AtStart()))
	defer reader.Close()
	found := map[int32][]row{}
	for _, record := range take(ctx, reader, len(records)) {
		found[record.Partition] = append(found[record.Partition], rowOf(record))
	}
	same(found, sent, "records")
}

func (n names) timesAndEndsAreFound(ctx context.Context) {
	n.create(ctx, 1, nil)
	n.fill(ctx, 0, 100, 1)
	admin := n.admin()
	defer admin.Close()
	offset := func(found kadm.ListedOffsets, err error) []int64 {
		check(err, "listing offsets")
		listed, _ := found.Lookup(n.topic, 0)
		check(listed.Err, "listing the offset")
		return []int64{listed.Offset, listed.Timestamp}
	}
	same(offset(admin.ListStartOffsets(ctx, n.topic)), []int64{0, -1}, "beginning")
	same(offset(admin.ListEndOffsets(ctx, n.topic)), []int64{100, -1}, "end")
	found := offset(admin.ListOffsetsAfterMilli(ctx, firstTimestampMs+405, n.topic))
	same(found, []int64{41, firstTimestampMs + 410}, "the first record at or after a time")
	// Where no record is as late as that, franz-go itself asks for the end.
	later := offset(admin.ListOffsetsAfterMilli(ctx, firstTimestampMs+9999, n.topic))
	same(later[0], int64(100), "after the last record")
	reader := n.client(n.from(0, 0, kgo.NewOffset().AfterMilli(firstTimestampMs+405)))
	defer reader.Close()
	same(numbers(take(ctx, reader, 59)), span(41, 100), "values from the time on")
}

func (n names) client(options ...kgo.Opt) *kgo.Client {
	options = append(options, kgo.SeedBrokers(n.bootstrap), kgo.ClientID("describes itself"))
	client, err := kgo.NewClient(options...)
	check(err, "the client")
	return client
}

func (n names) admin() *kadm.Client {
	return kadm.NewClient(n.client())
}

// from reads the partitions first to last without a group.
func (n names) from(first, last int32, offset kgo.Offset) kgo.Opt {
	offsets := map[int32]kgo.Offset{}
	for partition := first; partition <= last; partition++ {
		offsets[partition] = offset
	}
	return kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{n.topic: offsets})
}

func (n names) create(ctx context.Context, partitions int32, configs map[string]*string) {
	admin := n.admin()
	defer admin.Close()
	_, err := admin.CreateTopic(ctx, partitions, 1, configs, n.topic)
	check(err, "creating the topic")
}

// fill writes records whose values are numbers, one after the other to each partition, ten milliseconds apart.
func (n names) fill(ctx context.Context, begin, end, partitions int) {
	producer := n.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer producer.Close()
	var records []*kgo.Record
	for _, i := range span(begin, end) {
		timestamp := time.UnixMilli(firstTimestampMs + 10*int64(i))
		value := []byte(strconv.Itoa(i))
		partition := int32(i % partitions)
		records = append(records, &kgo.Record{Topic: n.topic, Partition: partition, Timestamp: timestamp, Value: value})
	}
	check(producer.ProduceSync(ctx, records...).FirstErr(), "producing")
}

func take(ctx context.Context, client *kgo.Client, count int) []*kgo.Record {
	var records []*kgo.Record
	for len(records) < count {
		fetches := client.PollRecords(ctx, count-len(records))
		check(fetches.Err(), "reading")
		records = append(records, fetches.Records()...)
	}
	return records
}

func numbers(records []*kgo.Record) []int {
	values := []int{}
	for _, record := range records {
		value, err := strconv.Atoi(string(record.Value))
		check(err, "a value")
		values = append(values, value)
	}
	return values
}

func span(begin, end int) []int {
	values := []int{}
	for i := begin; i < end; i++ {
		values = append(values, i)
	}
	return values
}

func same(actual, expected any, what string) {
	if !reflect.DeepEqual(actual, expected) {
		fail("%s: %.500v instead of %.500v", what, actual, expected)
	}
}

func check(err error, what string) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}
