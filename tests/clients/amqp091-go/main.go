// amqp091-go: the client in Go of RabbitMQ's own people. What is declared and refused is in a file of its own.
package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	patience = 40 * time.Second
	alphabet = "abcdefghijklmnopqrstuvwxyz"
)

// given is what a scenario has: the broker, a name that is its own, and a connection.
type given struct {
	address, name string
	connection    *amqp.Connection
}

func main() {
	address := os.Args[2]
	connection := must(amqp.Dial(url(address, "guest:guest")))
	g := given{address, os.Args[3], connection}
	scenarios := map[string]func(){
		"messages_come_back_whole":            g.messagesComeBackWhole,
		"confirms_are_counted":                g.confirmsAreCounted,
		"deliveries_are_settled_in_every_way": g.deliveriesAreSettledInEveryWay,
		"topologies_are_declared":             g.topologiesAreDeclared,
		"requests_are_answered":               g.requestsAreAnswered,
		"priorities_and_times_are_kept":       g.prioritiesAndTimesAreKept,
		"streams_are_read_again":              g.streamsAreReadAgain,
		"many_channels_work_at_once":          g.manyChannelsWorkAtOnce,
		"strangers_are_refused":               g.strangersAreRefused,
		"idle_connections_stay":               g.idleConnectionsStay,
	}
	scenarios[os.Args[1]]()
	check(connection.Close())
}

func url(address, login string) string {
	return "amqp://" + login + "@" + address + "/"
}

func (g given) messagesComeBackWhole() {
	channel := g.channel(true)
	queue := must(channel.QueueDeclare(g.name, false, true, false, false, nil)).Name
	headers := amqp.Table{
		"text": "firth \u00e9", "int8": int8(-5), "int16": int16(-300), "int32": int32(-70000), "int64": int64(1) << 40,
		"float32": float32(2.5), "float64": 1.25, "yes": true, "nothing": nil, "bytes": []byte{0, 255}, "byte": byte(200),
		"list": []interface{}{"a", int32(1), []interface{}{false}}, "table": amqp.Table{"inner": amqp.Table{"deep": "er"}},
		"when": time.Unix(1357000000, 0), "decimal": amqp.Decimal{Scale: 2, Value: 314},
	}
	sent := amqp.Publishing{
		Headers: headers, ContentType: "text/plain", ContentEncoding: "identity", DeliveryMode: amqp.Persistent, Priority: 3,
		CorrelationId: "c", ReplyTo: "r", Expiration: "60000", MessageId: "m", Timestamp: time.Unix(1357000000, 0), Type: "t",
		UserId: "guest", AppId: "a",
	}
	sizes := []int{0, 1, 131063, 131064, 131065, 1 << 20, 5_000_001}
	for _, size := range sizes {
		sent.Body = body(size)
		publish(channel, "", queue, sent)
	}
	for i, d := range take(channel, queue, len(sizes), true, nil) {
		sent.Body = body(sizes[i])
		found := amqp.Publishing{
			Headers: d.Headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: d.DeliveryMode,
			Priority: d.Priority, CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, Expiration: d.Expiration, MessageId: d.MessageId,
			Timestamp: d.Timestamp, Type: d.Type, UserId: d.UserId, AppId: d.AppId, Body: d.Body,
		}
		same(found, sent, "the message of size "+strconv.Itoa(sizes[i]))
		same([]any{d.Exchange, d.RoutingKey, d.Redelivered}, []any{"", queue, false}, "how it comes")
	}
}

func (g given) confirmsAreCounted() {
	channel := g.channel(true)
	must(channel.QueueDeclare(g.name, true, false, false, false, nil))
	var waiting []*amqp.DeferredConfirmation
	for i := range 5000 {
		waiting = append(waiting, publishLater(channel, g.name, text(i)))
	}
	for i, each := range waiting {
		if !each.Wait() {
			fail("message %d was not confirmed", i)
		}
	}
	same(must(channel.QueueDelete(g.name, false, false, false)), 5000, "what was in the queue")

	arguments := amqp.Table{"x-max-length": 10, "x-overflow": "reject-publish"}
	full := must(channel.QueueDeclare("", false, false, true, false, arguments)).Name
	waiting = nil
	for i := range 20 {
		waiting = append(waiting, publishLater(channel, full, text(i)))
	}
	for i, each := range waiting {
		same(each.Wait(), i < 10, fmt.Sprintf("whether message %d was confirmed", i))
	}

	returned := channel.NotifyReturn(make(chan amqp.Return, 1))
	confirmed := must(channel.PublishWithDeferredConfirm("", g.name+"-missing", true, false, amqp.Publishing{}))
	if !confirmed.Wait() {
		fail("what was returned was not confirmed")
	}
	select {
	case back := <-returned:
		same([]any{back.ReplyCode, back.ReplyText, back.RoutingKey}, []any{uint16(312), "NO_ROUTE", g.name + "-missing"}, "return")
	default:
		fail("it was confirmed before it was returned")
	}
}

