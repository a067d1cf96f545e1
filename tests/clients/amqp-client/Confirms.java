import com.rabbitmq.client.Channel;
import com.rabbitmq.client.MessageProperties;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/** What is confirmed, one by one or several, what is rejected, and what is returned first. */
final class Confirms {
    private final Main main;

    Confirms(Main main) {
        this.main = main;
    }

    void areCounted() throws Exception {
        thousandsAtOnce();
        whatIsRejected();
        whatIsReturned();
    }

    private void thousandsAtOnce() throws Exception {
        Channel channel = main.confirming();
        channel.queueDeclare(main.name, true, false, false, null);
        TreeSet<Long> waiting = new TreeSet<>();
        channel.addConfirmListener((tag, multiple) -> settle(waiting, tag, multiple), (tag, multiple) -> {
            throw new AssertionError("message " + tag + " was rejected");
        });
        for (int n = 0; n < 5000; n++) {
            synchronized (waiting) {
                waiting.add(channel.getNextPublishSeqNo());
            }
            channel.basicPublish("", main.name, MessageProperties.MINIMAL_PERSISTENT_BASIC, Main.text(n));
        }
        Main.same(channel.waitForConfirms(Main.PATIENCE_MS), true, "whether all are confirmed");
        synchronized (waiting) {
            Main.same(waiting.size(), 0, "what was not confirmed");
        }
        Main.same(channel.queueDelete(main.name).getMessageCount(), 5000, "what was in the queue");
    }

    private static void settle(TreeSet<Long> waiting, long tag, boolean multiple) {
        synchronized (waiting) {
            Main.same(waiting.contains(tag), true, "whether message " + tag + " was waited for");
            if (multiple) {
                waiting.headSet(tag, true).clear();
            } else {
                waiting.remove(tag);
            }
        }
    }

    private void whatIsRejected() throws Exception {
        Channel channel = main.confirming();
        Map<String, Object> arguments = Map.of("x-max-length", 10, "x-overflow", "reject-publish");
        String queue = channel.queueDeclare("", false, true, false, arguments).getQueue();
        for (int n = 0; n < 20; n++) {
            channel.basicPublish("", queue, null, Main.text(n));
            Main.same(channel.waitForConfirms(Main.PATIENCE_MS), n < 10, "whether message " + n + " was confirmed");
        }
        Main.same(channel.queuePurge(queue).getMessageCount(), 10, "what was in the queue");
    }

    private void whatIsReturned() throws Exception {
        Channel channel = main.confirming();
        List<String> events = Collections.synchronizedList(new ArrayList<>());
        channel.addReturnListener(back -> events.add(back.getReplyCode() + " " + back.getReplyText() + " " + back.getRoutingKey()));
        channel.addConfirmListener((tag, multiple) -> events.add("confirmed"), (tag, multiple) -> events.add("rejected"));
        String missing = main.name + "-missing";
        channel.basicPublish("", missing, true, null, Main.text(1));
        Main.same(channel.waitForConfirms(Main.PATIENCE_MS), true, "whether it is confirmed");
        Main.same(events, List.of("312 NO_ROUTE " + missing, "confirmed"), "what comes");
    }
}
