use crate::content::Content;
use crate::frame::{Assembly, Event, Frame, METHOD, put_message};
use crate::inbox::{Found, Inbox};
use crate::method::Call;
use crate::names::Names;
use crate::script::Place;
use crate::text::Line;

fn place(channel: u16) -> Place {
    let connection = "c1".to_owned();
    Place { connection, channel }
}

/// What a line becomes when it was bytes between.
fn through_bytes(text: &str) -> String {
    let call = Call::parse(&mut Line::new(text)).expect(text);
    Call::decode(&call.encode().expect(text)).expect(text).print()
}

#[test]
fn a_method_is_printed_as_it_was_written() {
    for text in [
        "queue.declare queue=q passive=0 durable=1 exclusive=0 auto-delete=1 nowait=0 arguments={}",
        "basic.deliver consumer-tag=amq.ctag-1 delivery-tag=18446744073709551615 redelivered=1 exchange=\"\" routing-key=\"a b\"",
        "connection.tune channel-max=2047 frame-max=131072 heartbeat=60",
        "connection.close reply-code=404 reply-text=\"NOT_FOUND - 'q' \\\"\\\\\\xff\" class-id=50 method-id=10",
        "channel.close-ok",
    ] {
        assert_eq!(through_bytes(text), text);
    }
}

#[test]
fn what_is_not_named_is_zero_and_a_flag_alone_is_set() {
    assert_eq!(
        through_bytes("basic.consume queue=q no-ack nowait"),
        "basic.consume queue=q consumer-tag=\"\" no-local=0 no-ack=1 exclusive=0 nowait=1 arguments={}"
    );
}

#[test]
fn values_of_tables_keep_their_types() {
    let table = "{a: b(-1), b: B(255), c: s(-2), d: u(65535), e: -5, f: i(4294967295), g: l(-1), h: L(18446744073709551615), \
                 i: f(1.5), j: d(-0.25), k: D(2,150), l: T(5), m: x(00ff), n: void, o: true, p: [1, [word, {}]], \
                 q: \"\", r: \"true\", \"s t\": \"5\"}";
    let text = format!("exchange.unbind destination=d source=s routing-key=k nowait=0 arguments={table}");
    assert_eq!(through_bytes(&text), text);
}

#[test]
fn a_message_survives_being_cut_into_frames() {
    let mut line =
        Line::new("basic.publish routing-key=q | headers={a: 1} delivery-mode=2 timestamp=5 \"x\"*100");
    let call = Call::parse(&mut line).expect("a method");
    let content = Content::parse(&mut line).expect("a content");
    let mut bytes = Vec::new();
    put_message(&call, &content, 3, 64, &mut bytes).expect("frames");
    let (mut assembly, mut source, mut events) = (Assembly::default(), bytes.as_slice(), Vec::new());
    while !source.is_empty() {
        let frame = Frame::read(&mut source).expect("a frame");
        events.extend(assembly.push(frame, 64).expect("a frame in its place"));
    }
    let [(3, Event::Call(_, Some(content)))] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(
        content.print(),
        "| headers={a: 1} delivery-mode=2 timestamp=5 \"x\"*100"
    );
}

#[test]
fn a_frame_above_the_limit_is_an_error() {
    let payload = vec![0; 57];
    let frame = Frame::Payload {
        kind: METHOD,
        channel: 1,
        payload,
    };
    assert!(Assembly::default().push(frame, 64).is_err());
}

#[test]
fn made_up_names_are_numbered_and_known_again() {
    let mut names = Names::default();
    let text = names.hide("queue=amq.gen-Xa_b-1 'amq.gen-Y' amq.gen-Xa_b-1 amq.ctag-Z amq.generous amq.gen-");
    assert_eq!(
        text,
        "queue=amq.gen-1 'amq.gen-2' amq.gen-1 amq.ctag-1 amq.generous amq.gen-"
    );
    assert_eq!(names.reveal("queue=amq.gen-2"), "queue=amq.gen-Y");
}

#[test]
fn confirms_come_one_by_one_and_in_any_order() {
    let mut inbox = Inbox::default();
    inbox.confirming(&place(1));
    (0..3).for_each(|_| inbox.published(&place(1)));
    inbox.push_confirm(place(1), "basic.ack", 3, true);
    assert!(matches!(
        inbox.take(&place(1), "basic.ack delivery-tag=2"),
        Found::Same
    ));
    assert!(matches!(
        inbox.take(&place(1), "basic.nack delivery-tag=1"),
        Found::Other(_)
    ));
    assert!(matches!(
        inbox.take(&place(2), "basic.ack delivery-tag=3"),
        Found::NotYet
    ));
    inbox.push_confirm(place(1), "basic.ack", 3, false);
    assert_eq!(
        inbox.drain(),
        [
            "c1.1< basic.ack delivery-tag=3",
            "c1.1< basic.ack delivery-tag=3 (of no message that waits for it)"
        ]
    );
}

#[test]
fn a_confirm_before_the_return_of_its_message_is_found_out() {
    let mut inbox = Inbox::default();
    inbox.confirming(&place(1));
    inbox.published(&place(1));
    inbox.push_confirm(place(1), "basic.ack", 1, false);
    inbox.push(place(1), "basic.return reply-code=312".to_owned());
    assert!(matches!(
        inbox.take(&place(1), "basic.return reply-code=312"),
        Found::Same
    ));
    assert!(matches!(
        inbox.take(&place(1), "basic.ack delivery-tag=1"),
        Found::Other(_)
    ));
}

#[test]
fn frames_of_a_channel_come_in_order() {
    let mut inbox = Inbox::default();
    inbox.push(place(1), "basic.qos-ok".to_owned());
    inbox.push(place(2), "tx.select-ok".to_owned());
    inbox.push(place(1), "channel.flow-ok active=1".to_owned());
    assert!(matches!(inbox.take(&place(2), "tx.select-ok"), Found::Same));
    assert!(matches!(
        inbox.take(&place(1), "channel.flow-ok active=1"),
        Found::Other(_)
    ));
}