func (g given) deliveriesAreSettledInEveryWay() {
	channel, dead := g.channel(false), g.name+"-dead"
	arguments := amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
	must(channel.QueueDeclare(g.name, false, false, false, false, arguments))
	must(channel.QueueDeclare(dead, false, false, true, false, nil))
	for i := range 10 {
		publish(channel, "", g.name, text(i))
	}
	check(channel.Qos(6, 0, false))
	first := take(channel, g.name, 6, false, nil)
	same(numbersOf(first), numbers(0, 6), "the first six")
	check(first[1].Ack(true))
	check(first[3].Nack(false, true))
	check(first[2].Reject(false))
	check(first[5].Nack(true, true))
	g.waitForReady(g.name, 7)
	second, _, err := channel.Get(g.name, false)
	check(err)
	same([]any{number(second), second.Redelivered, second.MessageCount}, []any{3, true, uint32(6)}, "what is got")
	check(channel.Close())
	g.waitForReady(g.name, 7)

	other := g.channel(false)
	rest := take(other, g.name, 7, false, nil)
	for i, each := range rest {
		same([]any{number(each), each.Redelivered}, []any{i + 3, i < 3}, "what comes again")
	}
	check(other.Recover(true))
	g.waitForReady(g.name, 7)
	last := take(other, g.name, 7, false, nil)
	check(last[6].Nack(true, false))
	g.waitForReadyOn(other, dead, 8)
	letter, _, err := other.Get(dead, true)
	check(err)
	death := letter.Headers["x-death"].([]interface{})[0].(amqp.Table)
	found := []any{number(letter), death["reason"], death["queue"], death["count"]}
	same(found, []any{2, "rejected", g.name, int64(1)}, "the dead letter")
	must(other.QueueDelete(g.name, false, false, false))
}

func (g given) requestsAreAnswered() {
	const pseudo = "amq.rabbitmq.reply-to"
	server := g.channel(false)
	must(server.QueueDeclare(g.name, false, false, true, false, nil))
	go func() {
		for request := range must(server.Consume(g.name, "", true, false, false, false, nil)) {
			publish(server, "", request.ReplyTo, amqp.Publishing{CorrelationId: request.CorrelationId, Body: request.Body})
		}
	}()
	connection := must(amqp.Dial(url(g.address, "guest:guest")))
	client := must(connection.Channel())
	replies := must(client.Consume(pseudo, "", true, false, false, false, nil))
	for i := range 300 {
		publish(client, "", g.name, amqp.Publishing{CorrelationId: strconv.Itoa(i), ReplyTo: pseudo, Body: []byte(strconv.Itoa(i))})
	}
	for i := range 300 {
		reply := next(replies)
		same([]any{number(reply), reply.CorrelationId}, []any{i, strconv.Itoa(i)}, "the reply")
	}
	check(connection.Close())
}

func (g given) prioritiesAndTimesAreKept() {
	channel := g.channel(true)
	queue := must(channel.QueueDeclare("", false, false, true, false, amqp.Table{"x-max-priority": 5})).Name
	for _, priority := range []int{1, 5, 3, 5, 0} {
		publish(channel, "", queue, amqp.Publishing{Priority: uint8(priority), Body: []byte(strconv.Itoa(priority))})
	}
	same(numbersOf(take(channel, queue, 5, true, nil)), []int{5, 5, 3, 1, 0}, "the order")
	expiring := must(channel.QueueDeclare("", false, false, true, false, amqp.Table{"x-message-ttl": 200})).Name
	publish(channel, "", expiring, text(1))
	publish(channel, "", queue, amqp.Publishing{Expiration: "100"})
	g.waitForReadyOn(channel, expiring, 0)
	g.waitForReadyOn(channel, queue, 0)
}

func (g given) streamsAreReadAgain() {
	channel := g.channel(true)
	must(channel.QueueDeclare(g.name, true, false, false, false, amqp.Table{"x-queue-type": "stream"}))
	for i := range 50 {
		publish(channel, "", g.name, text(i))
	}
	check(channel.Qos(100, 0, false))
	for begin, offset := range map[int]any{0: "first", 20: int64(20)} {
		messages := take(channel, g.name, 50-begin, false, amqp.Table{"x-stream-offset": offset})
		same(numbersOf(messages), numbers(begin, 50), "what is read")
		for i, each := range messages {
			same(each.Headers["x-stream-offset"], int64(begin+i), "its offset")
		}
	}
	must(channel.QueueDelete(g.name, false, false, false))
}

