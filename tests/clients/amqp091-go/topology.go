package main

import (
	"errors"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func (g given) topologiesAreDeclared() {
	channel := g.channel(true)
	name := func(kind string) string { return g.name + "-" + kind }
	arguments := map[string]amqp.Table{"topic": {"alternate-exchange": name("fanout")}}
	queues := map[string]string{}
	for _, kind := range []string{"fanout", "topic", "direct", "headers"} {
		check(channel.ExchangeDeclare(name(kind), kind, false, true, false, false, arguments[kind]))
		queues[kind] = must(channel.QueueDeclare("", false, false, true, false, nil)).Name
	}
	check(channel.QueueBind(queues["fanout"], "", name("fanout"), false, nil))
	check(channel.QueueBind(queues["topic"], "a.*.#", name("topic"), false, nil))
	check(channel.QueueBind(queues["direct"], "a.b", name("direct"), false, nil))
	check(channel.QueueBind(queues["headers"], "", name("headers"), false, amqp.Table{"x-match": "any", "kind": "tide", "no": 1}))
	check(channel.ExchangeBind(name("direct"), "#", name("topic"), false, nil))
	check(channel.ExchangeBind(name("headers"), "a.b", name("direct"), false, nil))

	publish(channel, name("topic"), "a.b", amqp.Publishing{Headers: amqp.Table{"kind": "tide"}})
	same(got(channel, queues), "topic direct headers ", "who has the first")
	check(channel.ExchangeUnbind(name("direct"), "#", name("topic"), false, nil))
	publish(channel, name("topic"), "b", amqp.Publishing{})
	same(got(channel, queues), "fanout ", "who has the second")

	g.refused(404, "NOT_FOUND - no queue", func(other *amqp.Channel) error {
		_, err := other.QueueDeclarePassive(name("missing"), false, false, false, false, nil)
		return err
	})
	g.refused(404, "NOT_FOUND - no exchange", func(other *amqp.Channel) error {
		return other.ExchangeDeclarePassive(name("missing"), "direct", false, false, false, false, nil)
	})
	g.refused(406, "inequivalent arg 'type'", func(other *amqp.Channel) error {
		return other.ExchangeDeclare(name("topic"), "direct", false, true, false, false, nil)
	})
	g.refused(403, "contains reserved prefix 'amq.*'", func(other *amqp.Channel) error {
		_, err := other.QueueDeclare("amq.mine", false, false, false, false, nil)
		return err
	})
	second := given{g.address, g.name, must(amqp.Dial(url(g.address, "guest:guest")))}
	second.refused(405, "RESOURCE_LOCKED", func(other *amqp.Channel) error {
		_, err := other.QueueDeclarePassive(queues["topic"], false, false, false, false, nil)
		return err
	})
	check(second.connection.Close())
	g.isCancelled(channel, queues["direct"])
}

// got names the queues that had a message.
func got(channel *amqp.Channel, queues map[string]string) string {
	found := ""
	for _, kind := range []string{"fanout", "topic", "direct", "headers"} {
		for {
			_, there, err := channel.Get(queues[kind], true)
			check(err)
			if !there {
				break
			}
			found += kind + " "
		}
	}
	return found
}

// refused closes its channel, and the connection lives on.
func (g given) refused(code int, text string, action func(*amqp.Channel) error) {
	channel := g.channel(false)
	closed := channel.NotifyClose(make(chan *amqp.Error, 1))
	var refusal *amqp.Error
	if err := action(channel); !errors.As(err, &refusal) || refusal.Code != code || !strings.Contains(refusal.Reason, text) {
		fail("instead of %d %s: %v", code, text, err)
	}
	same((<-closed).Code, code, "why the channel was closed")
	check(g.channel(false).Close())
}

func (g given) isCancelled(channel *amqp.Channel, queue string) {
	told := channel.NotifyCancel(make(chan string, 1))
	deliveries := must(channel.Consume(queue, "mine", false, false, false, false, nil))
	must(channel.QueueDelete(queue, false, false, false))
	select {
	case tag := <-told:
		same(tag, "mine", "who is cancelled")
	case <-time.After(patience):
		fail("the consumer of %s was not cancelled", queue)
	}
	if _, open := <-deliveries; open {
		fail("a message came from a queue that is gone")
	}
}
