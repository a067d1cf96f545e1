import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AlreadyClosedException;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Exchanges of all types, what is refused with the connection living on, transactions, and consumers that are cancelled. */
final class Topologies {
    private static final List<String> KINDS = List.of("fanout", "topic", "direct", "headers");

    private final Main main;
    private final Map<String, String> queues = new HashMap<>();

    Topologies(Main main) {
        this.main = main;
    }

    interface Action {
        void run(Channel channel) throws IOException;
    }

    void areDeclared() throws Exception {
        Channel channel = main.confirming();
        for (String kind : KINDS) {
            Map<String, Object> arguments = kind.equals("topic") ? Map.of("alternate-exchange", name("fanout")) : Map.of();
            channel.exchangeDeclare(name(kind), kind, false, true, arguments);
            queues.put(kind, channel.queueDeclare().getQueue());
        }
        channel.queueBind(queues.get("fanout"), name("fanout"), "");
        channel.queueBind(queues.get("topic"), name("topic"), "a.*.#");
        channel.queueBind(queues.get("direct"), name("direct"), "a.b");
        channel.queueBind(queues.get("headers"), name("headers"), "", Map.of("x-match", "any", "kind", "tide", "no", 1));
        channel.exchangeBind(name("direct"), name("topic"), "#");
        channel.exchangeBind(name("headers"), name("direct"), "a.b");
        publish(channel, "a.b");
        Main.same(got(channel), Set.of("topic", "direct", "headers"), "who has the first");
        channel.exchangeUnbind(name("direct"), name("topic"), "#");
        publish(channel, "b");
        Main.same(got(channel), Set.of("fanout"), "who has the second");
        areRefused();
        areTransacted();
        areCancelled(channel);
    }

    private String name(String kind) {
        return main.name + "-" + kind;
    }

    private void publish(Channel channel, String key) throws Exception {
        AMQP.BasicProperties properties = new AMQP.BasicProperties.Builder().headers(Map.of("kind", "tide")).build();
        channel.basicPublish(name("topic"), key, properties, Main.text(1));
        channel.waitForConfirmsOrDie(Main.PATIENCE_MS);
    }

    private Set<String> got(Channel channel) throws IOException {
        Set<String> found = new TreeSet<>();
        for (String kind : KINDS) {
            while (channel.basicGet(queues.get(kind), true) != null) {
                Main.same(found.add(kind), true, "whether there is only one copy in " + kind);
            }
        }
        return found;
    }

    private void areRefused() throws Exception {
        Connection connection = main.connection;
        refused(connection, 404, "NOT_FOUND - no queue", channel -> channel.queueDeclarePassive(name("missing")));
        refused(connection, 404, "NOT_FOUND - no exchange", channel -> channel.exchangeDeclarePassive(name("missing")));
        String inequivalent = "PRECONDITION_FAILED - inequivalent arg 'type'";
        refused(connection, 406, inequivalent, channel -> channel.exchangeDeclare(name("topic"), "direct", false, true, null));
        String reserved = "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix";
        refused(connection, 403, reserved, channel -> channel.queueDeclare("amq.mine", false, false, false, null));
        try (Connection second = Main.factory(main.address, "guest").newConnection()) {
            refused(second, 405, "RESOURCE_LOCKED", channel -> channel.queueDeclarePassive(queues.get("topic")));
        }
    }

    private static void refused(Connection connection, int code, String text, Action action) throws Exception {
        Channel channel = connection.createChannel();
        try {
            action.run(channel);
            throw new AssertionError("nothing was refused instead of " + text);
        } catch (IOException | AlreadyClosedException failure) {
            ShutdownSignalException signal = (ShutdownSignalException) failure.getCause();
            AMQP.Channel.Close close = (AMQP.Channel.Close) signal.getReason();
            Main.same(close.getReplyCode(), code, close.getReplyText());
            Main.same(close.getReplyText().startsWith(text), true, close.getReplyText());
        }
        Main.same(connection.isOpen(), true, "whether the connection lives on");
        connection.createChannel().close();
    }

    private void areTransacted() throws Exception {
        Channel channel = main.connection.createChannel();
        channel.txSelect();
        String queue = queues.get("fanout");
        channel.basicPublish("", queue, null, Main.text(1));
        channel.txRollback();
        channel.basicPublish("", queue, null, Main.text(2));
        channel.txCommit();
        Main.same(Main.number(channel.basicGet(queue, false).getBody()), 2, "what was committed");
        channel.basicAck(1, false);
        channel.txRollback();
        channel.close();
        main.waitForReady(queue, 1);
    }

    private void areCancelled(Channel channel) throws Exception {
        CompletableFuture<String> told = new CompletableFuture<>();
        String tag = channel.basicConsume(queues.get("direct"), false, (ignored, each) -> { }, told::complete);
        channel.queueDelete(queues.get("direct"));
        Main.same(told.get(Main.PATIENCE_MS, TimeUnit.MILLISECONDS), tag, "who is cancelled");
    }
}