func (g given) manyChannelsWorkAtOnce() {
	var group sync.WaitGroup
	for n := range 100 {
		group.Go(func() {
			channel := g.channel(true)
			queue := must(channel.QueueDeclare("", false, false, true, false, nil)).Name
			for i := range 50 {
				publish(channel, "", queue, text(1000*n+i))
			}
			messages := take(channel, queue, 50, false, nil)
			same(numbersOf(messages), numbers(1000*n, 1000*n+50), "what comes")
			check(messages[49].Ack(true))
			same(must(channel.QueueDelete(queue, false, false, false)), 0, "what is left")
		})
	}
	group.Wait()
}

func (g given) strangersAreRefused() {
	_, err := amqp.Dial(url(g.address, "guest:wrong"))
	refusal, ok := err.(*amqp.Error)
	if !ok || refusal.Code != 403 || !strings.Contains(err.Error(), "username or password not allowed") {
		fail("a stranger was told: %v", err)
	}
}

func (g given) idleConnectionsStay() {
	connection := must(amqp.DialConfig(url(g.address, "guest:guest"), amqp.Config{Heartbeat: time.Second}))
	channel := must(connection.Channel())
	must(channel.QueueDeclare(g.name, false, false, true, false, nil))
	time.Sleep(4 * time.Second)
	must(channel.QueueDeclarePassive(g.name, false, false, true, false, nil))
	check(connection.Close())
}

func (g given) channel(confirms bool) *amqp.Channel {
	channel := must(g.connection.Channel())
	if confirms {
		check(channel.Confirm(false))
	}
	return channel
}

func (g given) waitForReady(queue string, count int) {
	channel := g.channel(false)
	g.waitForReadyOn(channel, queue, count)
	check(channel.Close())
}

func (g given) waitForReadyOn(channel *amqp.Channel, queue string, count int) {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		found := must(channel.QueueDeclarePassive(queue, false, false, false, false, nil)).Messages
		if found == count {
			return
		}
		if time.Now().After(deadline) {
			fail("%d messages are ready in %s instead of %d", found, queue, count)
		}
	}
}

// publish waits for the confirmation if the channel has them.
func publish(channel *amqp.Channel, exchange, key string, message amqp.Publishing) {
	confirmed := must(channel.PublishWithDeferredConfirmWithContext(context.Background(), exchange, key, false, false, message))
	if confirmed != nil && !confirmed.Wait() {
		fail("a message to %s was rejected", key)
	}
}

func publishLater(channel *amqp.Channel, key string, message amqp.Publishing) *amqp.DeferredConfirmation {
	return must(channel.PublishWithDeferredConfirm("", key, false, false, message))
}

// take gives the next messages of a consumer, which then goes.
func take(channel *amqp.Channel, queue string, count int, autoAck bool, arguments amqp.Table) []amqp.Delivery {
	tag := fmt.Sprintf("take-%d", time.Now().UnixNano())
	deliveries := must(channel.Consume(queue, tag, autoAck, false, false, false, arguments))
	var taken []amqp.Delivery
	for range count {
		taken = append(taken, next(deliveries))
	}
	check(channel.Cancel(tag, false))
	return taken
}

func next(deliveries <-chan amqp.Delivery) amqp.Delivery {
	select {
	case delivery, open := <-deliveries:
		if !open {
			fail("the consumer was ended")
		}
		return delivery
	case <-time.After(patience):
		fail("no message comes")
		panic("unreachable")
	}
}

func text(n int) amqp.Publishing { return amqp.Publishing{Body: []byte(strconv.Itoa(n))} }

func body(size int) []byte { return []byte(strings.Repeat(alphabet, size/len(alphabet)+1)[:size]) }

func number(delivery amqp.Delivery) int { return must(strconv.Atoi(string(delivery.Body))) }

func numbersOf(deliveries []amqp.Delivery) []int {
	var found []int
	for _, each := range deliveries {
		found = append(found, number(each))
	}
	return found
}

func numbers(begin, end int) []int {
	var all []int
	for n := begin; n < end; n++ {
		all = append(all, n)
	}
	return all
}

func same(found, expected any, what string) {
	if !reflect.DeepEqual(found, expected) {
		fail("%s: %.400v instead of %.400v", what, found, expected)
	}
}

func check(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func fail(format string, arguments ...any) {
	panic(fmt.Sprintf(format, arguments...))
}
